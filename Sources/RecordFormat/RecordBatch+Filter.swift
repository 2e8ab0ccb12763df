extension RecordBatch {
    /// Copies a batch without some of its records: offsets, sequence numbers and producer stay what they were.
    ///
    /// Records that stay are copied byte for byte, unless a delete horizon is given: it takes the place of the base
    /// timestamp, so their timestamps are written anew (KIP-534).
    /// - Parameters:
    ///   - batch: One whole batch, not compressed. Borrowed for the call.
    ///   - output: At least ``filteredBytesMax(_:)`` bytes (programmer error otherwise).
    ///   - deleteHorizon: When the batch's tombstones may go, in milliseconds since 1970; nil changes nothing.
    ///   - keeps: Asked for each record, in order.
    /// - Returns: The new batch's size in bytes. It may hold no record at all.
    /// - Throws: when the records are malformed; `output` is then undefined.
    package static func filter(
        _ batch: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, deleteHorizon: Int64? = nil,
        keeps: (RecordView) -> Bool
    ) throws(RecordBatchError) -> Int {
        var reader = unsafe try RecordReader(batch)
        var header = reader.header
        precondition(output.count >= filteredBytesMax(header), "the output is too small")
        // How much smaller every record's timestamp delta becomes.
        let shift = deleteHorizon.map { $0 &- header.baseTimestamp }
        var end = RecordBatchHeader.byteCount
        var count: Int32 = 0
        var maxTimestamp = Int64.min
        var start = reader.position
        while let record = try reader.next() {
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: batch[start..<reader.position])
            start = reader.position
            guard keeps(record) else { continue }
            if let shift {
                unsafe copy(bytes, shiftingTimestampBy: shift, into: output, at: &end)
            } else {
                unsafe output.copy(bytes, to: &end)
            }
            count += 1
            maxTimestamp = max(maxTimestamp, record.timestampMilliseconds)
        }
        // An empty batch keeps its own, so that it ages like its neighbours.
        if count > 0 { header.maxTimestamp = maxTimestamp }
        if let deleteHorizon {
            header.baseTimestamp = deleteHorizon
            header.attributes |= RecordBatchHeader.deleteHorizonBit
        }
        header.recordCount = count
        header.batchLength = Int32(end - RecordBatchHeader.lengthOverhead)
        unsafe seal(header, UnsafeMutableRawBufferPointer(rebasing: output[..<end]))
        return end
    }

    /// Makes a batch of a committed transaction one that is nobody's: it counts without a marker.
    /// - Parameter bytes: One batch and nothing else.
    package static func settle(_ bytes: UnsafeMutableRawBufferPointer) {
        var header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(bytes))
        header.attributes &= ~RecordBatchHeader.transactionalBit
        unsafe seal(header, bytes)
    }

    /// Copies a batch without its records: offsets, sequence numbers and producer stay, a transaction does not.
    /// - Returns: The new batch's size in bytes.
    package static func empty(
        _ batch: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> Int {
        var header = unsafe RecordBatchHeader(parsing: batch)
        header.attributes &= ~(RecordBatchHeader.transactionalBit | RecordBatchHeader.compressionBits)
        header.recordCount = 0
        header.batchLength = Int32(RecordBatchHeader.byteCount - RecordBatchHeader.lengthOverhead)
        unsafe seal(header, UnsafeMutableRawBufferPointer(rebasing: output[..<RecordBatchHeader.byteCount]))
        return RecordBatchHeader.byteCount
    }

    /// Writes a header in front of its records, with the checksum of both.
    private static func seal(_ header: RecordBatchHeader, _ bytes: UnsafeMutableRawBufferPointer) {
        unsafe header.write(to: bytes)
        let sum = unsafe CRC32C.checksum(.init(rebasing: bytes[RecordBatchHeader.checksumStart...]))
        unsafe bytes.storeBigEndian(sum, at: 17)
    }

    /// The most bytes that ``filter(_:into:deleteHorizon:keeps:)`` makes of a batch: a record's length and timestamp
    /// may take more than before.
    package static func filteredBytesMax(_ header: RecordBatchHeader) -> Int {
        // A record is at least 7 bytes: a false count costs no memory.
        header.sizeInBytes
            + min(Int(header.recordCount), header.sizeInBytes / 7) * (Varint.byteCountMax64 + Varint.byteCountMax32)
    }

    /// Copies one record, `length | attributes | timestamp delta | rest`, with another timestamp delta.
    private static func copy(
        _ record: UnsafeRawBufferPointer, shiftingTimestampBy shift: Int64,
        into output: UnsafeMutableRawBufferPointer, at end: inout Int
    ) {
        var at = 0
        // The reader has parsed it: neither can fail.
        guard unsafe Varint.decode32(record, at: &at) != nil else { return }
        let attributes = unsafe record[at]
        at += 1
        guard let oldDelta = unsafe Varint.decode64(record, at: &at) else { return }
        let delta = oldDelta &- shift
        let rest = unsafe UnsafeRawBufferPointer(rebasing: record[at...])
        unsafe Varint.encode(Int64(1 + Varint.byteCount(delta) + rest.count), into: output, at: &end)
        unsafe output[end] = attributes
        end += 1
        unsafe Varint.encode(delta, into: output, at: &end)
        unsafe output.copy(rest, to: &end)
    }
}
