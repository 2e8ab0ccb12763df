import BrokerCore
import KafkaProtocol
import RecordFormat
import Synchronization
import Testing
import TopicLog
import TopicProtocol

@testable import KafkaFrontend

@Suite struct DoorProduceTests {
    @Test(arguments: [Int16(1), -1])
    func appendsAndAnswersWithOffsets(acks: Int16) throws {
        let bench = try DoorBench(flush: .group)
        try bench.createTopic("t")
        let client = bench.connect()
        let first = try bench.produce(client, "t", makeBatch(records: 3), acks: acks)
        #expect(first.errorCode == .none && first.baseOffset == 0 && first.logStartOffset == 0)
        #expect(first.logAppendTimeMs == -1)
        #expect(try bench.produce(client, "t", makeBatch(), acks: acks).baseOffset == 3)
    }

    /// Each partition of a request has its own outcome, in the request's order.
    @Test func answersForEachPartition() throws {
        let bench = try DoorBench()
        try bench.createTopic("a", partitions: 2)
        try bench.createTopic("b")
        let client = bench.connect()
        let batch = makeBatch()
        let number = bench.postProduce(
            client,
            [
                ("a", 1, batch), ("a", 7, batch), ("a", 0, batch), ("nosuch", 0, batch), ("b", 0, batch),
                ("b", -1, batch),
            ],
            invalid: [2: .invalid(.corruptMessage, "its checksum is wrong")])
        let response: ProduceResponse = try bench.response(to: number, 9)
        #expect(response.responses.map(\.name) == ["a", "nosuch", "b"])
        let results = response.responses.flatMap(\.partitionResponses)
        #expect(results.map(\.index) == [1, 7, 0, 0, 0, -1])
        #expect(
            results.map(\.errorCode) == [
                .none, .unknownTopicOrPartition, .corruptMessage, .unknownTopicOrPartition, .none,
                .unknownTopicOrPartition,
            ])
        #expect(results.map(\.baseOffset) == [0, -1, -1, -1, 0, -1])
        #expect(results[2].errorMessage == "its checksum is wrong")
    }

    @Test func refusesWhatKafkaRefuses() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        #expect(try bench.produce(client, "t", makeBatch(), acks: 2).errorCode == .invalidRequiredAcks)
        #expect(try bench.fetch(client, "t", at: 0).data.highWatermark == 0)
        // A commit makes the broker's own topic.
        _ = try bench.ask(client, 7, commit("g", "t", 0, offset: 0))
        #expect(try bench.produce(client, Broker.offsetsTopic, makeBatch()).errorCode == .invalidTopicException)
    }

    /// What a topic takes it says itself, less than the others or more.
    @Test func keepsToEachTopicsLimit() throws {
        let bench = try DoorBench()
        for (name, bytes) in [("small", "1000"), ("large", "3000000")] {
            let config = TopicConfig(name: "max.message.bytes", value: bytes)
            try bench.broker.perform(.create(.init(name, partitions: 1, configs: [config])))
        }
        let client = bench.connect()
        let refused = try bench.produce(client, "small", makeBatch(valueBytes: 1_000))
        #expect(refused.errorCode == .messageTooLarge && refused.errorMessage?.contains("1000") == true)
        #expect(try bench.produce(client, "small", makeBatch(valueBytes: 800)).errorCode == .none)
        #expect(try bench.produce(client, "large", makeBatch(valueBytes: 2_000_000)).errorCode == .none)
    }

    /// Where the last record of each key is kept, one without a key would be kept for ever.
    @Test(arguments: ["compact", "compact,delete"]) func aCompactedTopicTakesKeysOnly(_ policy: String) throws {
        let bench = try DoorBench()
        let config = TopicConfig(name: "cleanup.policy", value: policy)
        try bench.broker.perform(.create(.init("c", partitions: 1, configs: [config])))
        try bench.createTopic("plain")
        let client = bench.connect()
        let (mixed, keyed) = (makeBatch(keys: ["a", nil, "b", nil]), makeBatch(keys: ["a", "b"]))
        let refused = try bench.produce(client, "c", mixed)
        #expect(refused.errorCode == .invalidRecord && refused.baseOffset == -1)
        #expect(refused.errorMessage == "c is compacted, and record 1 of the batch has no key")
        #expect(refused.recordErrors.map(\.batchIndex) == [1, 3])
        #expect(try bench.produce(client, "c", keyed).baseOffset == 0)
        #expect(try bench.fetch(client, "c", at: 0).data.highWatermark == 2)
        #expect(try bench.produce(client, "plain", mixed).errorCode == .none)
        // What an event loop found where it was told to look: the batch may be compressed.
        let number = bench.postProduce(
            client, [("c", 0, keyed)], invalid: [0: .batch(0..<keyed.count, keyless: [1])])
        let response: ProduceResponse = try bench.response(to: number, 9)
        let found = try #require(response.responses.first?.partitionResponses.first)
        #expect(found.errorCode == .invalidRecord && found.recordErrors.map(\.batchIndex) == [1])
        // Compaction could not judge such a batch.
        var malformed = keyed
        malformed[RecordBatchHeader.byteCount] = 0x7e
        #expect(try bench.produce(client, "c", malformed).errorCode == .invalidRecord)
    }

    /// A producer that sends again what it has no answer to hears where it is.
    @Test func answersDuplicatesWithTheFirstOffset() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        #expect(try bench.produce(client, "t", makeBatch(records: 2, sequence: 0)).baseOffset == 0)
        #expect(try bench.produce(client, "t", makeBatch(records: 1, sequence: 2)).baseOffset == 2)
        let again = try bench.produce(client, "t", makeBatch(records: 2, sequence: 0))
        #expect(again.errorCode == .none && again.baseOffset == 0)
        let gap = try bench.produce(client, "t", makeBatch(sequence: 9))
        #expect(gap.errorCode == .outOfOrderSequenceNumber && gap.baseOffset == -1)
        #expect(try bench.fetch(client, "t", at: 0).data.highWatermark == 3)
    }

    @Test func sendsNothingWithoutAcks() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let number = bench.postProduce(client, acks: 0, [("t", 0, makeBatch())])
        guard case .nothing = try bench.answer(to: number).body else { throw BenchError.otherAnswer }
        #expect(try bench.fetch(client, "t", at: 0).data.highWatermark == 1)
        #expect(!bench.isAnswered(number))
    }

    /// There is no other way to tell.
    @Test func closesOnAnErrorWithoutAcks() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let unknown = bench.postProduce(client, acks: 0, [("nosuch", 0, makeBatch())])
        guard case .close = try bench.answer(to: unknown).body else { throw BenchError.otherAnswer }
        _ = try bench.produce(client, "t", makeBatch(sequence: 0))
        let gap = bench.postProduce(client, acks: 0, [("t", 0, makeBatch(sequence: 9))])
        guard case .nothing = try bench.answer(to: gap).body else { throw BenchError.otherAnswer }
        guard case .close = try bench.answer(to: gap).body else { throw BenchError.otherAnswer }
    }

    /// The memory goes back in the turn in which its batches were written, also when it has none.
    @Test func holdsMemoryForATurn() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let released = Counter()
        _ = bench.postProduce(client, [("t", 0, makeBatch()), ("t", 3, makeBatch())]) { released.add() }
        _ = bench.postProduce(client, [("nosuch", 0, makeBatch())]) { released.add() }
        bench.turn()
        #expect(released.count == 2)
        #expect(bench.door.stagedFrames.isEmpty && bench.door.freeProduces.count == bench.door.produces.count)
    }

    /// Acknowledgements of a connection that is gone go nowhere.
    @Test func forgetsClosedConnections() throws {
        let bench = try DoorBench(flush: .group)
        try bench.createTopic("t")
        let client = bench.connect()
        let number = bench.postProduce(client, [("t", 0, makeBatch())])
        bench.disconnect(client)
        #expect(!bench.isAnswered(number))
        let other = bench.connect()
        #expect(try bench.produce(other, "t", makeBatch()).baseOffset == 1)
        #expect(bench.door.freeProduces.count == bench.door.produces.count)
    }

    /// Who uses up his quota is answered, and then not read from for a while.
    @Test func mutesByQuota() throws {
        var quotas = QuotaLimits()
        quotas.standard.produce = 1_000
        let bench = try DoorBench(quotas: quotas)
        try bench.createTopic("t")
        let client = bench.connect()
        let number = bench.postProduce(client, [("t", 0, makeBatch(valueBytes: 5_000))])
        let answer = try bench.answer(to: number)
        guard case .produce(let response) = answer.body else { throw BenchError.otherAnswer }
        #expect(response.throttleTimeMs > 1_000)
        #expect(answer.throttleMilliseconds == UInt32(response.throttleTimeMs))
    }
}

/// Commits an offset for a group without members.
func commit(_ group: String, _ topic: String, _ partition: Int32, offset: Int64) -> OffsetCommitRequest {
    var request = OffsetCommitRequest()
    request.groupId = group
    var wanted = OffsetCommitRequest.OffsetCommitRequestTopic()
    wanted.name = topic
    var one = OffsetCommitRequest.OffsetCommitRequestPartition()
    one.partitionIndex = partition
    one.committedOffset = offset
    wanted.partitions = [one]
    request.topics = [wanted]
    return request
}

/// Counts, on any thread.
final class Counter: Sendable {
    private let value = Atomic(0)
    var count: Int { value.load(ordering: .relaxed) }
    func add() { value.add(1, ordering: .relaxed) }
}
