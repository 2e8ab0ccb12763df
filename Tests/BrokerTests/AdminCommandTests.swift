import BrokerTestSupport
import Foundation
import RdmadClient
import Testing
import TransportTestSupport

/// `rdmad topic` and `rdmad config` against a broker in a process of its own.
@Suite struct AdminCommandTests {
    private func rdmad(
        _ broker: TestBroker, _ line: String, input: String? = nil
    ) throws -> (output: String, error: String, status: Int32) {
        try broker.rdmad(line.split(separator: " ").map(String.init), input: input)
    }

    /// What a command prints as JSON.
    private func json(_ broker: TestBroker, _ line: String) throws -> Any {
        let (output, error, status) = try rdmad(broker, line + " --json")
        try expect(status == 0, "\(line): \(error)")
        return try JSONSerialization.jsonObject(with: Data(output.utf8))
    }

    @Test func aTopicsLife() throws {
        let broker = try TestBroker()
        let created = try rdmad(broker, "topic create a b --partitions 2 --config retention.ms=5000")
        #expect(created.output == "created topic a with 2 partitions\ncreated topic b with 2 partitions\n")
        let again = try rdmad(broker, "topic create c a")
        #expect(again.status == 1 && again.output == "created topic c with 1 partition\n")
        #expect(again.error == "rdmad: create topic a: topic a exists already (TOPIC_ALREADY_EXISTS)\n")
        #expect(try rdmad(broker, "topic create a --if-not-exists").status == 0)
        #expect(try rdmad(broker, "topic delete b c").output == "deleted topic b\ndeleted topic c\n")
        let gone = try rdmad(broker, "topic delete b")
        #expect(gone.status == 1 && gone.error.contains("UNKNOWN_TOPIC_OR_PARTITION"))
        // What cannot be deleted does not keep the others.
        #expect(try rdmad(broker, "topic create d e").status == 0)
        let some = try rdmad(broker, "topic delete nope d none e")
        #expect(some.status == 1 && some.output == "deleted topic d\ndeleted topic e\n", "\(some)")
        #expect(some.error.split(separator: "\n").count == 2, "\(some)")
        let groups = try rdmad(broker, "group delete one two")
        #expect(groups.status == 1 && groups.error.split(separator: "\n").count == 2, "\(groups)")
        #expect(try rdmad(broker, "topic delete b --if-exists").status == 0)

        let fewer = try rdmad(broker, "topic add-partitions a --partitions 2")
        #expect(fewer.status == 1 && fewer.error.contains("INVALID_PARTITIONS"), "\(fewer)")
        #expect(try rdmad(broker, "topic add-partitions a --partitions 3").output == "topic a has 3 partitions\n")
        let list = try #require(try json(broker, "topic list") as? [[String: Any]])
        #expect(list.count == 1 && list[0]["name"] as? String == "a" && list[0]["partitions"] as? Int == 3)
        #expect(broker.stop() == 0)
        try broker.start()
        let described = try #require(try json(broker, "topic describe a") as? [String: Any])
        #expect((described["partitions"] as? [Any])?.count == 3)
        #expect((described["configs"] as? [String: String]) == ["retention.ms": "5000"])
        #expect(broker.stop() == 0)
    }

    /// Results that nobody can have are an error, not a success.
    @Test func aFullDiskBehindStandardOutput() throws {
        let broker = try TestBroker()
        let (full, error) = (unsafe open("/dev/full", O_WRONLY), try makePipe())
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        let child = try ChildProcess(
            [program, "topic", "list", "--broker", broker.url], output: full, error: error.write)
        close(full)
        close(error.write)
        #expect(readToEnd(error.read) == "rdmad: cannot write: No space left on device\n" && child.wait() == 1)
    }

    @Test func configsOfTopicsAndOfTheBroker() throws {
        let broker = try TestBroker(options: ["--log-retention-bytes", "123456", "--topics-max", "7"])
        #expect(try rdmad(broker, "topic create t --config segment.bytes=4194304").status == 0)
        #expect(try rdmad(broker, "topic alter t --config retention.ms=777 --delete-config segment.bytes").status == 0)
        #expect(try rdmad(broker, "config alter --topic t --config cleanup.policy=compact").status == 0)
        let configs = try #require(try json(broker, "config describe --topic t") as? [[String: Any]])
        func config(_ name: String) -> [String] {
            let found = configs.first { $0["name"] as? String == name }
            return [found?["value"] as? String ?? "none", found?["source"] as? String ?? "none"]
        }
        #expect(config("retention.ms") == ["777", "topic"] && config("cleanup.policy") == ["compact", "topic"])
        #expect(config("segment.bytes")[1] == "default" && config("retention.bytes") == ["123456", "broker"])
        let wrong = try rdmad(broker, "topic alter t --config retention.ms=soon")
        #expect(wrong.status == 1 && wrong.error.contains("INVALID_CONFIG") && wrong.error.contains("'soon'"))
        #expect(try rdmad(broker, "topic alter t").status == 64)
        #expect(try rdmad(broker, "config describe --topic nowhere").status == 1)
        let own = try rdmad(broker, "config describe")
        #expect(own.output.contains("topics.max") && own.output.contains("at a restart"), "\(own)")
        broker.kill()
        try broker.start()
        #expect(try rdmad(broker, "config describe --topic t").output.contains("777"))
    }

    /// Every setting of the broker stands in the table of docs/settings.md, with its default.
    @Test func theTableOfSettingsIsComplete() throws {
        let broker = try TestBroker()
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let table = try String(contentsOf: repository.appendingPathComponent("docs/settings.md"), encoding: .utf8)
        let configs = try #require(try json(broker, "config describe") as? [[String: Any]])
        #expect(configs.count > 15)
        for config in configs {
            let name = try #require(config["name"] as? String)
            let row = table.split(separator: "\n").first { $0.hasPrefix("| `\(name)` |") }
            let isBuiltIn = config["source"] as? String == "default"
            let value = (config["value"] as? String)!
            #expect(row != nil && (!isBuiltIn || value.isEmpty || row!.contains("| \(value) |")), "\(name) \(value)")
        }
    }

    @Test func offsetsByTimeAndDeletedRecords() async throws {
        let broker = try TestBroker(options: ["--segment-bytes", "20000"])
        #expect(try rdmad(broker, "topic create t --partitions 2").status == 0)
        let before = Int64(Date().timeIntervalSince1970 * 1000)
        let lines = (0..<200).map { "\($0) " + String(repeating: "x", count: 500) }.joined(separator: "\n") + "\n"
        #expect(try rdmad(broker, "produce t --partition 1", input: lines).status == 0)
        func offsets(_ time: String) throws -> [Int] {
            let found = try #require(try json(broker, "topic offsets t --time \(time)") as? [[String: Any]])
            return found.map { $0["offset"] as! Int }
        }
        #expect(try offsets("latest") == [0, 200] && offsets("earliest") == [0, 0])
        #expect(try offsets("\(before)") == [-1, 0] && offsets("\(before + 3_600_000)") == [-1, -1])
        #expect(try offsets("2020-01-01T00:00:00Z") == [-1, 0])
        #expect(try offsets("2020-02-29T00:00:00.25") == [-1, 0])
        let latest = try offsets("max-timestamp")
        #expect(latest[0] == -1 && (0..<200).contains(latest[1]))
        #expect(try offsets("-1") == [0, 200] && offsets("-2") == [0, 0])
        for time in [
            "yesterday", "2026-02-30T00:00:00Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z", "2026--01-01T00:00:00Z", "2026-x-01-01T00:00:00", "2026-01-01T00:00:00.",
            "2026-01-01T00:00:00Z5",
        ] {
            for command in ["topic offsets t --time", "consume t --timestamp"] {
                #expect(try rdmad(broker, "\(command) \(time)").status == 64, "\(command) \(time)")
            }
            let reset = "group reset-offsets g --topic t --to-datetime \(time)"
            #expect(try rdmad(broker, reset).status == 64, "\(time)")
        }
        #expect(try rdmad(broker, "topic offsets t --partition 2").status == 1)

        let files = { try FileManager.default.contentsOfDirectory(atPath: "\(broker.dataPath)/t-1").count }
        let count = try files()
        let tooFar = try rdmad(broker, "topic delete-records t --partition 1 --before 201")
        #expect(tooFar.status == 1 && tooFar.error.contains("OFFSET_OUT_OF_RANGE"), "\(tooFar)")
        #expect(try rdmad(broker, "topic delete-records t --partition 1 --before 150").output == "t-1 begins at 150\n")
        #expect(try files() < count)
        broker.kill()
        try broker.start()
        #expect(try offsets("earliest") == [0, 150])
        let read = try rdmad(broker, "consume t --partitions 1 --exit-at-end")
        #expect(read.output.split(separator: "\n").count == 50 && read.output.hasPrefix("150 "))
        #expect(try rdmad(broker, "topic delete-records t --partition 1 --before -1").status == 0)
        #expect(try offsets("earliest") == [0, 200])
    }

    /// By its flags, the broker deletes what is too much, without being asked.
    @Test func retentionBySize() async throws {
        let broker = try TestBroker(options: [
            "--segment-bytes", "20000", "--log-retention-bytes", "40000", "--log-retention-check-interval-ms", "20",
        ])
        #expect(try rdmad(broker, "topic create t").status == 0)
        let lines = (0..<400).map { "\($0) " + String(repeating: "x", count: 500) }.joined(separator: "\n") + "\n"
        #expect(try rdmad(broker, "produce t", input: lines).status == 0)
        let admin = Admin(broker: try broker.address)
        defer { admin.close() }
        var start: Int64 = 0
        // It goes step by step, as batches come.
        for _ in 0..<1500 where start <= 200 {
            start = try await admin.describeTopic("t")[0].startOffset
            if start <= 200 { usleep(20_000) }
        }
        #expect(start > 200 && start < 400)
        let read = try rdmad(broker, "consume t --exit-at-end")
        #expect(read.output.split(separator: "\n").count == 400 - Int(start))
    }

    /// A topic of keys: in the end the last value of each is left, at its offset.
    @Test func compactionByConfig() async throws {
        let broker = try TestBroker(options: ["--log-retention-check-interval-ms", "20", "--segment-bytes", "4000"])
        let settings = "--config cleanup.policy=compact --config min.cleanable.dirty.ratio=0.01"
        #expect(try rdmad(broker, "topic create t " + settings).status == 0)
        var configuration = Producer.Configuration()
        configuration.batchBytes = 1024
        let producer = try await Producer(topic: "t", broker: try broker.address, configuration: configuration)
        for number in 0..<1000 {
            try await producer.send(key: Array("\(number % 10)".utf8), value: Array("value \(number)".utf8))
        }
        try await producer.flush()
        producer.close()
        var records: [SeenRecord] = []
        for _ in 0..<1500 {
            records = try await readAll("t", of: try broker.address)
            if records.count < 200 { break }
            usleep(20_000)
        }
        #expect(records.count < 200)
        // The last of each key, and nothing that moved.
        for number in 990..<1000 {
            let last = records.last { $0.key == "\(number % 10)" }
            #expect(last?.value == Array("value \(number)".utf8) && last?.offset == Int64(number))
        }
    }
}
