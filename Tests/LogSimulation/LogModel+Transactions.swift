import RecordFormat
import TopicLog

extension LogModel.Batch {
    /// A record of a batch.
    struct Record: Equatable {
        let offset: Int64
        let key: [UInt8]?
        let value: [UInt8]
    }

    /// What is in it; none in a marker.
    var records: [Record] {
        guard !header.isControl, header.recordCount > 0 else { return [] }
        return unsafe bytes.withUnsafeBytes { bytes in
            var records: [Record] = []
            guard var reader = unsafe try? RecordReader(bytes) else { return [] }
            while let record = try? reader.next() {
                records.append(
                    unsafe Record(
                        offset: record.offset.rawValue, key: record.key.map { unsafe [UInt8]($0) },
                        value: record.value.map { unsafe [UInt8]($0) } ?? []))
            }
            return records
        }
    }

    /// Whether the transaction that it ends counts.
    var isCommit: Bool { unsafe bytes.withUnsafeBytes { unsafe EndTransactionMarker($0)?.isCommit } == true }
}

extension LogModel.Partition {
    /// What its transactions have come to.
    struct Outcome {
        /// Everything below has been decided.
        var stable: Int64
        /// In the order of their markers.
        var aborted: [AbortedTransaction] = []
        /// Offsets of records that count.
        var committed: Set<Int64> = []
    }

    var outcome: Outcome {
        var outcome = Outcome(stable: end)
        var ongoing: [Int64: (start: Int64, offsets: [Int64])] = [:]
        for batch in batches {
            let (base, last) = (batch.header.baseOffset.rawValue, batch.header.lastOffset.rawValue)
            let producer = batch.header.producerID
            if batch.header.isControl {
                guard let (start, offsets) = ongoing.removeValue(forKey: producer) else { continue }
                if batch.isCommit {
                    outcome.committed.formUnion(offsets)
                } else {
                    let stable = ongoing.values.map(\.start).min() ?? last + 1
                    outcome.aborted.append(
                        AbortedTransaction(
                            producerID: producer, firstOffset: Offset(start), lastOffset: Offset(last),
                            lastStableOffset: Offset(stable)))
                }
            } else if batch.header.isTransactional {
                ongoing[producer, default: (base, [])].offsets += Array(base...last)
            } else {
                outcome.committed.formUnion(base...last)
            }
        }
        outcome.stable = ongoing.values.map(\.start).min() ?? end
        return outcome
    }
}
