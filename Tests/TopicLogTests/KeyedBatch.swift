import RecordFormat
import Testing

@testable import TopicLog

/// A batch of keys with values; nil for a tombstone.
@safe
final class KeyedBatch {
    let buffer: UnsafeMutableRawBufferPointer

    init(
        _ records: [(key: String?, value: String?)], timestamp: Int64 = 1000, producerID: Int64 = -1,
        sequence: Int32 = -1, attributes: UInt8 = 0
    ) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        for record in records {
            let isAdded = builder.append(
                key: record.key.map { Array($0.utf8) }, value: record.value.map { Array($0.utf8) },
                headers: [RecordHeader(key: "h", value: [1])], timestampMilliseconds: timestamp)
            precondition(isAdded)
        }
        let size = builder.seal(
            producerID: producerID, epoch: producerID < 0 ? -1 : 0, baseSequence: sequence)
        unsafe buffer = UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: size)
        guard attributes != 0 else { return }
        unsafe buffer[22] = attributes
        let sum = unsafe CRC32C.checksum(UnsafeRawBufferPointer(rebasing: buffer[21...]))
        for index in 0..<4 { unsafe buffer[17 + index] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * index)) }
    }

    deinit { unsafe buffer.deallocate() }

    var size: Int { unsafe buffer.count }
}

extension PartitionLog {
    @discardableResult
    func append(_ batch: KeyedBatch) -> AppendResult { unsafe append([batch.buffer])[0] }

    /// Closes the active segment, durably.
    func rollNow() throws {
        if let error = roll() { throw error }
        try synchronize()
    }

    /// A whole pass.
    func compact(at now: Int64 = 0) throws {
        guard let compaction = beginCompaction(nowMilliseconds: now) else { return }
        var made: [CompactedSegment] = []
        try compaction.run { made.append($0) }
        for segment in made { #expect(try install(segment)) }
        finishCompaction()
    }

    /// What a reader sees: `offset key=value`, in small reads.
    func contents(from start: Int64? = nil) throws -> [String] {
        var reader = TestReader(start ?? logStartOffset.rawValue, bufferBytes: 500)
        var found: [String] = []
        while true {
            let (read, bytes) = try reader.next(self)
            guard case .batches = read else {
                #expect(read == .end && reader.cursor.offset == logEndOffset, "\(read)")
                return found
            }
            unsafe try bytes.withUnsafeBytes { all in
                var at = 0
                while at < all.count {
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: all[at...])
                    let size = unsafe RecordBatchHeader(parsing: rest).sizeInBytes
                    at += size
                    let batch = unsafe UnsafeRawBufferPointer(rebasing: rest[..<size])
                    let header = unsafe try RecordBatch.validate(batch, bytesMax: size, isStored: true)
                    guard !header.isCompressed else {
                        found.append("\(header.baseOffset) compressed")
                        continue
                    }
                    if header.isControl {
                        let isCommit = unsafe EndTransactionMarker(batch)?.isCommit == true
                        found.append("\(header.baseOffset) \(isCommit ? "commit" : "abort")")
                        continue
                    }
                    var records = unsafe try RecordReader(batch)
                    while let record = try records.next() {
                        let key = unsafe record.key.map { unsafe String(decoding: $0, as: UTF8.self) } ?? "-"
                        let value = unsafe record.value.map { unsafe String(decoding: $0, as: UTF8.self) } ?? "none"
                        found.append("\(record.offset) \(key)=\(value)")
                        #expect(record.timestampMilliseconds == 1000 && record.headers.count == 1)
                    }
                }
            }
        }
    }
}

extension LogOptions {
    static func compacting(segmentBytes: Int = 1 << 20) -> LogOptions {
        var options = LogOptions()
        options.segmentBytes = segmentBytes
        options.cleanupPolicy = .compact
        options.deleteRetentionMilliseconds = 100
        return options
    }
}
