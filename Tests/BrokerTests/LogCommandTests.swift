import BrokerTestSupport
import Foundation
import Testing
import TransportTestSupport

/// `rdmad log verify` on what a broker has left behind.
@Suite struct LogCommandTests {
    private func verify(_ path: String, _ options: String...) throws -> (output: String, status: Int32) {
        let result = try TestBroker.rdmad(["log", "verify", path] + options, broker: "shm:///tmp/none")
        return (result.output, result.status)
    }

    private func flip(_ path: String, at position: Int) throws {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[position] ^= 0x10
        try bytes.write(to: URL(fileURLWithPath: path))
    }

    /// A stopped broker with a topic `t` of ten keys, whose first segment was compacted.
    private func compacted() throws -> TestBroker {
        let broker = try TestBroker(options: ["--log-retention-check-interval-ms", "20", "--segment-bytes", "4000"])
        let settings = ["cleanup.policy=compact", "min.cleanable.dirty.ratio=0.01"]
        #expect(try broker.rdmad(["topic", "create", "t"] + settings.flatMap { ["--config", $0] }).status == 0)
        let lines = (0..<1000).map { "\($0 % 10):value \($0)\n" }.joined()
        #expect(try broker.rdmad(["produce", "t", "-K", ":", "--batch-bytes", "1024"], input: lines).status == 0)
        for _ in 0..<1500 {
            let read = try broker.rdmad(["consume", "t", "--exit-at-end", "--format", "%o\\n"])
            if read.output.split(separator: "\n").count < 200 { break }
            usleep(20_000)
        }
        #expect(broker.stop() == 0)
        return broker
    }

    /// Gaps that compaction made are sound, as long as the file beside them says so.
    @Test func aCompactedTopic() throws {
        let broker = try compacted()
        let segment = broker.dataPath + "/t-0/00000000000000000000"
        let (output, status) = try verify(broker.dataPath)
        #expect(status == 0 && output.contains("t-0: ok, "), "\(output)")
        #expect(try verify(segment + ".log").status == 0)

        // The leader epoch of the first batch, which its own checksum does not cover.
        try flip(segment + ".log", at: 15)
        let damaged = try verify(broker.dataPath + "/t-0")
        #expect(damaged.status == 1, "\(damaged)")
        #expect(damaged.output.contains("DAMAGED: \(segment).log: the batch headers are not those"), "\(damaged)")
        try flip(segment + ".log", at: 15)
        #expect(try verify(broker.dataPath).status == 0)

        try FileManager.default.removeItem(atPath: segment + ".compacted")
        #expect(try verify(broker.dataPath).output.contains("t-0: DAMAGED"))
        #expect(try verify(broker.dataPath, "--compacted").status == 0)
    }

    @Test func asJSON() throws {
        let broker = try TestBroker()
        #expect(try broker.rdmad(["topic", "create", "t", "--partitions", "2"]).status == 0)
        #expect(try broker.rdmad(["produce", "t", "--partition", "1"], input: "one\ntwo\n").status == 0)
        #expect(broker.stop() == 0)
        func partitions(_ expected: Int32) throws -> [[String: Any]] {
            let (output, status) = try verify(broker.dataPath, "--json")
            #expect(status == expected && output.split(separator: "\n").count == 1, "\(output)")
            let found = try JSONSerialization.jsonObject(with: Data(output.utf8))
            return try #require(found as? [[String: Any]]).filter { ($0["partition"] as? String)?.first == "t" }
        }
        let sound = try partitions(0)
        #expect(sound.map { $0["partition"] as? String } == ["t-0", "t-1"])
        #expect(sound.map { $0["records"] as? Int } == [0, 2] && sound.allSatisfy { $0["sound"] as? Bool == true })
        #expect(sound[1]["endOffset"] as? Int == 2 && sound[1]["damage"] as? [String] == [])
        try flip(broker.dataPath + "/t-1/00000000000000000000.log", at: 70)
        let damaged = try partitions(1)
        #expect(damaged.map { $0["sound"] as? Bool } == [true, false])
        let texts = try #require(damaged[1]["damage"] as? [String])
        #expect(texts.contains { $0.contains("CRC-32C") }, "\(texts)")
        let alone = try verify(broker.dataPath + "/t-1/00000000000000000000.log")
        #expect(alone.status == 1 && alone.output.contains(".log: DAMAGED: "), "a segment that was acknowledged")
    }
}
