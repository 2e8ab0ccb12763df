import RecordFormat

/// What a partition's log must be like, kept in arrays.
struct ModelLog {
    struct Record: Equatable {
        var offset: Int64
        var key: UInt8?
        /// Nil for a tombstone.
        var value: UInt64?
        var timestamp: Int64
    }

    struct Batch {
        var base: Int64
        var last: Int64
        var sizeInBytes: Int
        var producer: Int64
        var sequence: Int32
        /// When its tombstones may go, once compaction has set it.
        var horizon: Int64?
    }

    /// In order of offsets, those below the start included until a segment goes.
    var records: [Record] = []
    var batches: [Batch] = []
    var start: Int64 = 0
    var end: Int64 = 0
    var durable: Int64 = 0
    /// The batches that an idempotent producer may send again, oldest first.
    var producers: [Int64: [Batch]] = [:]

    mutating func append(_ batch: Batch, _ content: [Record]) {
        batches.append(batch)
        records += content
        end = batch.last + 1
        guard batch.producer >= 0 else { return }
        producers[batch.producer, default: []].append(batch)
        if producers[batch.producer]!.count > 5 { producers[batch.producer]!.removeFirst() }
    }

    /// Compaction of a range of whole segments; keys were looked at below `cleaned`.
    mutating func compact(_ range: Range<Int64>, cleaned: Int64, lastOfKey: [UInt8: Int64], now: Int64, keep: Int64) {
        var tombstones: Set<Int64> = []
        let horizons = batches
        records.removeAll { record in
            guard range.contains(record.offset), record.offset < cleaned, let key = record.key else { return false }
            if lastOfKey[key]! > record.offset { return true }
            guard record.value == nil else { return false }
            let batch = horizons[Self.index(of: record.offset, in: horizons)!]
            if let horizon = batch.horizon, now >= horizon { return true }
            tombstones.insert(batch.base)
            return false
        }
        for index in batches.indices where tombstones.contains(batches[index].base) && batches[index].horizon == nil {
            batches[index].horizon = now + keep
        }
    }

    /// The last offset of each key below a limit.
    func lastOfKey(below limit: Int64) -> [UInt8: Int64] {
        var last: [UInt8: Int64] = [:]
        for record in records where record.offset < limit {
            if let key = record.key { last[key] = record.offset }
        }
        return last
    }

    /// The log now begins at an offset.
    mutating func moveStart(to offset: Int64) {
        start = offset
        records.removeAll { $0.offset < offset }
        batches.removeAll { $0.last < offset }
    }

    /// The log lost its end.
    mutating func cut(to offset: Int64) {
        end = offset
        durable = min(durable, offset)
        records.removeAll { $0.offset >= offset }
        batches.removeAll { $0.base >= offset }
    }

    /// What a restart remembers of producers for certain: the last batch, if the log still has it.
    mutating func forgetProducers() {
        var last: [Int64: [Batch]] = [:]
        for batch in batches where batch.producer >= 0 && batch.base >= start { last[batch.producer] = [batch] }
        producers = last
    }

    /// The batch that holds an offset.
    static func index(of offset: Int64, in batches: [Batch]) -> Int? {
        var low = 0
        var high = batches.count
        while low < high {
            let middle = (low + high) / 2
            if batches[middle].last < offset { low = middle + 1 } else { high = middle }
        }
        return low < batches.count && batches[low].base <= offset ? low : nil
    }

    /// Records from an offset up to, not including, another.
    func records(from offset: Int64, to end: Int64) -> ArraySlice<Record> {
        let first = firstRecord(at: offset)
        let last = firstRecord(at: end)
        return records[first..<max(first, last)]
    }

    private func firstRecord(at offset: Int64) -> Int {
        var low = 0
        var high = records.count
        while low < high {
            let middle = (low + high) / 2
            if records[middle].offset < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
