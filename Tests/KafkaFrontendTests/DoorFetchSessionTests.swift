import BrokerCore
import KafkaProtocol
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import KafkaFrontend

/// KIP-227, as the Java client and kafka-python rely on it.
@Suite struct DoorFetchSessionTests {
    @Test func answersWhatIsNew() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 3)
        try bench.createTopic("u")
        let client = SessionClient(bench)
        let begun = try client.fetch([("t", 0, 0), ("t", 1, 0), ("t", 2, 0), ("u", 0, 0)])
        #expect(begun.error == .none && client.session > 0)
        #expect(begun.named == ["t-0", "t-1", "t-2", "u-0"])
        // Nothing is new, and nothing is said.
        #expect(try client.fetch([]).named == [])
        _ = try bench.produce(bench.connect(), "t", makeBatch(), partition: 1)
        let grown = try client.fetch([])
        #expect(grown.named == ["t-1"] && grown.bytes == [stored(makeBatch(), at: 0)])
        // Whoever does not take what there is gets it again.
        #expect(try client.fetch([]).named == ["t-1"])
        #expect(try client.fetch([("t", 1, 1)]).named == [])
        #expect(bench.door.counters.incrementalFetches == 4)
    }

    @Test func waitsForRecordsOfAllItsPartitions() throws {
        let bench = try DoorBench(flush: .group)
        try bench.createTopic("t", partitions: 2)
        let client = SessionClient(bench)
        _ = try client.fetch([("t", 0, 0), ("t", 1, 0)])
        let waiting = client.post([], maxWaitMs: 600_000)
        #expect(!bench.isAnswered(waiting))
        _ = try bench.produce(bench.connect(), "t", makeBatch(), partition: 1)
        let answer = try client.answer(waiting)
        #expect(answer.named == ["t-1"] && answer.bytes == [stored(makeBatch(), at: 0)])
        // When its time is over the answer says nothing.
        #expect(try client.fetch([("t", 1, 1)], maxWaitMs: 1).named == [])
    }

    /// The bounds of a log are news, too; what was found and not sent was not told.
    @Test func tellsOfBounds() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        let (client, producer) = (SessionClient(bench), bench.connect())
        for _ in 0..<3 { _ = try bench.produce(producer, "t", makeBatch(), partition: 1) }
        #expect(try client.fetch([("t", 0, 0), ("t", 1, 3)]).named == ["t-0", "t-1"])
        #expect(try client.fetch([]).named == [])
        // Less than it waits for: the high watermark is told with the answer that its time brings.
        let size = Int32(makeBatch().count)
        let waiting = client.post([], maxWaitMs: 600_000, minBytes: 2 * size)
        _ = try bench.produce(producer, "t", makeBatch())
        #expect(!bench.isAnswered(waiting))
        var deletion = DeleteRecordsRequest()
        deletion.topics = [.init()]
        deletion.topics[0].name = "t"
        deletion.topics[0].partitions = [.init()]
        (deletion.topics[0].partitions[0].partitionIndex, deletion.topics[0].partitions[0].offset) = (1, 2)
        _ = try bench.ask(producer, 2, deletion)
        _ = try bench.produce(producer, "t", makeBatch())
        let answer = try client.answer(waiting)
        #expect(answer.named == ["t-0", "t-1"] && answer.data[1].logStartOffset == 2)
        #expect(answer.data[0].highWatermark == 2 && answer.bytes[0].count == 2 * Int(size))
        #expect(try client.fetch([("t", 0, 2)]).named == [])
    }

    @Test func changes() throws {
        let bench = try DoorBench()
        for name in ["t", "u"] {
            try bench.createTopic(name, partitions: 2)
            for partition in 0..<2 as Range<Int32> {
                _ = try bench.produce(bench.connect(), name, makeBatch(), partition: partition)
            }
        }
        let client = SessionClient(bench)
        #expect(try client.fetch([("t", 0, 0), ("t", 1, 0)]).named == ["t-0", "t-1"])
        #expect(Set(try client.fetch([("u", 1, 0)], forgetting: [("t", 0)]).named) == ["t-1", "u-1"])
        #expect(Set(try client.fetch([], forgetting: [("t", 7), ("w", 0)]).named) == ["t-1", "u-1"])
        #expect(try client.fetch([("t", 0, 1)], forgetting: [("u", 1)], maxBytes: 1 << 20).named == ["t-1", "t-0"])
        // Named and forgotten is forgotten.
        #expect(try client.fetch([("u", 0, 0)], forgetting: [("u", 0), ("t", 1)]).named == [])
        // Without a partition it is none.
        let empty = try client.fetch([], forgetting: [("t", 0)], maxWaitMs: 600_000)
        #expect(empty.error == .none && empty.session == 0 && empty.named == [])
        #expect(bench.door.sessionBytes == 0)
        #expect(try client.fetch([]).error == .fetchSessionIdNotFound)
    }

    /// A partition that there is not is told of each time, until there is.
    @Test func keepsWhatThereIsNot() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = SessionClient(bench)
        for _ in 0..<2 {
            let answer = try client.fetch(client.session == 0 ? [("t", 0, 0), ("later", 0, 0), ("t", 5, 0)] : [])
            #expect(answer.named.contains("later-0") && answer.named.contains("t-5"))
            #expect(answer.data.filter { $0.errorCode == .unknownTopicOrPartition }.count == 2)
        }
        _ = try client.fetch([], forgetting: [("t", 5)])
        try bench.createTopic("later")
        let appeared = try client.fetch([])
        #expect(appeared.named == ["later-0"] && appeared.data[0].errorCode == .none)
        #expect(try client.fetch([]).named == [])
        // And again when it is gone.
        let waiting = client.post([], maxWaitMs: 600_000)
        #expect(!bench.isAnswered(waiting))
        try bench.broker.perform(.delete("t"))
        let gone = try client.answer(waiting)
        #expect(gone.named == ["t-0"] && gone.data[0].errorCode == .unknownTopicOrPartition)
    }

    /// Kafka's refusals; none of them touches the session.
    @Test func refusesWhatKafkaRefuses() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = SessionClient(bench)
        _ = try client.fetch([("t", 0, 0)])
        let id = client.session
        for (session, epoch, version, error) in [
            (id, 2, 12, .invalidFetchSessionEpoch), (id, -2, 12, .invalidFetchSessionEpoch),
            (id, .max, 12, .invalidFetchSessionEpoch), (id + 1, 1, 12, .fetchSessionIdNotFound),
            (0, 1, 12, .fetchSessionIdNotFound), (id, 1, 13, .fetchSessionTopicIdError),
        ] as [(Int32, Int32, Int16, KafkaError)] {
            let answer = try client.answer(client.post([], session: session, epoch: epoch, version: version), version)
            #expect(answer.error == error && answer.session == 0 && answer.named == [])
        }
        // Another connection has no part in it.
        let other = SessionClient(bench)
        (other.session, other.epoch) = (id, 1)
        #expect(try other.fetch([]).error == .fetchSessionIdNotFound)
        #expect(try client.fetch([]).error == .none)
        #expect(bench.door.counters.incrementalFetches == 1)
    }

    @Test func ends() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = SessionClient(bench)
        _ = try client.fetch([("t", 0, 0)])
        let first = client.session
        // Who names another, or none, and all partitions, leaves it alone.
        for session in [first + 7, 0] {
            let whole = try client.answer(client.post([("t", 0, 0)], session: session, epoch: -1))
            #expect(whole.error == .none && whole.session == 0 && whole.named == ["t-0"])
        }
        #expect(try client.fetch([]).error == .none)
        // Who begins another ends it.
        let anew = try client.answer(client.post([("t", 0, 0)], session: first, epoch: 0))
        #expect(anew.error == .none && anew.session != first && anew.named == ["t-0"])
        #expect(try client.fetch([]).error == .fetchSessionIdNotFound)
        (client.session, client.epoch) = (anew.session, 1)
        #expect(try client.fetch([]).error == .none)
        let last = try client.answer(client.post([], session: anew.session, epoch: -1, maxWaitMs: 600_000))
        #expect(last.error == .none && last.session == 0)
        #expect(try client.fetch([]).error == .fetchSessionIdNotFound)
        #expect(bench.door.sessionBytes == 0)
        // So does the connection's end.
        let other = SessionClient(bench)
        _ = try other.fetch([("t", 0, 0)])
        #expect(bench.door.sessionBytes > 0)
        bench.disconnect(other.connection)
        bench.turn()
        #expect(bench.door.sessionBytes == 0)
    }

    /// With room for a few batches, each partition has its turn, whatever the ones before have.
    @Test func partitionsTakeTurns() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 5)
        let producer = bench.connect()
        for partition in 0..<5 as Range<Int32> {
            for _ in 0..<6 { _ = try bench.produce(producer, "t", makeBatch(), partition: partition) }
        }
        let client = SessionClient(bench)
        var next = [Int64](repeating: 0, count: 5)
        var turns: [String] = []
        var moved = (0..<5).map { ("t", Int32($0), Int64(0)) }
        for _ in 0..<10 {
            let size = Int32(makeBatch().count)
            let answer = try client.fetch(moved, maxBytes: 2 * size, partitionMaxBytes: size)
            moved = []
            for (data, bytes) in zip(answer.data, answer.bytes) where !bytes.isEmpty {
                #expect(bytes == stored(makeBatch(), at: next[Int(data.partitionIndex)]))
                next[Int(data.partitionIndex)] += 1
                turns.append("\(data.partitionIndex)")
                moved.append(("t", data.partitionIndex, next[Int(data.partitionIndex)]))
            }
        }
        #expect(turns.joined() == "01234012340123401234")
    }

    /// One whose batch is larger than a partition's share comes first some time, whatever the others have.
    @Test func aLargeBatchHasItsTurn() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 3)
        let (client, large) = (SessionClient(bench), makeBatch(valueBytes: 5_000))
        _ = try bench.produce(bench.connect(), "t", large, partition: 1)
        for partition in [0, 2] as [Int32] {
            for _ in 0..<5 { _ = try bench.produce(bench.connect(), "t", makeBatch(), partition: partition) }
        }
        var moved = (0..<3).map { ("t", Int32($0), Int64(0)) }
        for number in 1...3 {
            let answer = try client.fetch(moved, partitionMaxBytes: Int32(makeBatch().count))
            if answer.bytes.contains(stored(large, at: 0)) { return }
            moved = answer.data.map { ("t", $0.partitionIndex, $0.records?.count ?? 0 > 0 ? Int64(number) : 0) }
        }
        Issue.record("three answers went without it")
    }

    /// What one answer finds is looked up where its session was, though the next request changes it.
    @Test func aFetchIsAnsweredBeforeTheNext() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 3)
        let client = SessionClient(bench)
        _ = try client.fetch([("t", 0, 0), ("t", 1, 0), ("t", 2, 0)])
        let size = Int32(makeBatch().count)
        let waiting = client.post([], maxWaitMs: 600_000, minBytes: 2 * size)
        _ = try bench.produce(bench.connect(), "t", makeBatch(), partition: 2)
        #expect(!bench.isAnswered(waiting))
        let next = client.post([], forgetting: [("t", 0), ("t", 1)])
        #expect(try client.answer(waiting).named == ["t-2"])
        #expect(try client.answer(next).named == ["t-2"])
    }

    @Test func ofTopicsByID() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = SessionClient(bench)
        let id = bench.door.topicID("t")
        func fetch(_ topics: [(Uuid, Int64)], forgetting: [Uuid] = []) throws -> FetchResponse {
            var request = DoorBench.fetch([])
            (request.sessionId, request.sessionEpoch) = (client.session, client.epoch)
            request.topics = topics.map { id, offset in
                var topic = DoorBench.fetch([("", 0, offset)]).topics[0]
                topic.topicId = id
                return topic
            }
            request.forgottenTopicsData = forgetting.map { id in
                var topic = FetchRequest.ForgottenTopic()
                (topic.topicId, topic.partitions) = (id, [0])
                return topic
            }
            let response: FetchResponse = try bench.response(to: bench.post(client.connection, 16, request), 16)
            (client.session, client.epoch) = (response.sessionId, client.epoch + 1)
            return response
        }
        #expect(try fetch([(id, 0)]).responses.map(\.topicId) == [id])
        #expect(try fetch([]).responses.isEmpty)
        // Another topic of that name has another id: the client takes one for the other.
        try bench.broker.perform(.delete("t"))
        try bench.createTopic("t")
        let gone = try fetch([])
        #expect(gone.responses.map(\.topicId) == [id] && gone.responses[0].partitions[0].errorCode == .unknownTopicId)
        let now = bench.door.topicID("t")
        #expect(try fetch([(now, 0)], forgetting: [id]).responses.map(\.topicId) == [now])
        #expect(try fetch([]).responses.isEmpty)
    }

    /// Who comes when there is no room reads without a session; who grows beyond it has to begin anew.
    @Test func hasBounds() throws {
        let bench = try DoorBench { $0.sessionBytesMax = 1_300 }
        try bench.createTopic("t", partitions: 10)
        let (first, second) = (SessionClient(bench), SessionClient(bench))
        _ = try first.fetch([("t", 0, 0), ("t", 1, 0), ("t", 2, 0)])
        #expect(first.session > 0)
        let refused = try second.fetch([("t", 0, 0), ("t", 1, 0)])
        #expect(refused.error == .none && refused.session == 0 && refused.named == ["t-0", "t-1"])
        #expect(try first.fetch([("t", 3, 0), ("t", 4, 0)]).error == .fetchSessionIdNotFound)
        #expect(bench.door.sessionBytes == 0)
        #expect(try second.fetch([("t", 0, 0), ("t", 1, 0)], epoch: 0).session > 0)

        let large = try DoorBench()
        // Those that there are not count as well.
        let client = SessionClient(large)
        let most = (0..<FetchSession.partitionsMax).map { ("t", Int32($0), Int64(0)) }
        #expect(try client.fetch(most).session > 0)
        #expect(try client.fetch([("t", Int32(most.count), 0)]).error == .fetchSessionIdNotFound)
        #expect(large.door.sessionBytes == 0)
    }

    @Test func epochsGoRound() {
        let session = FetchSession(id: 1, epoch: .max - 1, isByID: false)
        session.advance()
        #expect(session.epoch == .max)
        session.advance()
        #expect(session.epoch == 1)
    }
}

/// A connection that goes on with its session, as clients do.
private final class SessionClient {
    let bench: DoorBench
    let connection: UInt64
    var session: Int32 = 0
    var epoch: Int32 = 0

    init(_ bench: DoorBench) {
        self.bench = bench
        connection = bench.connect()
    }

    struct Answer {
        let error: KafkaError
        let session: Int32
        /// `topic-partition`
        let named: [String]
        let data: [FetchResponse.PartitionData]
        let bytes: [[UInt8]]
    }

    func fetch(
        _ partitions: [(String, Int32, Int64)], forgetting: [(String, Int32)] = [], epoch: Int32? = nil,
        maxWaitMs: Int32 = 0, maxBytes: Int32 = .max, partitionMaxBytes: Int32 = 1 << 20
    ) throws -> Answer {
        let answer = try answer(
            post(
                partitions, forgetting: forgetting, epoch: epoch, maxWaitMs: maxWaitMs, maxBytes: maxBytes,
                partitionMaxBytes: partitionMaxBytes))
        if answer.error == .none, answer.session > 0 { session = answer.session }
        return answer
    }

    func post(
        _ partitions: [(String, Int32, Int64)], forgetting: [(String, Int32)] = [], session: Int32? = nil,
        epoch: Int32? = nil, maxWaitMs: Int32 = 0, minBytes: Int32 = 1, maxBytes: Int32 = .max,
        partitionMaxBytes: Int32 = 1 << 20, version: Int16 = 12
    ) -> UInt32 {
        var request = DoorBench.fetch(
            partitions, maxWaitMs: maxWaitMs, minBytes: minBytes, maxBytes: maxBytes,
            partitionMaxBytes: partitionMaxBytes)
        request.sessionId = session ?? self.session
        request.sessionEpoch = epoch ?? self.epoch
        for (topic, partition) in forgetting {
            var gone = FetchRequest.ForgottenTopic()
            (gone.topic, gone.partitions) = (topic, [partition])
            request.forgottenTopicsData.append(gone)
        }
        if session == nil, epoch == nil { self.epoch += 1 }
        return bench.post(connection, version, request)
    }

    func answer(_ number: UInt32, _ version: Int16 = 12) throws -> Answer {
        guard case .fetch(let response, let ranges) = try bench.answer(to: number).body else {
            throw BenchError.otherAnswer
        }
        _ = try EncodedFrame(response, version: version, correlationId: 1)
        var left = ranges[...]
        let data = response.responses.flatMap(\.partitions)
        let bytes = try data.map { data -> [UInt8] in
            guard data.records?.count ?? 0 > 0, let range = left.popFirst() else { return [] }
            return try bench.read(range)
        }
        #expect(left.isEmpty)
        return Answer(
            error: response.errorCode, session: response.sessionId,
            named: response.responses.flatMap { topic in
                topic.partitions.map { "\(topic.topic)-\($0.partitionIndex)" }
            },
            data: data, bytes: bytes)
    }
}
