import RecordFormat
import TopicLog

// Compaction, and what it and transactions leave for readers.
extension LogHarness {
    /// A whole pass of compaction; `between` runs before its segments are put in place.
    package func compact(_ topic: String, _ index: Int, between: () throws -> Void) throws {
        guard let log = log.partition(topic: topic, index: index) else { return }
        try attempt("compact") {
            guard let compaction = log.beginCompaction(nowMilliseconds: 0) else { return }
            var made: [CompactedSegment] = []
            try compaction.run { made.append($0) }
            try between()
            let end = made.last?.range.upperBound.rawValue ?? 0
            let known = model.topics[topic]!.partitions[index].compactedEnd
            model.topics[topic]!.partitions[index].compactedEnd = max(known, end)
            for segment in made {
                if process.isDead { return }
                guard try log.install(segment) else { throw Violation("\(topic)-\(index): nothing was in its way") }
                compactions += 1
            }
            log.finishCompaction()
        }
    }

    /// Compares what compaction has left with what was appended: all that counts, and nothing else.
    func checkCompacted(_ found: [LogModel.Batch], _ known: LogModel.Partition, _ place: String) throws {
        let below = known.batches.filter { $0.header.baseOffset.rawValue < known.compactedEnd }
        let committed = known.outcome.committed
        var records: [Int64: LogModel.Batch.Record] = [:]
        var latest: [[UInt8]: Int64] = [:]
        for record in below.lazy.flatMap(\.records) {
            records[record.offset] = record
            if let key = record.key, committed.contains(record.offset) { latest[key] = record.offset }
        }
        var missing = Set(
            records.values.lazy
                .filter { record in
                    committed.contains(record.offset) && record.key.map { latest[$0] == record.offset } ?? true
                }
                .map(\.offset))
        for batch in found {
            guard !batch.header.isControl else {
                if below.contains(batch) { continue }
                throw Violation("\(place): a marker at \(batch.header.baseOffset) that nobody wrote")
            }
            for record in batch.records {
                guard records[record.offset] == record else {
                    throw Violation("\(place): a record at \(record.offset) that nobody appended there")
                }
                missing.remove(record.offset)
            }
        }
        if let first = missing.min() { throw Violation("\(place): compaction removed the record at \(first)") }
    }

    /// Reads as a client does that wants only what is committed.
    /// - Parameter known: What was found, and what compaction has removed of it.
    func checkCommitted(
        _ found: [LogModel.Batch], _ known: LogModel.Partition, _ log: PartitionLog, _ place: String
    ) throws {
        let outcome = known.outcome
        let stable = try log.lastStableOffset(below: log.logEndOffset)
        guard stable.rawValue == outcome.stable else {
            throw Violation("\(place): stable up to \(stable), not \(outcome.stable)")
        }
        let all = try log.abortedTransactions(from: .zero, below: stable)
        abortedFound += all.count
        let expected = outcome.aborted.filter { $0.firstOffset < stable }
        guard known.compactedEnd > 0 || all == expected else {
            throw Violation("\(place): aborted are \(all), not \(expected)")
        }
        let start = Int64(generator.below(Int(known.end) + 1))
        var aborted = try log.abortedTransactions(from: Offset(start), below: stable)
            .sorted { $0.firstOffset < $1.firstOffset }[...]
        var dropping: Set<Int64> = []
        for batch in found where batch.header.lastOffset.rawValue >= start && batch.header.baseOffset < stable {
            while let next = aborted.first, next.firstOffset <= batch.header.lastOffset {
                dropping.insert(next.producerID)
                aborted.removeFirst()
            }
            if batch.header.isControl { dropping.remove(batch.header.producerID) }
            let isSeen = !batch.header.isTransactional || !dropping.contains(batch.header.producerID)
            for record in batch.records where isSeen != outcome.committed.contains(record.offset) {
                throw Violation(
                    "\(place): from \(start) the record at \(record.offset) is \(isSeen ? "" : "not ")read as committed"
                )
            }
        }
    }
}
