import BrokerCore
import KafkaProtocol
import Testing
import TopicProtocol

@testable import KafkaFrontend

/// What the door says of limits, in answers and in the log.
@Suite struct DoorLimitTests {
    private func deletion(_ topics: [(name: String?, id: Uuid)]) -> DeleteTopicsRequest {
        var request = DeleteTopicsRequest()
        request.topics = topics.map { name, id in
            var topic = DeleteTopicsRequest.DeleteTopicState()
            (topic.name, topic.topicId) = (name, id)
            return topic
        }
        return request
    }

    /// The answer is encoded by `ask`: a text that fits no field fails there.
    @Test func longNamesMakeShortErrors() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        let name = String(repeating: "é", count: 16_000)
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = (name, 1, 1)
        var request = CreateTopicsRequest()
        request.topics = [topic]
        let made = try #require(try bench.ask(client, 7, request).topics.first)
        #expect(made.errorCode == .invalidTopicException && made.name == name)
        let text = try #require(made.errorMessage)
        #expect(text.utf8.count <= 500 && text.utf8.count > 400 && text.contains("not allowed"))
        let gone = try bench.ask(client, 6, deletion([(name, Uuid())])).responses
        #expect(gone.map(\.errorCode) == [.unknownTopicOrPartition] && (gone[0].errorMessage ?? "").utf8.count <= 500)
    }

    @Test func onlyWhatWasDoneIsLogged() throws {
        let lines = LogLines()
        let bench = try DoorBench(log: lines.logger)
        try bench.createTopic("t")
        let client = bench.connect()
        let names = ["nosuch", "a\nb", "t"]
        let results = try bench.ask(client, 6, deletion(names.map { ($0, Uuid()) })).responses
        #expect(results.map(\.errorCode) == [.unknownTopicOrPartition, .unknownTopicOrPartition, .none])
        #expect(lines.all == [["message": "topic deleted", "topic": "t"]])
    }

    @Test func topicsAreDeletedByNameOrByID() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let id = try #require(bench.broker.uuid(of: "t").map { Uuid($0) })
        let client = bench.connect()
        let refused = try bench.ask(client, 6, deletion([("t", id), (nil, Uuid())])).responses
        #expect(refused.map(\.errorCode) == [.invalidRequest, .invalidRequest])
        #expect(bench.broker.topicNames == ["t"])
        #expect(try bench.ask(client, 6, deletion([(nil, id)])).responses.map(\.errorCode) == [.none])
    }

    @Test func whatIsNamedTwiceIsNotChanged() throws {
        let bench = try DoorBench()
        for name in ["t", "u"] { try bench.createTopic(name) }
        let client = bench.connect()
        let id = try #require(bench.broker.uuid(of: "t").map { Uuid($0) })
        let kept = try bench.ask(client, 6, deletion([("t", Uuid()), ("u", Uuid()), (nil, id)])).responses
        #expect(kept.map(\.errorCode) == [.invalidRequest, .none, .invalidRequest])
        #expect(bench.broker.topicNames == ["t"])
        var growth = CreatePartitionsRequest()
        growth.topics = [Int32(2), 3].map { count in
            var topic = CreatePartitionsRequest.CreatePartitionsTopic()
            (topic.name, topic.count) = ("t", count)
            return topic
        }
        #expect(try bench.ask(client, 3, growth).results.map(\.errorCode) == [.invalidRequest, .invalidRequest])
        #expect(bench.broker.partitions(of: "t")?.count == 1)
    }

    /// More changes than may wait: the client is told to ask again.
    @Test func changesThatFindNoPlaceAreAskedAgain() throws {
        let bench = try DoorBench()
        let count = 10_300
        let results = try bench.ask(
            bench.connect(), 6, deletion((0..<count).map { ("t\($0)", Uuid()) })
        ).responses
        #expect(results.prefix(10_000).allSatisfy { $0.errorCode == .unknownTopicOrPartition })
        #expect(results.dropFirst(10_000).allSatisfy { $0.errorCode == .throttlingQuotaExceeded })
        #expect(results.count == count)
    }

    @Test func compactedTopicsKeepTheirRecords() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        for (name, policy) in [("c", "compact"), ("both", "compact,delete")] {
            try bench.broker.perform(
                .create(.init(name, partitions: 1, configs: [TopicConfig(name: "cleanup.policy", value: policy)])))
        }
        var request = DeleteRecordsRequest()
        request.topics = ["c", "both"].map { name in
            var topic = DeleteRecordsRequest.DeleteRecordsTopic()
            (topic.name, topic.partitions) = (name, [.init()])
            return topic
        }
        let results = try bench.ask(client, 2, request).topics.flatMap(\.partitions)
        #expect(results.map(\.errorCode) == [.policyViolation, .none])
    }

    /// For no longer than this, whatever it asks for.
    @Test func aFetchWaitsForTenMinutesAtMost() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let waiting = bench.post(bench.connect(), 12, DoorBench.fetch([("t", 0, 0)], maxWaitMs: .max))
        #expect(!bench.isAnswered(waiting))
        let deadline = try #require(bench.door.nextDeadline)
        #expect(deadline <= bench.door.now + 600_000_000_000)
    }

    /// What is on its way to the log leaves room soon; what is kept does not.
    @Test func commitsThatFindNoPlaceAreTriedAgain() throws {
        var groups = DoorBench.quickGroups
        groups.totalBytesMax = 20_000
        let bench = try DoorBench(groups: groups)
        try bench.createTopic("t", partitions: 10)
        let client = bench.connect()
        func post(_ partition: Int32) -> UInt32 {
            var request = commit("g", "t", partition, offset: 1)
            request.topics[0].partitions[0].committedMetadata = String(repeating: "x", count: 4_000)
            return bench.post(client, 7, request)
        }
        func error(_ number: UInt32) throws -> KafkaError? {
            let response: OffsetCommitResponse = try bench.response(to: number, 7)
            return response.topics.first?.partitions.first?.errorCode
        }
        // All in one turn, before anything is written.
        let errors = try (0..<5).map { _ in post(0) }.map(error)
        #expect(errors == [.some(.none), .some(.none), .some(.none), .some(.none), .coordinatorNotAvailable])
        #expect(try error(post(0)) == KafkaError.none)
        for partition in 1..<4 as Range<Int32> { #expect(try error(post(partition)) == KafkaError.none) }
        #expect(try error(post(4)) == .policyViolation)
    }
}

@Suite struct ClientTextTests {
    @Test func controlCharactersAreSpelledOut() {
        #expect("kafka-client é 1".logged == "kafka-client é 1")
        #expect("a\r\nb\u{0}\u{2028}\u{202e}".logged == "a\\u{d}\\u{a}b\\u{0}\\u{2028}\\u{202e}")
        #expect(String(repeating: "x", count: 30_000).logged.utf8.count <= 256)
    }

    @Test func longTextsLoseTheirMiddle() {
        #expect("abc".cut(toBytes: 3) == "abc")
        #expect("begin \(String(repeating: "-", count: 99)) end".cut(toBytes: 15) == "begin ... - end")
        for length in 10..<40 {
            let text = String(repeating: "é🙂", count: 20).cut(toBytes: length)
            #expect(text.utf8.count <= length && !text.contains("\u{fffd}"))
        }
    }
}
