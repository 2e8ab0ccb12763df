package import RecordFormat
package import TopicLog

/// What a log must hold, and what it may.
package struct LogModel {
    /// A batch as it is stored: with its base offset.
    package struct Batch: Equatable {
        package let header: RecordBatchHeader
        package let bytes: [UInt8]
    }

    /// One partition.
    package struct Partition {
        /// Everything appended, in order. What lies at or above `acknowledged` may be gone after the process ended.
        package var batches: [Batch] = []
        /// Everything below was promised to be durable.
        package var acknowledged: Int64 = 0
        /// Appends that were refused. They may be found behind all that was appended, as if never acknowledged.
        package var refused: [Batch] = []
        /// Below it compaction may have removed what does not count any more.
        package var compactedEnd: Int64 = 0

        /// The offset that the next record gets.
        package var end: Int64 { batches.last.map { $0.header.lastOffset.rawValue + 1 } ?? 0 }

        /// The last batch with records of a producer.
        package func last(of producer: Int64) -> Batch? {
            batches.last { $0.header.producerID == producer && !$0.header.isControl }
        }

        /// Whether a producer's transaction has not ended.
        func isOngoing(_ producer: Int64) -> Bool {
            let last = batches.last { $0.header.producerID == producer }
            return last.map { $0.header.isTransactional && !$0.header.isControl } ?? false
        }
    }

    /// One topic.
    package struct Topic {
        package var partitions: [Partition]
        /// The process ended while it was created or deleted, or that failed: it may be there or not.
        package var isUncertain = false
        /// The process ended while it was given so many partitions, or that failed: there may be these, or those above.
        package var partitionsMax = 0
        /// Once it is known.
        package var id: TopicUUID?
    }

    package var topics: [String: Topic] = [:]
    /// Every id that a producer was given.
    package var producerIDs: [Int64] = []
    /// Never two batches with the same bytes.
    private var serial: UInt64 = 0

    /// A sealed batch of some records, and of no producer or the next one of it.
    /// - Parameter keys: How many there are; 0: the records have none.
    mutating func makeBatch(
        _ generator: inout SeededGenerator, base: Int64, producer: Int64 = -1, sequence: Int32 = -1,
        isTransactional: Bool = false, keys: Int = 0
    ) -> Batch {
        let records = 1 + generator.below(4)
        let valueBytes = 8 + generator.below(generator.oneIn(4) ? 900 : 80)
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: 100 + records * (valueBytes + 30), alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        for index in 0..<records {
            serial += 1
            var value = [UInt8](repeating: UInt8(truncatingIfNeeded: serial), count: valueBytes)
            for byte in 0..<8 { value[byte] = UInt8(truncatingIfNeeded: serial >> (UInt64(byte) * 8)) }
            let key: [UInt8]? = keys == 0 ? nil : [UInt8(generator.below(keys))]
            precondition(builder.append(key: key, value: value, timestampMilliseconds: Int64(index)))
        }
        let size = builder.seal(
            producerID: producer, epoch: producer < 0 ? -1 : 0, baseSequence: sequence,
            isTransactional: isTransactional)
        return unsafe Self.place(UnsafeMutableRawBufferPointer(rebasing: memory[..<size]), at: base)
    }

    /// The end of a producer's transaction.
    func makeMarker(base: Int64, producer: Int64, isCommit: Bool) -> Batch {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: EndTransactionMarker.batchBytes, alignment: 16)
        defer { unsafe memory.deallocate() }
        let size = unsafe EndTransactionMarker(isCommit: isCommit).write(
            to: memory, producerID: producer, epoch: 0, timestampMilliseconds: 0)
        return unsafe Self.place(UnsafeMutableRawBufferPointer(rebasing: memory[..<size]), at: base)
    }

    private static func place(_ sealed: UnsafeMutableRawBufferPointer, at base: Int64) -> Batch {
        unsafe RecordBatch.assign(baseOffset: Offset(base), leaderEpoch: .zero, in: sealed)
        return unsafe Batch(
            header: RecordBatchHeader(parsing: UnsafeRawBufferPointer(sealed)), bytes: [UInt8](sealed))
    }
}
