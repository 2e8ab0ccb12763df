import Glibc
import LogSimulation
import RecordFormat
import TopicLog

/// Real processes that append to a real file system, killed at random moments.
///
/// A child writes a line for what it may acknowledge; the parent opens the log after the kill and looks for it.
enum Kills {
    private static let partitions = 3

    /// Kills `times` children, each on what the one before left in the directory.
    static func check(_ times: Int, _ path: String) -> Int32 {
        var checks = Checks()
        var generator = SeededGenerator(seed: 1)
        var acknowledged = Array(repeating: Int64(0), count: partitions)
        var (broken, productive) = (0, 0)
        for round in 0..<times {
            // Some on their way to the first acknowledgement, most in the midst of them.
            let lines = killed(
                path, afterLines: generator.oneIn(3) ? 0 : 1 + generator.below(40),
                andMicroseconds: UInt32(generator.below(20_000)))
            for (index, offset) in lines { acknowledged[index] = max(acknowledged[index], offset) }
            productive += lines.isEmpty ? 0 : 1
            do {
                acknowledged = try verify(path, acknowledged)
            } catch {
                broken += 1
                print("after kill \(round + 1): \(error)")
            }
        }
        checks.note(broken == 0, "\(times) processes killed, \(acknowledged.reduce(0, +)) records")
        checks.note(productive > times / 2, "\(productive) of them had acknowledged something")
        return checks.summarize()
    }

    /// Runs a child, kills it, and returns what it had acknowledged by then.
    private static func killed(
        _ path: String, afterLines linesMin: Int, andMicroseconds delay: UInt32
    ) -> [(Int, Int64)] {
        var ends: [Int32] = [-1, -1]
        precondition(unsafe pipe(&ends) == 0, "no pipe")
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        unsafe posix_spawn_file_actions_addclose(&actions, ends[0])
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe (["log-crash-sim", "append", path] as [String])
            .map { unsafe strdup($0) }
        unsafe arguments.append(nil)
        // The formatter would join the next line's two words.
        // swift-format-ignore
        defer { for unsafe word in unsafe arguments { unsafe free(word) } }
        var child: pid_t = 0
        precondition(unsafe posix_spawn(&child, "/proc/self/exe", &actions, nil, arguments, environ) == 0, "no child")
        close(ends[1])
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        /// Takes what the child says; false when it has ended.
        func listen() -> Bool {
            let count = unsafe Glibc.read(ends[0], &piece, piece.count)
            if count > 0 { text += piece[..<count] }
            return count > 0
        }
        while text.count(where: { $0 == UInt8(ascii: "\n") }) < linesMin, listen() {}
        usleep(delay)
        kill(child, SIGKILL)
        while listen() {}
        var status: Int32 = 0
        unsafe waitpid(child, &status, 0)
        close(ends[0])
        // A line that the kill cut was not heard.
        let whole = text.prefix((text.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1)
        return String(decoding: whole, as: UTF8.self).split(separator: "\n").map { line in
            let fields = line.split(separator: " ")
            return (Int(fields[0])!, Int64(fields[1])!)
        }
    }

    /// Opens the log, reads everything, and returns where the partitions end.
    private static func verify(_ path: String, _ acknowledged: [Int64]) throws -> [Int64] {
        let log = try LogDirectory.open(path: path, options: options)
        guard log.topics == ["t"] || acknowledged.allSatisfy({ $0 == 0 }) else {
            throw LogHarness.Violation("the topic is gone")
        }
        guard log.recoveryReport.fences.isEmpty else { throw LogHarness.Violation("\(log.recoveryReport)") }
        var ends = acknowledged
        for index in 0..<(log.partitionCount(topic: "t") ?? 0) {
            let partition = log.partition(topic: "t", index: index)!
            ends[index] = try read(partition, index)
            guard ends[index] >= acknowledged[index] else {
                throw LogHarness.Violation(
                    "partition \(index): acknowledged up to \(acknowledged[index]), found up to \(ends[index])")
            }
        }
        try log.close()
        return ends
    }

    /// Every batch must be the one that belongs at its offset.
    private static func read(_ log: PartitionLog, _ index: Int) throws -> Int64 {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { unsafe memory.deallocate() }
        var cursor = LogCursor(.zero)
        while case .batches(let count, _, _) = unsafe try log.read(&cursor, below: log.logEndOffset, into: memory) {
            var at = 0
            while at < count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: memory[at..<count])
                let header = unsafe RecordBatchHeader(parsing: rest)
                let bytes = unsafe UnsafeRawBufferPointer(rebasing: rest[..<header.sizeInBytes])
                let wanted = unsafe makeBatch(header.baseOffset.rawValue, index)
                defer { unsafe wanted.deallocate() }
                guard unsafe bytes.elementsEqual(wanted) else {
                    throw LogHarness.Violation("partition \(index): the batch at \(header.baseOffset) is another")
                }
                at += header.sizeInBytes
            }
        }
        guard cursor.offset == log.logEndOffset else {
            throw LogHarness.Violation("partition \(index): read to \(cursor.offset), ends at \(log.logEndOffset)")
        }
        return cursor.offset.rawValue
    }

    // MARK: - The child

    private static var options: LogOptions {
        var options = LogOptions()
        options.segmentBytes = 20_000
        return options
    }

    /// The batch that belongs at an offset of a partition: some records, of as many bytes as the offset says.
    private static func makeBatch(_ base: Int64, _ index: Int) -> UnsafeMutableRawBufferPointer {
        var generator = SeededGenerator(seed: UInt64(base) &* 31 &+ UInt64(index))
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 8192, alignment: 16)
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        let value = [UInt8](repeating: UInt8(truncatingIfNeeded: base), count: 1 + generator.below(1500))
        for _ in 0...generator.below(3) {
            precondition(builder.append(key: nil, value: value, timestampMilliseconds: base))
        }
        let size = builder.seal()
        let batch = unsafe UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: size)
        unsafe RecordBatch.assign(baseOffset: Offset(base), leaderEpoch: .zero, in: batch)
        return unsafe batch
    }

    /// Appends to every partition, has it flushed, and says what is durable; until somebody kills it.
    static func appendForEver(_ path: String) -> Never {
        do {
            let log = try LogDirectory.open(path: path, options: options)
            if log.topics.isEmpty { try log.createTopic(name: "t", partitions: partitions) }
            let flusher = try Flusher(volumes: log.volumes)
            while true {
                for index in 0..<partitions {
                    let partition = log.partition(topic: "t", index: index)!
                    let batch = unsafe makeBatch(partition.logEndOffset.rawValue, index)
                    _ = unsafe partition.append([batch])
                    unsafe batch.deallocate()
                    guard let ticket = partition.takeFlushTicket() else { continue }
                    flusher.submit([FlushRequest(token: UInt64(index), ticket: ticket)])
                }
                var event = pollfd(fd: flusher.wakeDescriptor, events: Int16(POLLIN), revents: 0)
                unsafe poll(&event, 1, -1)
                for result in flusher.takeResults() {
                    let partition = log.partition(topic: "t", index: Int(result.token))!
                    partition.didFlush(result.ticket, error: result.error)
                    // In one write, so that a kill cannot mix two lines.
                    let line = Array("\(result.token) \(partition.durableOffset)\n".utf8)
                    guard unsafe write(STDOUT_FILENO, line, line.count) == line.count else { exit(1) }
                }
                if log.areRecoveryPointsStale { try log.writeRecoveryPoints() }
            }
        } catch {
            print("\(error)")
            exit(1)
        }
    }
}
