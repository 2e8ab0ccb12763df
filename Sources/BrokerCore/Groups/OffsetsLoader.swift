internal import RecordFormat
internal import TopicLog

/// Reads a topic of the broker's own from its beginning, a piece in each turn.
final class OffsetsLoader {
    private var remaining: [(partition: Partition, cursor: LogCursor)]
    private var buffer = [UInt8](repeating: 0, count: 1 << 20)
    private var trouble: String?

    init(_ partitions: [Partition]) {
        remaining = partitions.map { ($0, LogCursor($0.log.logStartOffset)) }
    }

    /// Hands out the records and the ends of transactions of the next piece. False when there is none left.
    func step(
        _ take: (RecordBatchHeader, RecordView) -> Void,
        end: (RecordBatchHeader, EndTransactionMarker, Partition) -> Void = { _, _, _ in }
    ) throws(LogError) -> Bool {
        guard let (partition, cursor) = remaining.last else { return false }
        var next = cursor
        let logEnd = partition.log.logEndOffset
        let read = try unsafe buffer.withUnsafeMutableBytes { bytes in
            Result { () throws(LogError) in unsafe try partition.log.read(&next, below: logEnd, into: bytes) }
        }.get()
        remaining[remaining.count - 1].cursor = next
        switch read {
        case .batches(let byteCount, _, _):
            unsafe buffer.withUnsafeBytes { bytes in
                unsafe hand(UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]), partition, take, end)
            }
        case .needs(let bytes): buffer = [UInt8](repeating: 0, count: bytes)
        case .corrupt(let offset):
            trouble = "\(partition.name) is damaged at offset \(offset): what was committed there is lost"
            skipPartition()
        case .end, .outOfRange: skipPartition()
        }
        return true
    }

    /// Goes on with the next partition.
    func skipPartition() { _ = remaining.popLast() }

    /// What an operator should know, once.
    func takeTrouble() -> String? {
        defer { trouble = nil }
        return trouble
    }

    private func hand(
        _ batches: UnsafeRawBufferPointer, _ partition: Partition, _ take: (RecordBatchHeader, RecordView) -> Void,
        _ end: (RecordBatchHeader, EndTransactionMarker, Partition) -> Void
    ) {
        var position = 0
        while position < batches.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: batches[position...])
            let byteCount = unsafe RecordBatchHeader(parsing: rest).sizeInBytes
            let batch = unsafe UnsafeRawBufferPointer(rebasing: rest[..<byteCount])
            position += byteCount
            do throws(RecordBatchError) {
                let header = unsafe try RecordBatch.validate(batch, bytesMax: byteCount, isStored: true)
                guard !header.isControl else {
                    if let marker = unsafe EndTransactionMarker(batch) { end(header, marker, partition) }
                    continue
                }
                var reader = unsafe try RecordReader(batch)
                while let record = try reader.next() { take(header, record) }
            } catch {
                trouble = "\(partition.name): \(error): what was committed there is lost"
            }
        }
    }
}
