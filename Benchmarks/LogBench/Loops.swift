import Glibc
import RecordFormat
import TopicLog

/// A directory for one measurement after another.
struct Place {
    let path: String
    init(_ path: String) { self.path = path }

    /// Runs `body` on a fresh path and removes what is there afterwards.
    func fresh<T>(_ body: (String) throws -> T) throws -> T {
        let own = "\(path)/log-bench-\(getpid())"
        defer { _ = unsafe system("rm -rf '\(own)'") }
        // What earlier rounds left dirty is not this one's to write.
        sync()
        return try body(own)
    }
}

/// Batches of 64 records of about 1 KiB (or one), sealed, in memory of their own. Never freed.
@safe
struct Batches {
    let all: [UnsafeMutableRawBufferPointer]
    let bytesEach: Int

    init(count: Int, records: Int) {
        let value = [UInt8](repeating: 0x5a, count: 1000)
        var made: [UnsafeMutableRawBufferPointer] = unsafe []
        for _ in 0..<count {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200 + records * 1024, alignment: 4096)
            var builder = unsafe RecordBatchBuilder(buffer: memory)
            for _ in 0..<records { precondition(builder.append(key: nil, value: value, timestampMilliseconds: 0)) }
            let size = builder.seal()
            unsafe made.append(UnsafeMutableRawBufferPointer(rebasing: memory[..<size]))
        }
        unsafe all = unsafe made
        bytesEach = unsafe made[0].count
    }
}

func seconds() -> Double {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// A topic in a data directory, with the flusher that `rdmad serve` would have.
final class Bench {
    let directory: LogDirectory
    let flusher: Flusher
    let logs: [PartitionLog]
    private var inFlight = 0

    init(_ path: String, partitions: Int) throws {
        directory = try LogDirectory.open(path: path)
        flusher = try Flusher(volumes: directory.volumes)
        try directory.createTopic(name: "bench", partitions: partitions)
        logs = (0..<partitions).map { [directory] in directory.partition(topic: "bench", index: $0)! }
    }

    func append(_ batches: [UnsafeMutableRawBufferPointer], to log: PartitionLog) throws {
        for result in unsafe log.append(batches) {
            guard case .appended = result else { throw Failure("refused: \(result)") }
        }
    }

    /// Asks for everything appended so far to be made durable.
    func submit() {
        var requests: [FlushRequest] = []
        for (index, log) in logs.enumerated() {
            if let ticket = log.takeFlushTicket() {
                requests.append(FlushRequest(token: UInt64(index), ticket: ticket))
            }
        }
        inFlight += requests.count
        flusher.submit(requests)
    }

    /// Sleeps until all that was asked for is durable.
    func wait() throws {
        while inFlight > 0 {
            var entry = pollfd(fd: flusher.wakeDescriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&entry, 1, -1)
            for result in flusher.takeResults() {
                if let error = result.error { throw error }
                logs[Int(result.token)].didFlush(result.ticket, error: nil)
                inFlight -= 1
            }
        }
    }
}

/// Batches of one group: what gathers while a sync runs, as far as a producer has announced it.
let groupBatches = 32

/// MB/s of one partition. Durable: while one group is synced, the next is appended.
func ownLoop(_ place: Place, batches count: Int, isDurable: Bool) throws -> Double {
    let batches = Batches(count: groupBatches, records: 64)
    return try place.fresh { path in
        let bench = try Bench(path, partitions: 1)
        let start = seconds()
        for _ in 0..<count / groupBatches {
            unsafe try bench.append(batches.all, to: bench.logs[0])
            guard isDurable else { continue }
            try bench.wait()
            bench.submit()
        }
        try bench.wait()
        return Double(count * batches.bytesEach) / (seconds() - start) / 1e6
    }
}

/// MB/s of the same bytes in the same groups: `pwritev`, and `fdatasync` after each group when durable.
func bareLoop(_ place: Place, batches count: Int, isDurable: Bool) throws -> Double {
    let batches = Batches(count: groupBatches, records: 64)
    let vectors = unsafe batches.all.map { unsafe iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
    return try place.fresh { path in
        let file = try bareFile(path)
        defer { close(file) }
        let start = seconds()
        var position = 0
        let bytes = groupBatches * batches.bytesEach
        for _ in 0..<count / groupBatches {
            guard unsafe pwritev(file, vectors, Int32(groupBatches), off_t(position)) == bytes else {
                throw Failure("pwritev wrote less, errno \(errno)")
            }
            position += bytes
            if isDurable, fdatasync(file) != 0 { throw Failure("fdatasync") }
        }
        return Double(position) / (seconds() - start) / 1e6
    }
}

private func bareFile(_ path: String) throws -> Int32 {
    guard unsafe mkdir(path, 0o750) == 0 else { throw Failure("cannot make \(path)") }
    let file = unsafe creat("\(path)/file", 0o640)
    guard file >= 0 else { throw Failure("cannot make a file in \(path)") }
    return file
}

/// Microseconds until one record is durable, the median, one after another.
func ownSingles(_ place: Place, count: Int) throws -> Double {
    let batches = Batches(count: 1, records: 1)
    return try place.fresh { path in
        let bench = try Bench(path, partitions: 1)
        return try median(count) {
            unsafe try bench.append(batches.all, to: bench.logs[0])
            bench.submit()
            try bench.wait()
        }
    }
}

/// The same by `pwrite` and `fdatasync`.
func bareSingles(_ place: Place, count: Int) throws -> Double {
    let batches = Batches(count: 1, records: 1)
    return try place.fresh { path in
        let file = try bareFile(path)
        defer { close(file) }
        var position = 0
        return try median(count) {
            guard unsafe pwrite(file, batches.all[0].baseAddress!, batches.bytesEach, off_t(position)) > 0,
                fdatasync(file) == 0
            else { throw Failure("append and sync") }
            position += batches.bytesEach
        }
    }
}

private func median(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
    var times: [Double] = []
    for _ in 0..<count {
        let start = seconds()
        try body()
        times.append((seconds() - start) * 1e6)
    }
    return times.sorted()[count / 2]
}

/// MB/s of groups of 256 batches, spread evenly over the partitions, made durable one after another.
func partitionLoop(_ place: Place, partitions: Int, groups: Int) throws -> Double {
    let each = 256 / partitions
    let batches = Batches(count: each, records: 64)
    return try place.fresh { path in
        let bench = try Bench(path, partitions: partitions)
        let start = seconds()
        for _ in 0..<groups {
            for log in bench.logs { unsafe try bench.append(batches.all, to: log) }
            try bench.wait()
            bench.submit()
        }
        try bench.wait()
        return Double(groups * 256 * batches.bytesEach) / (seconds() - start) / 1e6
    }
}
