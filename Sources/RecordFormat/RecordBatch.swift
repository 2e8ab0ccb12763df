/// What a broker does to a batch: check it once, give it a place, and never touch it again.
package enum RecordBatch {
    /// The only format: RecordBatch v2.
    static let magic: Int8 = 2

    /// Checks a whole batch: exact length, format, record count and checksum. The records are not walked.
    ///
    /// Bytes 0-15 but for the length (base offset, leader epoch) are not covered: a broker assigns them.
    /// - Parameters:
    ///   - bytes: One batch and nothing else, borrowed for the call. The memory must not change meanwhile.
    ///   - bytesMax: The largest batch accepted, header included.
    ///   - isStored: Whether it comes from a log, where compaction may have taken records away, even all of them.
    /// - Returns: The header, whose `sizeInBytes` is `bytes.count`.
    /// - Complexity: O(n), one pass, no allocation.
    package static func validate(
        _ bytes: UnsafeRawBufferPointer, bytesMax: Int, isStored: Bool = false
    ) throws(RecordBatchError) -> RecordBatchHeader {
        guard bytes.count >= RecordBatchHeader.byteCount else {
            throw RecordBatchError(
                .wrongLength, "\(bytes.count) bytes are less than a header (\(RecordBatchHeader.byteCount))")
        }
        guard bytes.count <= bytesMax else {
            throw RecordBatchError(.tooLarge, "\(bytes.count) bytes, the limit is \(bytesMax): send smaller batches")
        }
        let header = unsafe RecordBatchHeader(parsing: bytes)
        guard header.magic == magic else {
            throw RecordBatchError(.unsupportedMagic, "magic is \(header.magic), only \(magic) is accepted")
        }
        guard header.sizeInBytes == bytes.count else {
            throw RecordBatchError(
                .wrongLength, "the header announces \(header.sizeInBytes) bytes, \(bytes.count) came")
        }
        guard isStored || header.compressionType != nil else {
            throw RecordBatchError(.unsupportedCompression, "compression \(header.attributes & 7) is not known")
        }
        guard isStored ? header.hasPossibleCount : header.hasConsistentCount else {
            throw RecordBatchError(
                .wrongRecordCount, "\(header.recordCount) records with last offset delta \(header.lastOffsetDelta)")
        }
        guard isStored || Int(header.recordCount) <= recordsMax(header) else {
            throw RecordBatchError(
                .wrongRecordCount, "\(header.recordCount) records do not fit into \(bytes.count) bytes")
        }
        let sum = unsafe CRC32C.checksum(.init(rebasing: bytes[RecordBatchHeader.checksumStart...]))
        guard sum == header.crc else {
            throw RecordBatchError(
                .checksumMismatch, "CRC-32C of \(bytes.count) bytes is \(sum), the header says \(header.crc)")
        }
        return header
    }

    /// The most records that a batch can have: one takes 7 bytes at least. How small compressed ones get nobody knows
    /// who does not look into them, but each differs from the one before by its offset: of those, what nobody makes is
    /// refused. Otherwise a few headers without records would use up the offsets of a segment.
    package static func recordsMax(_ header: RecordBatchHeader) -> Int {
        let bytes = header.sizeInBytes - RecordBatchHeader.byteCount
        return header.attributes & 7 == 0
            ? bytes / recordBytesMin : min(bytes * compressedRecordsPerByteMax, compressedRecordsMax)
    }

    private static let recordBytesMin = 7
    private static let compressedRecordsMax = 1 << 24
    private static let compressedRecordsPerByteMax = 256

    /// A batch without records that stands for `offsets` offsets, as compaction leaves where all records are gone.
    package static func empty(baseOffset: Offset, leaderEpoch: LeaderEpoch, offsets: Int32) -> [UInt8] {
        precondition(offsets > 0, "a batch has an offset")
        var header = RecordBatchHeader()
        header.baseOffset = baseOffset
        header.partitionLeaderEpoch = leaderEpoch
        header.lastOffsetDelta = offsets - 1
        header.batchLength = Int32(RecordBatchHeader.byteCount - RecordBatchHeader.lengthOverhead)
        var bytes = [UInt8](repeating: 0, count: RecordBatchHeader.byteCount)
        unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe header.write(to: bytes)
            let sum = unsafe CRC32C.checksum(.init(rebasing: bytes[RecordBatchHeader.checksumStart...]))
            unsafe bytes.storeBigEndian(sum, at: 17)
        }
        return bytes
    }

    /// Gives a batch its place in the log: patches 12 bytes that the checksum does not cover.
    /// - Parameter bytes: A validated batch; at least a header (programmer error otherwise).
    package static func assign(
        baseOffset: Offset, leaderEpoch: LeaderEpoch, in bytes: UnsafeMutableRawBufferPointer
    ) {
        precondition(bytes.count >= RecordBatchHeader.byteCount, "a batch is at least its header")
        unsafe bytes.storeBigEndian(baseOffset.rawValue, at: 0)
        unsafe bytes.storeBigEndian(leaderEpoch.rawValue, at: 12)
    }
}

extension RecordBatchHeader {
    /// Whether the batch has records and one offset for each: true of every batch a producer may send.
    package var hasConsistentCount: Bool {
        recordCount > 0 && Int64(recordCount) == Int64(lastOffsetDelta) + 1
    }

    /// Whether the records are at most one for each offset: true of what compaction leaves, too.
    package var hasPossibleCount: Bool {
        recordCount >= 0 && lastOffsetDelta >= 0 && Int64(recordCount) <= Int64(lastOffsetDelta) + 1
    }

    /// Where the bytes under the checksum begin: they end with the batch.
    package static var checksumRangeStart: Int { checksumStart }
}
