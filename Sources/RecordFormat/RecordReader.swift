/// Iterates the records of one batch in place, without copying: as they are in it, or after decompression.
///
/// The bytes are not trusted: every number and length is checked against the batch's end, whether or not the batch was
/// validated before. Keeps nothing alive: the batch's memory must outlive the reader and its views, and not change.
@safe  // Reads stay inside `batch`, whose validity the caller promises at `init`, itself an unsafe call.
package struct RecordReader {
    /// The batch's header.
    package let header: RecordBatchHeader

    /// The batch, or decompressed records.
    private let batch: UnsafeRawBufferPointer
    /// Where the next record begins in it.
    private(set) var position: Int
    private var recordIndex: Int32 = 0
    private var lastDelta: Int32 = -1

    /// Reads the header.
    /// - Parameter batch: One batch; bytes behind its end are ignored.
    /// - Throws: when the header is nonsense, or the records are compressed.
    package init(_ batch: UnsafeRawBufferPointer) throws(RecordBatchError) {
        header = unsafe try Self.header(of: batch)
        guard !header.isCompressed else {
            throw RecordBatchError(.compressed, "compression type \(header.attributes & 7): decompress first")
        }
        unsafe self.batch = unsafe UnsafeRawBufferPointer(rebasing: batch[..<header.sizeInBytes])
        position = RecordBatchHeader.byteCount
    }

    /// Reads records that were decompressed.
    /// - Parameter header: What ``header(of:)`` said of their batch.
    package init(_ header: RecordBatchHeader, decompressed: UnsafeRawBufferPointer) {
        self.header = header
        unsafe batch = unsafe decompressed
        position = 0
    }

    /// A batch's header, looked at as far as a reader relies on it.
    /// - Parameter batch: One batch; bytes behind its end are ignored.
    /// - Returns: A header whose `sizeInBytes` are there.
    package static func header(of batch: UnsafeRawBufferPointer) throws(RecordBatchError) -> RecordBatchHeader {
        guard batch.count >= RecordBatchHeader.byteCount else {
            throw RecordBatchError(.wrongLength, "\(batch.count) bytes are less than a header")
        }
        let header = unsafe RecordBatchHeader(parsing: batch)
        guard header.magic == RecordBatch.magic else {
            throw RecordBatchError(.unsupportedMagic, "magic is \(header.magic), only 2 can be read")
        }
        guard header.sizeInBytes >= RecordBatchHeader.byteCount, header.sizeInBytes <= batch.count else {
            throw RecordBatchError(
                .wrongLength, "the header announces \(header.sizeInBytes) bytes, there are \(batch.count)")
        }
        guard header.recordCount >= 0, header.lastOffsetDelta >= 0,
            header.baseOffset.rawValue <= Int64.max - Int64(Int32.max)
        else {
            throw RecordBatchError(
                .wrongRecordCount, "\(header.recordCount) records, last offset delta \(header.lastOffsetDelta)")
        }
        return header
    }

    /// The next record, or nil after the last.
    /// - Throws: `malformedRecord`; every later call throws too.
    package mutating func next() throws(RecordBatchError) -> RecordView? {
        guard recordIndex < header.recordCount else {
            guard unsafe position == batch.count else {
                throw malformed("\(unsafe batch.count - position) bytes follow the last record")
            }
            return nil
        }
        var cursor = position
        guard let length = unsafe Varint.decode32(batch, at: &cursor), length > 0,
            unsafe Int(length) <= batch.count - cursor
        else { throw malformed("its length is outside the batch") }
        let body = unsafe UnsafeRawBufferPointer(rebasing: batch[cursor..<(cursor + Int(length))])
        let record = unsafe try parse(body)
        position = cursor + Int(length)
        recordIndex += 1
        return record
    }

    private mutating func parse(_ body: UnsafeRawBufferPointer) throws(RecordBatchError) -> RecordView {
        var at = 1  // the attributes: unused in v2
        guard let timestampDelta = unsafe Varint.decode64(body, at: &at) else { throw malformed("timestamp delta") }
        guard let delta = unsafe Varint.decode32(body, at: &at), delta > lastDelta, delta <= header.lastOffsetDelta
        else { throw malformed("offset delta") }
        guard let key = unsafe body.lengthPrefixed(at: &at) else { throw malformed("key") }
        guard let value = unsafe body.lengthPrefixed(at: &at) else { throw malformed("value") }
        // Each header takes two bytes or more, which bounds what a false count makes us do.
        guard let headerCount = unsafe Varint.decode32(body, at: &at), headerCount >= 0,
            Int(headerCount) <= (body.count - at) / 2
        else { throw malformed("header count") }
        let headersStart = at
        for _ in 0..<headerCount where unsafe RecordHeaderView(body, at: &at) == nil { throw malformed("header") }
        guard at == body.count else { throw malformed("\(body.count - at) bytes too many") }
        lastDelta = delta
        let headerBytes = unsafe UnsafeRawBufferPointer(rebasing: body[headersStart...])
        return unsafe RecordView(
            offset: header.baseOffset.advanced(by: Int64(delta)),
            timestampMilliseconds:
                header.isLogAppendTime ? header.maxTimestamp : header.baseTimestamp &+ timestampDelta,
            key: key, value: value,
            headers: RecordHeaderViews(count: Int(headerCount), bytes: headerBytes))
    }

    private func malformed(_ what: String) -> RecordBatchError {
        RecordBatchError(
            .malformedRecord,
            "record \(recordIndex) of the batch at offset \(header.baseOffset), byte \(position): \(what)")
    }
}

extension RecordReader {
    /// How many records without a key are told of.
    package static let keylessRecordsMax = 1000

    /// Reads all records that are left.
    /// - Returns: The places in the batch, from 0, of the first ones without a key.
    package mutating func keylessRecords() throws(RecordBatchError) -> [Int32] {
        var places: [Int32] = []
        var place: Int32 = 0
        while let record = try next() {
            if unsafe record.key == nil, places.count < Self.keylessRecordsMax { places.append(place) }
            place += 1
        }
        return places
    }
}

extension RecordBatch {
    /// Reads all records of a validated batch, but does not look into compressed ones.
    /// - Returns: The places in it, from 0, of the first ones without a key.
    package static func keylessRecords(_ batch: UnsafeRawBufferPointer) throws(RecordBatchError) -> [Int32] {
        guard unsafe !RecordBatchHeader(parsing: batch).isCompressed else { return [] }
        var reader = unsafe try RecordReader(batch)
        return try reader.keylessRecords()
    }
}
