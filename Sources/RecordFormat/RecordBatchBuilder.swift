/// Builds one batch in memory the caller supplies, registered memory for instance: no copy is made afterwards.
///
/// Life cycle: `append` until it says false or enough is in it, `replaceRecords` to compress, `seal`, send the first
/// `sizeInBytes` bytes, `reset`.
/// Keeps nothing alive: the buffer must outlive the builder. Not thread-safe.
@safe  // All writes are inside `buffer`, whose validity the caller promises at `init`, itself an unsafe call.
package struct RecordBatchBuilder {
    private let buffer: UnsafeMutableRawBufferPointer
    private var header = RecordBatchHeader()
    private var isSealed = false

    /// Bytes written so far, the header's 61 included.
    package private(set) var sizeInBytes = RecordBatchHeader.byteCount
    /// Records written so far.
    package private(set) var recordCount = 0

    /// Begins an empty batch; nothing is written yet.
    /// - Parameter buffer: At least a header's 61 bytes (programmer error otherwise); the batch begins at its first.
    package init(buffer: UnsafeMutableRawBufferPointer) {
        precondition(buffer.count >= RecordBatchHeader.byteCount, "a batch is at least its header")
        unsafe self.buffer = buffer
    }

    /// Adds one record, or nothing when it does not fit.
    ///
    /// - Parameters:
    ///   - key: nil for no key (not the same as empty); copied.
    ///   - value: nil for a tombstone; copied.
    ///   - timestampMilliseconds: Since 1970; need not grow.
    /// - Returns: false when the record does not fit: nothing was written. Seal, send, and add it to the next batch.
    /// - Precondition: not sealed.
    package mutating func append(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [RecordHeader] = [],
        timestampMilliseconds: Int64
    ) -> Bool {
        precondition(!isSealed && header.attributes == 0, "the batch is sealed or compressed: reset it first")
        guard recordCount < Int(Int32.max) else { return false }
        let baseTimestamp = recordCount == 0 ? timestampMilliseconds : header.baseTimestamp
        // A difference of two Int64s can overflow; Kafka's format wraps, and so does its reader.
        let timestampDelta = timestampMilliseconds &- baseTimestamp
        let bodyBytes =
            unsafe 1 + Varint.byteCount(timestampDelta) + Varint.byteCount(Int64(recordCount))
            + Varint.byteCount(Int64(key?.count ?? -1)) + (key?.count ?? 0)
            + Varint.byteCount(Int64(value?.count ?? -1)) + (value?.count ?? 0)
            + Varint.byteCount(Int64(headers.count)) + headers.reduce(0) { $0 + $1.sizeInBytes }
        let end = sizeInBytes + Varint.byteCount(Int64(bodyBytes)) + bodyBytes
        guard unsafe end <= buffer.count, end <= Int(Int32.max) else { return false }

        var position = sizeInBytes
        unsafe Varint.encode(Int64(bodyBytes), into: buffer, at: &position)
        unsafe buffer[position] = 0  // attributes: unused in v2
        position += 1
        unsafe Varint.encode(timestampDelta, into: buffer, at: &position)
        unsafe Varint.encode(Int64(recordCount), into: buffer, at: &position)
        unsafe write(key, at: &position)
        unsafe write(value, at: &position)
        unsafe Varint.encode(Int64(headers.count), into: buffer, at: &position)
        for entry in headers { unsafe entry.write(to: buffer, at: &position) }
        assert(position == end)

        sizeInBytes = end
        header.baseTimestamp = baseTimestamp
        header.maxTimestamp = recordCount == 0 ? timestampMilliseconds : max(header.maxTimestamp, timestampMilliseconds)
        recordCount += 1
        return true
    }

    /// The same from arrays.
    @_disfavoredOverload  // so that two nils mean the pointers
    package mutating func append(
        key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = [], timestampMilliseconds: Int64
    ) -> Bool {
        unsafe Self.withBytes(key) { key in
            unsafe Self.withBytes(value) { value in
                unsafe append(key: key, value: value, headers: headers, timestampMilliseconds: timestampMilliseconds)
            }
        }
    }

    /// The same from spans: `array.span.bytes`, for instance.
    package mutating func append(
        key: RawSpan, value: RawSpan, headers: [RecordHeader] = [], timestampMilliseconds: Int64
    ) -> Bool {
        unsafe key.withUnsafeBytes { key in
            unsafe value.withUnsafeBytes { value in
                unsafe append(key: key, value: value, headers: headers, timestampMilliseconds: timestampMilliseconds)
            }
        }
    }

    /// The same without a key.
    package mutating func append(
        value: RawSpan, headers: [RecordHeader] = [], timestampMilliseconds: Int64
    ) -> Bool {
        unsafe value.withUnsafeBytes { value in
            unsafe append(key: nil, value: value, headers: headers, timestampMilliseconds: timestampMilliseconds)
        }
    }

    /// The records so far, as `replaceRecords(with:)` may compress them. Valid until the next change.
    package var records: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: buffer[RecordBatchHeader.byteCount..<sizeInBytes])
    }

    /// Puts compressed records in the place of the ones appended. Nothing can be appended afterwards.
    /// - Parameter compressed: No longer than `records`; copied.
    /// - Precondition: not sealed, not compressed yet.
    package mutating func replaceRecords(with compressed: UnsafeRawBufferPointer, _ type: CompressionType) {
        precondition(!isSealed && header.attributes == 0, "the batch is sealed or compressed already")
        precondition(unsafe compressed.count <= records.count, "compressed records are larger")
        sizeInBytes = RecordBatchHeader.byteCount
        unsafe buffer.copy(compressed, to: &sizeInBytes)
        header.attributes = type.rawValue
    }

    /// Writes the header and the checksum: the batch is ready to be sent.
    ///
    /// - Parameters:
    ///   - producerID: -1 when not idempotent; epoch and sequence are then -1 too.
    ///   - baseSequence: The sequence number of the first record.
    ///   - isTransactional: Whether the records count only once their transaction is committed.
    ///   - isControl: Whether the record is a broker's marker.
    /// - Returns: The size of the batch in bytes, from the buffer's start.
    /// - Precondition: at least one record, not sealed.
    package mutating func seal(
        producerID: Int64 = -1, epoch: Int16 = -1, baseSequence: Int32 = -1, isTransactional: Bool = false,
        isControl: Bool = false
    ) -> Int {
        precondition(recordCount > 0, "a batch has at least one record")
        precondition(!isSealed, "the batch is sealed already")
        isSealed = true
        if isTransactional { header.attributes |= RecordBatchHeader.transactionalBit }
        if isControl { header.attributes |= RecordBatchHeader.controlBit }
        header.batchLength = Int32(sizeInBytes - RecordBatchHeader.lengthOverhead)
        header.lastOffsetDelta = Int32(recordCount - 1)
        header.recordCount = Int32(recordCount)
        header.producerID = producerID
        header.producerEpoch = epoch
        header.baseSequence = baseSequence
        unsafe header.write(to: buffer)
        let covered = unsafe UnsafeRawBufferPointer(rebasing: buffer[RecordBatchHeader.checksumStart..<sizeInBytes])
        header.crc = unsafe CRC32C.checksum(covered)
        unsafe buffer.storeBigEndian(header.crc, at: 17)
        return sizeInBytes
    }

    /// Takes the seal off: `seal` may give the same records another producer, epoch or sequence. The buffer must not be
    /// on its way to anybody.
    package mutating func unseal() { isSealed = false }

    /// Begins an empty batch in the same buffer. What was in it must have been sent.
    package mutating func reset() {
        header = RecordBatchHeader()
        isSealed = false
        sizeInBytes = RecordBatchHeader.byteCount
        recordCount = 0
    }

    private func write(_ bytes: UnsafeRawBufferPointer?, at position: inout Int) {
        unsafe Varint.encode(Int64(bytes?.count ?? -1), into: buffer, at: &position)
        if let bytes = unsafe bytes { unsafe buffer.copy(bytes, to: &position) }
    }

    private static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Bool) -> Bool {
        guard let bytes else { return body(nil) }
        return unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }
}
