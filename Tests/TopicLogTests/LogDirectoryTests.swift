import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

@Suite struct LogDirectoryTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }

    func code(_ body: () throws -> Void) -> LogError.Code? {
        do {
            try body()
            return nil
        } catch { return (error as? LogError)?.code }
    }

    @Test func createsAndReopens() throws {
        let data = try openDirectory(path)
        #expect(data.topics.isEmpty)
        try data.createTopic(name: "flights", partitions: 3)
        try data.createTopic(name: "a-1", partitions: 1)
        data.partition(topic: "flights", index: 2)!.append(records: 5)
        #expect(data.partition(topic: "flights", index: 3) == nil && data.partition(topic: "x", index: 0) == nil)
        try data.close()
        let ids = ["a-1", "flights"].map { data.id(topic: $0)! }
        #expect(
            String(decoding: readFile(path + "/topics"), as: UTF8.self)
                == "0\n2\na-1 1 \(ids[0])\nflights 3 \(ids[1])\n")
        let points = String(decoding: readFile(path + "/recovery-point-offset-checkpoint"), as: UTF8.self)
        #expect(points == "0\n4\na-1 0 0\nflights 0 0\nflights 1 0\nflights 2 5\n")
        let again = try openDirectory(path)
        #expect(again.topics == ["a-1", "flights"] && again.partitionCount(topic: "flights") == 3)
        #expect(again.partition(topic: "flights", index: 2)!.logEndOffset == Offset(5))
        #expect(again.recoveryReport.description == "2 topics, 4 partitions, 5 records")
    }

    @Test func refusesASecondOwner() throws {
        let data = try openDirectory(path)
        do {
            _ = try openDirectory(path)
            Issue.record("opened twice")
        } catch {
            #expect(error.code == .inUse)
            #expect(error.description == "data directory \(path) is already in use by process \(getpid())")
        }
        try data.close()
        try openDirectory(path).close()
    }

    /// Between `fork` and `exec` a child has a copy of every descriptor.
    @Test(arguments: [true, false]) func isFreeWhileAChildHasACopyOfTheLock(_ closes: Bool) throws {
        var data: LogDirectory? = try openDirectory(path)
        var lock = stat()
        #expect(unsafe stat(path + "/.lock", &lock) == 0)
        let held = (0..<Int32(4096)).first { descriptor in
            var status = stat()
            return unsafe fstat(descriptor, &status) == 0 && status.st_ino == lock.st_ino
                && status.st_dev == lock.st_dev
        }
        let copy = dup(try #require(held))
        defer { close(copy) }
        if closes { try data?.close() }
        data = nil
        try openDirectory(path).close()
    }

    @Test(arguments: ["", ".", "..", "a/b", "a b", "ü", "a\n", String(repeating: "x", count: 250)])
    func refusesBadNames(_ name: String) throws {
        let data = try openDirectory(path)
        #expect(code { try data.createTopic(name: name, partitions: 1) } == .invalidTopicName)
        #expect(data.topics.isEmpty)
    }

    @Test func refusesBadRequests() throws {
        let data = try openDirectory(path)
        for count in [0, -1, 1025] {
            #expect(code { try data.createTopic(name: "t", partitions: count) } == .invalidPartitionCount)
        }
        try data.createTopic(name: "t", partitions: 1)
        #expect(code { try data.createTopic(name: "t", partitions: 1) } == .topicExists)
        #expect(code { try data.deleteTopic(name: "u") } == .unknownTopic)
        try data.deleteTopic(name: "t")
        #expect(code { try data.deleteTopic(name: "t") } == .unknownTopic)
        #expect(data.topics.isEmpty)
    }

    /// Names of the greatest length, which leave no room for `.delete`.
    @Test func deletesLongNames() throws {
        let data = try openDirectory(path)
        let stem = String(repeating: "x", count: 248)
        for last in ["a", "b"] { try data.createTopic(name: stem + last, partitions: 12) }
        try data.deleteTopic(name: stem + "a")
        #expect(data.topics == [stem + "b"])
        for partition in [0, 11, 1023] {
            let names = ["a", "b"].map { TopicName.deletedDirectory(stem + $0, partition) }
            #expect(names[0] != names[1] && names.allSatisfy { $0.utf8.count <= 255 })
            #expect(names.allSatisfy(TopicName.isDeleted(directory:)))
        }
        #expect(!TopicName.isDeleted(directory: "x-0") && !TopicName.isDeleted(directory: "x.delete"))
        #expect(!TopicName.isDeleted(directory: "x-0.delete-0") && TopicName.isDeleted(directory: "x-0.delete"))
    }

    @Test func refusesContradictions() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2)
        data.partition(topic: "t", index: 0)!.append()
        try data.close()
        let catalog = readFile(path + "/topics")
        for bad in [
            "", "1\n1\nt 2\n", "0\n2\nt 2\n", "0\n1\nt\n", "0\n1\nt 0\n", "0\n1\nt 2", "0\n1\n../t 2\n",
            "0\n1\nt 2 AAAA\n", "0\n1\nt 2 AAAAAAAAAAAAAAAAAAAAAB\n",
        ] {
            writeFile(path + "/topics", Array(bad.utf8))
            #expect(code { _ = try openDirectory(path) } == .invalidCatalog, "'\(bad)'")
        }
        try system.remove(path + "/topics")
        do {
            _ = try openDirectory(path)
            Issue.record("started without a catalog")
        } catch { #expect(error.description.contains("no catalog") && error.description.contains("t-0")) }
        writeFile(path + "/topics", catalog)
        removeTree(path + "/t-1")
        do {
            _ = try openDirectory(path)
            Issue.record("started without a partition")
        } catch { #expect(error.description.contains("t-1 is missing")) }
        // A topic that the catalog does not know keeps its data, and its name is refused.
        writeFile(path + "/topics", Array("0\n0\n".utf8))
        let again = try openDirectory(path)
        #expect(again.recoveryReport.orphans == ["t-0"])
        #expect(code { try again.createTopic(name: "t", partitions: 1) } == .topicExists)
    }

    @Test func producerIDsAreNeverReused() throws {
        var seen: Set<Int64> = []
        for _ in 0..<3 {
            let data = try openDirectory(path)  // dropped, never closed
            for _ in 0..<1500 { #expect(seen.insert(try data.allocateProducerID()).inserted) }
        }
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 1)
        _ = data.partition(topic: "t", index: 0)!.append(producer: 99_999, sequence: 0)
        try data.close()
        try system.remove(path + "/producer-ids")
        #expect(try openDirectory(path).allocateProducerID() == 100_000)
    }

    /// Ids that clients made up say nothing of those that were given out, and none is larger than the last one there is.
    @Test func producerIDsOfStrangersDoNotCount() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 1)
        let log = data.partition(topic: "t", index: 0)!
        for (offset, id) in ([99_999, .max, .max - 1, 1 << 62] as [Int64]).enumerated() {
            #expect(log.append(producer: id, sequence: 0) == appended(Int64(offset), Int64(offset)))
        }
        try data.close()
        try system.remove(path + "/producer-ids")
        let again = try openDirectory(path)
        #expect(try again.allocateProducerID() == 100_000)
        #expect(again.partition(topic: "t", index: 0)!.append(producer: .max, sequence: 1) == appended(4, 4))
        try again.close()
        writeFile(path + "/producer-ids", Array("0\n1\n\(Int64.max - 5)\n".utf8))
        let last = try openDirectory(path)
        for _ in 0..<2 { #expect(code { _ = try last.allocateProducerID() } == .invalidCatalog) }
    }

    @Test func failedReservationGivesNothingOut() throws {
        let data = try openDirectory(path)
        FaultPlan.$current.withValue({ operation, _ in operation == "renaming" ? ENOSPC : 0 }) {
            #expect(code { _ = try data.allocateProducerID() } == .noSpace)
        }
        #expect(try data.allocateProducerID() == 0)
    }

    @Test func recoveryPointsFence() throws {
        var data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2)
        for _ in 0..<3 { data.partition(topic: "t", index: 0)!.append() }
        try data.partition(topic: "t", index: 0)!.synchronize()
        try data.writeRecoveryPoints()
        data.dropLock()  // as after SIGKILL
        let segment = path + "/t-0/00000000000000000000.log"
        var bytes = readFile(segment)
        bytes[2 * Batch().size + 16] ^= 1
        writeFile(segment, bytes)
        for _ in 0..<3 {  // as often as one likes, closed or not: the bound is not lowered
            data = try openDirectory(path)
            #expect(data.recoveryReport.fences.map(\.topic) == ["t"])
            #expect(data.partition(topic: "t", index: 0)!.fence?.start == Offset(2))
            #expect(data.partition(topic: "t", index: 1)!.append().storageCode == nil)
            try data.close()
            #expect(readFile(segment) == bytes)
        }
    }

    @Test func recoveryPointsGoStaleWithRolls() throws {
        let data = try LogDirectory.open(path: path, options: options(segmentBytes: Batch().size))
        try data.createTopic(name: "t", partitions: 1)
        let log = data.partition(topic: "t", index: 0)!
        log.append()
        try log.synchronize()
        #expect(!data.areRecoveryPointsStale)
        log.append()
        try log.synchronize()
        #expect(data.areRecoveryPointsStale)
        try data.writeRecoveryPoints()
        #expect(!data.areRecoveryPointsStale)
        let points = String(decoding: readFile(path + "/recovery-point-offset-checkpoint"), as: UTF8.self)
        #expect(points == "0\n1\nt 0 2\n")
    }

    /// A stop between calls leaves only what was synced, so the order of syncs and names counts too.
    @Test func syncsBeforeItCommits() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 1)
        let calls = Mutex<[String]>([])
        try FaultPlan.$current.withValue({ operation, path in
            calls.withLock { $0.append("\(operation) \(path.split(separator: "/").last!)") }
            return 0
        }) { try data.deleteTopic(name: "t") }
        #expect(
            calls.withLock { $0 } == [
                "renaming t-0", "syncing directory data",
                "creating topics.tmp", "writing topics.tmp", "syncing topics.tmp", "renaming topics.tmp",
                "syncing directory data",
                "removing 00000000000000000000.log", "removing directory t-0.delete",
                "creating recovery-point-offset-checkpoint.tmp", "writing recovery-point-offset-checkpoint.tmp",
                "syncing recovery-point-offset-checkpoint.tmp", "renaming recovery-point-offset-checkpoint.tmp",
                "syncing directory data",
            ])
    }

    /// A topic made anew has nothing of the old one: no data, no recovery point.
    @Test func recreatedTopicIsEmpty() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 1)
        data.partition(topic: "t", index: 0)!.append(records: 10)
        try data.partition(topic: "t", index: 0)!.synchronize()
        try data.writeRecoveryPoints()
        try data.deleteTopic(name: "t")
        try data.createTopic(name: "t", partitions: 1)
        try data.close()
        let again = try openDirectory(path)
        #expect(again.partition(topic: "t", index: 0)!.logEndOffset == .zero && again.recoveryReport.fences.isEmpty)
    }
}
