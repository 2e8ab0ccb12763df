import Glibc
import RecordFormat
import Testing

@testable import TopicLog

/// What committed readers must see, kept beside the log.
final class Model {
    enum Kind {
        /// Of a transaction; of nobody's when there is no producer.
        case data(Int64?)
        case marker(Int64, commit: Bool)
    }

    private(set) var outcomes: [Int64: Bool] = [:]
    /// Offsets of ongoing transactions, by producer.
    private(set) var ongoing: [Int64: [Int64]] = [:]

    func take(_ result: AppendResult, _ kind: Kind) {
        guard case .appended(let base, let last) = result else {
            Issue.record("refused: \(result)")
            return
        }
        let offsets = Array(base.rawValue...last.rawValue)
        switch kind {
        case .data(nil): for offset in offsets { outcomes[offset] = true }
        case .data(let producer?): ongoing[producer, default: []] += offsets
        case .marker(let producer, let commit):
            for offset in ongoing.removeValue(forKey: producer) ?? [] { outcomes[offset] = commit }
        }
    }

    /// Forgets what is not in the log any more.
    func deleteRecords(before offset: Int64) {
        outcomes = outcomes.filter { $0.key >= offset }
    }

    /// Reads as a consumer does that wants only what is committed, from several places.
    func check(_ log: PartitionLog, from starts: [Int64] = []) throws {
        let end = log.logEndOffset
        let first = ongoing.values.compactMap(\.first).min() ?? end.rawValue
        let stable = try log.lastStableOffset(below: end)
        #expect(stable.rawValue == max(first, log.logStartOffset.rawValue))
        for start in [log.logStartOffset.rawValue] + starts where start >= log.logStartOffset.rawValue {
            let seen = try Self.committed(log, from: start, below: stable)
            let expected = outcomes.filter { $0.value && $0.key >= start && $0.key < stable.rawValue }.keys.sorted()
            #expect(seen == expected, "from \(start)")
        }
    }

    /// The client's algorithm: a producer's records are dropped from where an aborted transaction of its begins to the
    /// marker.
    static func committed(_ log: PartitionLog, from start: Int64, below end: Offset) throws -> [Int64] {
        var aborted = try log.abortedTransactions(from: Offset(start), below: end)
            .sorted { $0.firstOffset < $1.firstOffset }[...]
        var dropping: Set<Int64> = []
        var seen: [Int64] = []
        var reader = TestReader(start)
        while true {
            let (read, bytes) = try reader.next(log, below: end)
            guard case .batches = read else { return seen }
            unsafe bytes.withUnsafeBytes { all in
                var at = 0
                while at < all.count {
                    let header = unsafe RecordBatchHeader(parsing: .init(rebasing: all[at...]))
                    at += header.sizeInBytes
                    while let next = aborted.first, next.firstOffset <= header.lastOffset {
                        dropping.insert(next.producerID)
                        aborted.removeFirst()
                    }
                    if header.isControl {
                        dropping.remove(header.producerID)
                    } else if header.recordCount > 0, !header.isTransactional || !dropping.contains(header.producerID) {
                        seen += Array(header.baseOffset.rawValue...header.lastOffset.rawValue).filter { $0 >= start }
                    }
                }
            }
        }
    }
}

/// Random transactions, stops and deletions: committed readers see what the model says.
@Suite struct TransactionModelTests {
    @Test(arguments: 1...(longRun ? 400 : 3) as ClosedRange<UInt64>)
    func readersSeeWhatWasCommitted(seed: UInt64) throws {
        try TransactionRun(seed: seed).run()
    }
}

private let longRun = unsafe getenv("RDMAD_TEST_LONG") != nil

private final class TransactionRun {
    private let temporary = TemporaryDirectory()
    private var state: UInt64
    private var directory: LogDirectory
    private let model = Model()
    private var sequences: [Int64: Int32] = [:]
    private var options = LogOptions()

    init(seed: UInt64) throws {
        state = seed &* 0x9E37_79B9_7F4A_7C15
        options.segmentBytes = 3000
        directory = try LogDirectory.open(
            path: temporary.child("d"), options: options, storage: PlannedStorage())
        try directory.createTopic(name: "t", partitions: 1)
    }

    private var log: PartitionLog { directory.partition(topic: "t", index: 0)! }

    private func random(_ count: UInt64) -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state % count
    }

    func run() throws {
        for step in 0..<250 {
            switch random(20) {
            case 0..<3: model.take(log.append(records: 1 + Int(random(3))), .data(nil))
            case 3..<12: write(Int64(random(6)))
            case 12..<16: end(Int64(random(6)), commit: random(2) == 0)
            case 16: try reopen(isClean: random(2) == 0)
            case 17: try deleteRecords()
            case 18:
                try log.synchronize()
                try directory.writeRecoveryPoints()
            default: try model.check(log, from: [Int64(random(UInt64(log.logEndOffset.rawValue) + 1))])
            }
            if step % 50 == 49 { try model.check(log) }
        }
        try reopen(isClean: false)
        for producer in 0..<6 as Range<Int64> { end(producer, commit: producer % 2 == 0) }
        try model.check(log)
        try reopen(isClean: true)
        try model.check(log)
        try directory.close()
    }

    private func write(_ producer: Int64) {
        let sequence = sequences[producer, default: 0]
        let records = 1 + Int32(random(3))
        sequences[producer] = sequence + records
        model.take(log.write(producer, sequence, records: Int(records)), .data(producer))
    }

    private func end(_ producer: Int64, commit: Bool) {
        model.take(log.end(producer, commit: commit), .marker(producer, commit: commit))
    }

    /// As after a restart, or a SIGKILL.
    private func reopen(isClean: Bool) throws {
        if isClean { try directory.close() } else { directory.releaseLock() }
        directory = try LogDirectory.open(path: temporary.child("d"), options: options, storage: PlannedStorage())
        try model.check(log)
    }

    /// Up to what is stable: the model keeps nothing of transactions that have lost their beginning.
    private func deleteRecords() throws {
        try log.synchronize()
        let stable = try log.lastStableOffset(below: log.logEndOffset)
        let span = UInt64(log.logStartOffset.distance(to: stable))
        let start = log.logStartOffset.advanced(by: Int64(random(span / 2 + 1)))
        _ = try directory.beginDeletion(topic: "t", partition: 0, before: start).perform().get()
        model.deleteRecords(before: start.rawValue)
    }
}
