import Glibc
import RecordFormat
import Testing

@testable import TopicLog

@Suite struct CheckpointWriterTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }
    var stored: String { String(decoding: readFile(path + "/recovery-point-offset-checkpoint"), as: UTF8.self) }

    @Test func storesOnItsThread() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2)
        let log = try #require(data.partition(topic: "t", index: 1))
        log.append(records: 5)
        try log.synchronize()
        let writer = try CheckpointWriter()
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
}
