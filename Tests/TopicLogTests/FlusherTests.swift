import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

@Suite struct FlusherTests {
    let directory = TemporaryDirectory()

    /// Waits until the descriptor is readable; a minute without is a hang.
    static func wait(for flusher: Flusher) {
        var entry = pollfd(fd: flusher.wakeDescriptor, events: Int16(POLLIN), revents: 0)
        #expect(unsafe poll(&entry, 1, 60_000) == 1, "the flusher hangs")
    }

    static func results(_ flusher: Flusher, count: Int) -> [FlushResult] {
        var all: [FlushResult] = []
        while all.count < count {
            wait(for: flusher)
            let some = flusher.takeResults()
            if some.isEmpty { break }
            all += some
        }
        return all
    }

    @Test func makesDurable() throws {
        let flusher = try Flusher()
        let log = try openLog(directory, options(segmentBytes: 2 * Batch().size))
        for round in 1...20 {
            for _ in 0..<3 { log.append() }
            flusher.submit([FlushRequest(token: UInt64(round), ticket: try #require(log.takeFlushTicket()))])
            let results = Self.results(flusher, count: 1)
            #expect(results.map(\.token) == [UInt64(round)] && results[0].error == nil)
            log.didFlush(results[0].ticket, error: results[0].error)
            #expect(log.durableOffset == Offset(Int64(3 * round)))
            #expect(log.takeFlushTicket() == nil)
        }
        #expect(flusher.takeResults().isEmpty)
        flusher.stop()
        flusher.stop()
    }

    @Test func reportsErrorsToTheRightPartition() throws {
        let other = TemporaryDirectory()
        var broken = PlannedStorage()
        broken.synchronize = { _ in -EIO }
        let good = try openLog(directory)
        // Opening a log that is there syncs it; a new one's sync comes first here.
        let bad = try openLog(other, storage: broken)
        good.append()
        bad.append()
        let flusher = try Flusher()
        flusher.submit([
            FlushRequest(token: 1, ticket: good.takeFlushTicket()!),
            FlushRequest(token: 2, ticket: bad.takeFlushTicket()!),
        ])
        let results = Self.results(flusher, count: 2)
        #expect(results.map(\.token) == [1, 2])
        good.didFlush(results[0].ticket, error: results[0].error)
        bad.didFlush(results[1].ticket, error: results[1].error)
        #expect(good.durableOffset == Offset(1) && good.append() == appended(1, 1))
        #expect(bad.durableOffset == .zero && bad.append().storageCode == .poisoned)
        #expect(results[1].error?.errno == EIO && results[1].error?.path == bad.segments[0].file.path)
    }

    /// What was submitted is finished before the thread ends, and the descriptors outlive their log.
    @Test func stopFinishesTheWork() throws {
        let synced = Counter()
        var storage = PlannedStorage()
        storage.synchronize = {
            synced.next()
            return SystemStorage().synchronize($0)
        }
        let flusher = try Flusher()
        var tickets: [FlushTicket] = []
        for _ in 0..<10 {
            let own = TemporaryDirectory()
            let log = try openLog(own, storage: storage)
            log.append()
            tickets.append(log.takeFlushTicket()!)
            log.abandon()
            try log.files.removeDirectory(log.directory)
        }
        for (token, ticket) in tickets.enumerated() {
            flusher.submit([FlushRequest(token: UInt64(token), ticket: ticket)])
        }
        flusher.stop()
        let results = flusher.takeResults()
        #expect(results.map(\.token) == Array(0..<10) && results.allSatisfy { $0.error == nil })
        #expect(synced.now == 10)
    }

    /// Requests that wait together share one sync per file.
    @Test func syncsAFileOnce() throws {
        let synced = Counter()
        let gate = Mutex<Void>(())
        var storage = PlannedStorage()
        storage.synchronize = { _ in
            gate.withLock { _ in _ = synced.next() }
            return 0
        }
        let log = try openLog(directory, storage: storage)
        let flusher = try Flusher()
        log.append()
        let first = log.takeFlushTicket()!
        gate.withLock { _ in
            // The thread is held in the first sync, or has not begun: the rest piles up in at most one more batch.
            flusher.submit([FlushRequest(token: 0, ticket: first)])
            flusher.submit((1..<100).map { FlushRequest(token: UInt64($0), ticket: first) })
        }
        #expect(Self.results(flusher, count: 100).map(\.token) == Array(0..<100))
        #expect(synced.now <= 2)
    }

    /// Many partitions cost one sync of their file system; where that says nothing about the disk, one for each.
    @Test(arguments: [true, false]) func syncsManyPartitionsAtOnce(_ isFaithful: Bool) throws {
        let (whole, single) = (Counter(), Counter())
        var storage = PlannedStorage()
        storage.synchronizeFileSystem = { _ in
            whole.next()
            return isFaithful ? 0 : -EOPNOTSUPP
        }
        storage.synchronize = { _ in
            single.next()
            return 0
        }
        let data = try LogDirectory.open(path: directory.child("data"), storage: storage)
        try data.createTopic(name: "t", partitions: 256)
        let (wholeBefore, singleBefore) = (whole.now, single.now)
        let flusher = try Flusher(volumes: data.volumes)
        flusher.submit(
            (0..<256).map { index in
                let log = data.partition(topic: "t", index: index)!
                log.append()
                return FlushRequest(token: UInt64(index), ticket: log.takeFlushTicket()!)
            })
        let results = Self.results(flusher, count: 256)
        #expect(results.map(\.token) == Array(0..<256) && results.allSatisfy { $0.error == nil })
        #expect(whole.now - wholeBefore == 1 && single.now - singleBefore == (isFaithful ? 0 : 256))
    }

    /// A volume whose sync failed takes nothing more, in none of its partitions; the other disk goes on.
    @Test func failedSyncEndsTheVolume() throws {
        let isBroken = Counter()
        var storage = PlannedStorage()
        let broken = directory.child("a") + "/"
        let paths = storage
        storage.synchronize = { isBroken.now > 0 && paths.path($0).hasPrefix(broken) ? -EIO : 0 }
        let data = try LogDirectory.open(
            path: directory.child("a"), others: [directory.child("b")], storage: storage)
        try data.createTopic(name: "t", partitions: 4)
        let logs = (0..<4).map { data.partition(topic: "t", index: $0)! }
        #expect(logs.map { $0.volume === data.volumes[0] } == [true, false, true, false])
        for log in logs { log.append() }
        isBroken.set(1)
        let flusher = try Flusher(volumes: data.volumes)
        flusher.submit(logs[..<2].enumerated().map { FlushRequest(token: UInt64($0), ticket: $1.takeFlushTicket()!) })
        for result in Self.results(flusher, count: 2) {
            logs[Int(result.token)].didFlush(result.ticket, error: result.error)
        }
        #expect(logs[0].append().storageCode == .poisoned && logs[2].append().storageCode == .poisoned)
        #expect(logs[2].takeFlushTicket() == nil && logs[2].durableOffset == .zero)
        #expect(logs[1].durableOffset == Offset(1) && logs[3].append() == appended(1, 1))
    }

    /// Partitions on two disks are found again, and belong to one topic.
    @Test func severalVolumes() throws {
        let paths = [directory.child("a"), directory.child("b"), directory.child("c")]
        func open() throws(LogError) -> LogDirectory {
            try LogDirectory.open(path: paths[0], others: Array(paths[1...]), storage: PlannedStorage())
        }
        var data = try open()
        try data.createTopic(name: "t", partitions: 4)
        try data.createTopic(name: "u", partitions: 2)
        for index in 0..<4 {
            for _ in 0...index { data.partition(topic: "t", index: index)!.append() }
        }
        try data.close()
        #expect(
            try paths.map {
                try system.names(in: $0).filter {
                    $0.contains("-") && !$0.contains("checkpoint") && !["producer-ids", "cluster-id"].contains($0)
                }
            }
                == [["t-0", "t-3"], ["t-1", "u-0"], ["t-2", "u-1"]])
        data = try open()
        for index in 0..<4 {
            #expect(data.partition(topic: "t", index: index)!.logEndOffset == Offset(Int64(index + 1)))
        }
        try data.deleteTopic(name: "t")
        #expect(try system.names(in: paths[2]) == [".lock", "u-1"])
        try data.close()
        #expect(throws: LogError.self) { try openDirectory(paths[0]) }
        try system.rename(paths[2] + "/u-1", to: paths[0] + "/u-0")
        do {
            _ = try open()
            Issue.record("one partition in two places")
        } catch {
            #expect(error.code == .invalidCatalog && error.description.contains("move one of them away"))
        }
    }
}
