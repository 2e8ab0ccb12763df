import Glibc
import RecordFormat
import TopicLog

/// One sequence of random operations on a log in a directory, each result compared with the model's.
///
/// Everything comes from the seed. A crash drops the log without closing it, and tears what was never synced.
@safe  // The scratch memory is its own.
package final class ModelRun {
    let path: String
    var numbers: SeededNumbers
    var model = ModelLog()
    var options = LogOptions()
    var directory: LogDirectory?
    /// Milliseconds since 1970, as the log is told.
    var now: Int64 = 1_000_000
    var cursors: [LogCursor] = []
    /// Taken and not yet finished, oldest first.
    var tickets: [FlushTicket] = []
    var nextValue: UInt64 = 0
    var nextProducer: Int64 = 0
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    /// How often each operation was done.
    package private(set) var counts: [String: Int] = [:]

    /// - Parameter path: An empty directory.
    package init(seed: UInt64, path: String) {
        self.path = path
        numbers = SeededNumbers(seed: seed)
        options.segmentBytes = 200 + numbers.below(2000)
        options.indexIntervalBytes = 1 + numbers.below(400)
        options.cleanupPolicy = [.delete, .compact, .compact, [.compact, .delete]][numbers.below(4)]
        options.retentionMilliseconds = numbers.isOne(in: 2) ? -1 : Int64(1 + numbers.below(5000))
        options.retentionBytes = numbers.isOne(in: 2) ? -1 : Int64(numbers.below(8000))
        options.segmentMilliseconds = Int64(1 + numbers.below(5000))
        options.deleteRetentionMilliseconds = Int64(numbers.below(3000))
        options.compactionBytesMax = numbers.isOne(in: 2) ? 1 << 20 : 100 + numbers.below(500)
    }

    deinit { unsafe scratch.deallocate() }

    /// Does so many operations.
    /// - Throws: ``ModelFailure`` at the first disagreement.
    package func run(operations: Int) throws {
        try open()
        try directory!.createTopic(name: "t", partitions: 1)
        for number in 0..<operations {
            var name = ""
            do { name = try step() } catch {
                throw ModelFailure("operation \(number) \(name): \(error)")
            }
            counts[name, default: 0] += 1
        }
        try close()
        try reopen()
        try readAll()
    }

    var log: PartitionLog { directory!.partition(topic: "t", index: 0)! }

    private func step() throws -> String {
        switch numbers.below(100) {
        case 0..<40:
            try append()
            return "append"
        case 40..<72:
            try read()
            return "read"
        case 72..<80:
            try flush()
            return "flush"
        case 80..<84:
            try directory!.writeRecoveryPoints()
            return "recovery points"
        case 84..<87:
            try deleteRecords()
            return "delete records"
        case 87..<91:
            try deleteExpired()
            return "retention"
        case 91..<95:
            try compact()
            return "compact"
        case 95..<97:
            try crash()
            return "crash"
        case 97..<99:
            try close()
            try reopen()
            return "close"
        default:
            try readAll()
            return "read all"
        }
    }

    func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        guard !condition else { return }
        throw ModelFailure(
            "\(what()); the model has \(model.start)..<\(model.end), durable \(model.durable); the log "
                + "\(log.logStartOffset)..<\(log.logEndOffset), durable \(log.durableOffset)")
    }

    func open() throws {
        directory = try LogDirectory.open(path: path, options: options)
    }

    /// Opens, and compares what is known at once.
    func reopen() throws {
        try open()
        tickets = []
        try expect(log.fence == nil, "fenced: \(log.fence?.description ?? "")")
        try expect(log.logEndOffset.rawValue == model.end, "the end after a start")
        try expect(log.logStartOffset.rawValue == model.start, "the beginning after a start")
        try expect(log.durableOffset.rawValue == model.end, "durable after a start")
        model.durable = model.end
        model.forgetProducers()
        // A cursor knows positions of files that may have changed.
        cursors = cursors.map { LogCursor($0.offset) }
    }

    func close() throws {
        try directory!.close()
        directory = nil
    }
}
