import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

/// Topics and partitions that are made together, and configs that change.
@Suite struct CreationTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }

    private func code(_ body: () throws -> Void) -> LogError.Code? {
        do {
            try body()
            return nil
        } catch { return (error as? LogError)?.code }
    }

    /// Some can be made and some cannot: each has an answer of its own.
    @Test func manyAtOnce() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "old", partitions: 2)
        let errors = data.create([
            TopicCreation(name: "a", partitions: 3, configs: ["retention.ms": "5"]),
            TopicCreation(name: "old", partitions: 1, configs: [:]),
            TopicCreation(name: "b", partitions: 0, configs: [:]),
            TopicCreation(name: "a", partitions: 1, configs: [:]),
            TopicCreation(name: "c d", partitions: 1, configs: [:]),
            TopicCreation(name: "e", partitions: 2, configs: ["no.such": "1"]),
            TopicCreation(name: "f", partitions: 4, configs: [:]),
        ])
        let expected: [LogError.Code?] = [
            nil, .topicExists, .invalidPartitionCount, .topicExists, .invalidTopicName, .invalidConfig, nil,
        ]
        #expect(errors.map { $0?.code } == expected)
        #expect(data.topics == ["a", "f", "old"])
        data.partition(topic: "f", index: 3)!.append(records: 5)
        try data.close()
        let again = try openDirectory(path)
        #expect(again.topics == ["a", "f", "old"] && again.partitionCount(topic: "a") == 3)
        #expect(again.partition(topic: "a", index: 2)!.options.retentionMilliseconds == 5)
        #expect(again.partition(topic: "f", index: 3)!.logEndOffset == Offset(5))
        #expect(again.recoveryReport.orphans.isEmpty)
    }

    @Test func morePartitions() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2, configs: ["segment.bytes": "4000000"])
        data.partition(topic: "t", index: 1)!.append(records: 3)
        #expect(code { try data.addPartitions(topic: "t", total: 2) } == .invalidPartitionCount)
        #expect(code { try data.addPartitions(topic: "t", total: 1025) } == .invalidPartitionCount)
        #expect(code { try data.addPartitions(topic: "u", total: 2) } == .unknownTopic)
        try data.addPartitions(topic: "t", total: 9)
        let new = try #require(data.partition(topic: "t", index: 8))
        #expect(new.options.segmentBytes == 4_000_000)
        new.append(records: 4)
        try data.close()
        let again = try openDirectory(path)
        let ends = (0..<9).map { again.partition(topic: "t", index: $0)!.logEndOffset.rawValue }
        #expect(ends == [0, 3, 0, 0, 0, 0, 0, 0, 4])
    }

    /// One sync of the file system for all directories, and one for the catalog's rename.
    @Test func syncsAreShared() throws {
        var storage = PlannedStorage()
        storage.synchronizeFileSystem = { _ in 0 }
        let data = try LogDirectory.open(path: path, storage: storage)
        let syncs = Mutex<[String]>([])
        let watch: @Sendable (String, String) -> Int32 = { operation, _ in
            if operation.hasPrefix("syncing") { syncs.withLock { $0.append(operation) } }
            return 0
        }
        FaultPlan.$current.withValue(watch) {
            let errors = data.create((0..<50).map { TopicCreation(name: "t\($0)", partitions: 4, configs: [:]) })
            #expect(errors.allSatisfy { $0 == nil } && data.topics.count == 50)
        }
        #expect(syncs.withLock { $0 } == ["syncing all", "syncing", "syncing directory"])
    }

    @Test func altering() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2, configs: ["retention.ms": "5", "segment.bytes": "4000000"])
        try data.alterConfigs(topic: "t", [("retention.ms", nil), ("cleanup.policy", "compact")])
        for index in 0..<2 {
            let options = data.partition(topic: "t", index: index)!.options
            #expect(options.retentionMilliseconds == LogOptions().retentionMilliseconds)
            #expect(options.cleanupPolicy == .compact && options.segmentBytes == 4_000_000)
        }
        // All of it or nothing.
        #expect(
            code { try data.alterConfigs(topic: "t", [("retention.ms", "7"), ("segment.ms", "x")]) } == .invalidConfig)
        #expect(code { try data.alterConfigs(topic: "t", [("no.such", nil)]) } == .invalidConfig)
        // What would break the lines that are stored.
        for value in ["0.5\0", "0.5\0 x", "0.5\0\n", "0.5 ", "\n0.5", "0.5\u{7f}"] {
            for name in ["min.cleanable.dirty.ratio", "retention.ms", "cleanup.policy"] {
                #expect(code { try data.alterConfigs(topic: "t", [(name, value)]) } == .invalidConfig, "\(name)")
            }
        }
        #expect(code { try data.alterConfigs(topic: "u", [("retention.ms", "7")]) } == .unknownTopic)
        try data.addPartitions(topic: "t", total: 3)
        #expect(data.partition(topic: "t", index: 2)!.options.cleanupPolicy == .compact)
        data.dropLock()
        let again = try openDirectory(path)
        #expect(again.configs(topic: "t").map(\.name) == ["cleanup.policy", "segment.bytes"])
        #expect(again.partition(topic: "t", index: 2)!.options.cleanupPolicy == .compact)
    }

    /// Who asks for a segment for each batch is refused; who did before that was so is heard as far as it goes.
    @Test func smallSegments() throws {
        let data = try openDirectory(path)
        for value in ["1", "8191", "2147483648"] {
            #expect(code { try data.createTopic(name: "t", partitions: 1, configs: ["segment.bytes": value]) }
                == .invalidConfig)
        }
        try data.createTopic(name: "t", partitions: 1, configs: ["segment.bytes": "8192", "retention.ms": "5"])
        #expect(code { try data.alterConfigs(topic: "t", [("segment.bytes", "4096")]) } == .invalidConfig)
        try data.close()
        let file = path + "/topic-configs"
        let text = String(decoding: readFile(file), as: UTF8.self)
        #expect(text.contains("8192"))
        writeFile(file, Array(text.replacing("8192", with: "77").utf8))
        let again = try openDirectory(path)
        #expect(again.partition(topic: "t", index: 0)!.options.segmentBytes == 8192)
        #expect(again.configs(topic: "t").map(\.value) == ["5", "8192"])
        let raised = again.recoveryReport.raisedConfigs
        #expect(raised.map(\.topic) == ["t"] && raised.map(\.stored) == ["77"] && raised.map(\.value) == ["8192"])
        try again.alterConfigs(topic: "t", [("retention.ms", "7")])
        try again.close()
        #expect(try openDirectory(path).recoveryReport.raisedConfigs.isEmpty, "it was stored anew with the rest")
    }

    /// The list says what an operator would have to write to get the same.
    @Test func theListOfConfigsCanBeReadBack() throws {
        var options = LogOptions()
        options.flushPolicy = .interval(milliseconds: 20)
        options.cleanupPolicy = [.compact, .delete]
        options.minCleanableRatio = 0.25
        options.retentionBytes = 77
        let text = Dictionary(uniqueKeysWithValues: options.configs.map { ($0.name, $0.value) })
        let back = try LogOptions().applying(text)
        #expect(back.configs.map(\.value) == options.configs.map(\.value))
    }
}
