import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

@Suite struct DirectoryThreadTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }
    var stored: String { String(decoding: readFile(path + "/recovery-point-offset-checkpoint"), as: UTF8.self) }

    @Test func storesOnItsThread() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2)
        let log = try #require(data.partition(topic: "t", index: 1))
        log.append(records: 5)
        try log.synchronize()
        let writer = try DirectoryThread()
        writer.submit(data.takeRecoveryPoints())
        let expected = "0\n2\nt 0 0\nt 1 5\n"
        for _ in 0..<10_000 where stored != expected { usleep(1000) }
        #expect(stored == expected)
        writer.stop()
        writer.stop()
    }

    /// Points that name a topic that was deleted since must not come back: a new one of its name would look cut short.
    @Test func olderPointsNeverReplaceTheOwners() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 1)
        let log = try #require(data.partition(topic: "t", index: 0))
        log.append(records: 5)
        try log.synchronize()
        let old = data.takeRecoveryPoints()
        try data.deleteTopic(name: "t")
        try data.createTopic(name: "t", partitions: 1)
        let before = stored
        try old.write()
        #expect(stored == before && !before.contains("t 0 5"))
        try data.takeRecoveryPoints().write()
        #expect(stored == "0\n1\nt 0 0\n")
        data.dropLock()
        #expect(try openDirectory(path).recoveryReport.fences.isEmpty)
    }

    /// The reactor hands points over while those before are being synced.
    @Test func takingPointsWaitsForNoSync() throws {
        let isStoring = Atomic(false)
        let mayGoOn = Atomic(false)
        var storage = PlannedStorage()
        let real = storage.real
        let paths = storage.paths
        storage.synchronize = { descriptor in
            guard paths.byDescriptor.withLock({ $0[descriptor] })?.contains("recovery-point") == true,
                !mayGoOn.load(ordering: .acquiring)
            else { return real.synchronize(descriptor) }
            isStoring.store(true, ordering: .releasing)
            for _ in 0..<10_000 where !mayGoOn.load(ordering: .acquiring) { usleep(1000) }
            isStoring.store(false, ordering: .releasing)
            return 0
        }
        mayGoOn.store(true, ordering: .releasing)
        let data = try LogDirectory.open(path: path, storage: storage)
        try data.createTopic(name: "t", partitions: 1)
        mayGoOn.store(false, ordering: .releasing)
        let writer = try DirectoryThread()
        writer.submit(data.takeRecoveryPoints())
        for _ in 0..<10_000 where !isStoring.load(ordering: .acquiring) { usleep(1000) }
        let points = data.takeRecoveryPoints()
        let wasQuick = isStoring.load(ordering: .acquiring)
        writer.submit(points)
        #expect(wasQuick, "it waited until the file was written")
        mayGoOn.store(true, ordering: .releasing)
        writer.stop()
        try data.close()
    }
}
