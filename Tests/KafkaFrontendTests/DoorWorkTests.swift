import BrokerCore
import KafkaProtocol
import Reactor
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import KafkaFrontend

/// How much of the reactor one client takes: counted, and not timed.
@Suite struct DoorWorkTests {
    private func listing(
        _ partitions: Range<Int32>, of topics: [String] = ["t"], timestamp: Int64
    ) -> ListOffsetsRequest {
        var request = ListOffsetsRequest()
        request.topics = topics.map { name in
            var topic = ListOffsetsRequest.ListOffsetsTopic()
            topic.name = name
            topic.partitions = partitions.map { index in
                var partition = ListOffsetsRequest.ListOffsetsPartition()
                (partition.partitionIndex, partition.timestamp) = (index, timestamp)
                return partition
            }
            return topic
        }
        return request
    }

    // MARK: Turns

    /// Others are served between the pieces of a request for many partitions.
    @Test func manyOffsetsAreListedInPieces() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 300)
        bench.door.turnNanosecondsMax = 0
        let (client, other) = (bench.connect(), bench.connect())
        _ = bench.isAnswered(0)
        let listed = bench.post(client, 7, listing(0..<301, timestamp: -1))
        let cluster = bench.post(other, 1, DescribeClusterRequest())
        bench.turn()
        bench.turn()
        #expect(bench.takeNumbers() == [cluster])
        let found: ListOffsetsResponse = try bench.response(to: listed, 7)
        #expect(bench.door.counters.pieces >= 301 / KafkaDoor.pieceItems)
        #expect(found.topics.map(\.name) == ["t"])
        #expect(found.topics[0].partitions.map(\.partitionIndex) == Array(0..<301))
        #expect(found.topics[0].partitions.dropLast().allSatisfy { $0.errorCode == .none && $0.offset == 0 })
        #expect(found.topics[0].partitions.last?.errorCode == .unknownTopicOrPartition)
        #expect(bench.door.prepareToSleep())
    }

    /// Fetches, too: a session makes a large one out of a few bytes. When they come, when records come, and when their
    /// time is over.
    @Test func largeFetchesTakeTurns() throws {
        let bench = try DoorBench()
        var partitions: [(String, Int32, Int64)] = []
        for name in ["t", "u"] {
            try bench.createTopic(name, partitions: FetchTime.partitions)
            partitions += (0..<FetchTime.partitions).map { (name, Int32($0), 0) }
        }
        let (clients, producer) = ((0..<6).map { _ in bench.connect() }, bench.connect())
        var sessions: [Int32] = []
        for client in clients {
            var request = DoorBench.fetch(partitions)
            request.sessionEpoch = 0
            let response: FetchResponse = try bench.response(to: bench.post(client, 12, request), 12)
            #expect(response.sessionId > 0)
            sessions.append(response.sessionId)
        }
        bench.door.turnNanosecondsMax = 0
        func post(epoch: Int32, maxWaitMs: Int32, _ moved: [(String, Int32, Int64)] = []) -> [UInt32] {
            zip(clients, sessions).map { client, session in
                var request = DoorBench.fetch(moved, maxWaitMs: maxWaitMs)
                (request.sessionId, request.sessionEpoch) = (session, epoch)
                return bench.post(client, 12, request)
            }
        }
        /// The most that are answered in one turn, when all are. After six turns, by which all have been taken, comes a
        /// pause.
        func mostAnswered(of numbers: [UInt32], pauseNanoseconds: UInt64 = 0) -> Int {
            var (most, turns, answered) = (0, 0, Set<UInt32>())
            while answered.count < numbers.count, !Task.isCancelled {
                turns += 1
                let end = Clock.monotonicNanoseconds() + pauseNanoseconds
                while turns == 7, Clock.monotonicNanoseconds() < end {}
                let goesOn = bench.turn()
                #expect(goesOn || bench.door.touched.isEmpty)
                let now = bench.takeNumbers()
                most = max(most, now.count)
                answered.formUnion(now)
            }
            return answered == Set(numbers) ? most : .max
        }
        let quick = DoorBench.fetch([("t", 0, 0)])
        let first = post(epoch: 1, maxWaitMs: 0)
        let other = bench.post(producer, 12, quick)
        bench.turn()
        let answered = bench.takeNumbers()
        #expect(answered.contains(other) && answered.count <= 3)
        #expect(mostAnswered(of: first.filter { !answered.contains($0) }) <= 2)
        let waiting = post(epoch: 2, maxWaitMs: 600_000)
        while clients.contains(where: { bench.door.connections[$0]?.parked == nil }) { bench.turn() }
        let produced = bench.postProduce(producer, [("t", 1, makeBatch())])
        #expect(mostAnswered(of: waiting + [produced]) <= 3)
        #expect(bench.door.prepareToSleep())
        // Late together.
        let late = post(epoch: 3, maxWaitMs: 400, [("t", 1, 1)])
        #expect(mostAnswered(of: late, pauseNanoseconds: 400_000_000) <= 2)
    }

    /// So do those that wait, also where what has grown is still too little, and may grow again before it is counted.
    @Test func largeFetchesAreCountedByTurns() throws {
        let bench = try DoorBench()
        var partitions: [(topic: String, partition: Int32, offset: Int64)] = []
        for name in ["t", "u"] {
            try bench.createTopic(name, partitions: FetchTime.partitions)
            partitions += (0..<FetchTime.partitions).map { (name, Int32($0), 0) }
        }
        let (clients, producer) = ((0..<4).map { _ in bench.connect() }, bench.connect())
        for client in clients {
            _ = bench.post(client, 12, DoorBench.fetch(partitions, maxWaitMs: 600_000, minBytes: .max))
        }
        while clients.contains(where: { bench.door.connections[$0]?.parked == nil }) { bench.turn() }
        bench.door.turnNanosecondsMax = 0
        let before = bench.door.counters.partitionsLookedAt
        var (last, most) = (before, 0)
        for number in 0..<10 {
            if number < 2 {
                _ = bench.postProduce(producer, partitions.map { ($0.topic, $0.partition, makeBatch()) })
            }
            bench.turn()
            most = max(most, bench.door.counters.partitionsLookedAt - last)
            last = bench.door.counters.partitionsLookedAt
        }
        #expect(most <= 2 * partitions.count)
        // Two were counted before they grew again, the others once for both.
        #expect(last - before == 6 * partitions.count)
        #expect(bench.door.touched.isEmpty)
    }

    /// Each segment may have to be opened and read.
    @Test func segmentsAreLookedAtInPieces() throws {
        let bench = try DoorBench(segmentBytes: 1_024)
        try bench.createTopic("t", partitions: 2)
        let client = bench.connect()
        for _ in 0..<60 { _ = try bench.produce(client, "t", makeBatch(valueBytes: 900)) }
        bench.door.turnNanosecondsMax = 0
        let before = bench.door.counters.pieces
        let waiting = bench.post(client, 7, listing(0..<2, timestamp: -3))
        bench.turn()
        #expect(bench.takeNumbers().isEmpty)
        let latest: ListOffsetsResponse = try bench.response(to: waiting, 7)
        #expect(bench.door.counters.pieces - before >= 60 / KafkaDoor.pieceSegments)
        #expect(latest.topics.first?.partitions.map(\.offset) == [0, -1])
        #expect(latest.topics.first?.partitions.map(\.timestamp) == [1_000, -1])
        let none = try bench.ask(client, 7, listing(0..<1, timestamp: 2_000))
        #expect(none.topics.first?.partitions.map(\.offset) == [-1])
    }

    /// Also where each of many partitions has few of them.
    @Test func segmentsOfAllPartitionsAreCounted() throws {
        let bench = try DoorBench(segmentBytes: 1_024)
        let (client, names) = (bench.connect(), ["a", "b", "c"])
        for name in names {
            try bench.createTopic(name, partitions: 8)
            for partition in 0..<8 as Range<Int32> {
                for _ in 0..<2 { _ = try bench.produce(client, name, makeBatch(valueBytes: 900), partition: partition) }
            }
        }
        let before = bench.door.counters.pieces
        let found = try bench.ask(client, 7, listing(0..<8, of: names, timestamp: 2_000))
        #expect(bench.door.counters.pieces - before == 3 * 8 * 2 / KafkaDoor.pieceSegments)
        #expect(found.topics.map(\.name) == names)
        for topic in found.topics { #expect(topic.partitions.map(\.offset) == Array(repeating: -1, count: 8)) }
    }

    /// What was seen of a log says nothing of another one with its name.
    @Test func aTopicThatIsMadeAgainIsLookedAtAnew() throws {
        let bench = try DoorBench(segmentBytes: 1_024)
        try bench.createTopic("t")
        let client = bench.connect()
        for _ in 0..<20 { _ = try bench.produce(client, "t", makeBatch(valueBytes: 900)) }
        let going = OffsetListing(listing(0..<1, timestamp: 1_001), bench.broker)
        #expect(going.goOn())
        try bench.broker.perform(.delete("t"))
        try bench.createTopic("t")
        _ = try bench.produce(client, "t", makeBatch(records: 2))
        while going.goOn() {}
        #expect(going.response.topics.first?.partitions.map(\.offset) == [1])
    }

    /// A connection with many requests that take long gets no more than one with one of them.
    @Test func connectionsTakeTurns() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 300)
        bench.door.turnNanosecondsMax = 0
        let (client, other) = (bench.connect(), bench.connect())
        _ = bench.isAnswered(0)
        let before = bench.door.counters.pieces
        let many = (0..<16).map { _ in bench.post(client, 7, listing(0..<300, timestamp: -1)) }
        let one = bench.post(other, 7, listing(0..<300, timestamp: -1))
        var (answered, turns): ([UInt32], Int) = ([], 0)
        while !answered.contains(one) && turns < 1_000 {
            bench.turn()
            turns += 1
            answered += bench.takeNumbers()
            // Only the first request of each begins when it is taken in.
            #expect(bench.door.counters.pieces - before <= turns + 1)
        }
        // Taken in in the 17th turn, it has five pieces, and as many are the other connection's.
        #expect(turns <= 17 + 2 * 5)
        #expect(answered.dropLast() == many.prefix(answered.count - 1) && answered.count <= 6)
        while answered.count < 17 && turns < 1_000 {
            bench.turn()
            turns += 1
            answered += bench.takeNumbers()
        }
        #expect(answered.filter { $0 != one } == many)
        #expect(bench.door.prepareToSleep())
    }

    /// An answer that has begun takes memory: those that come later have one piece of theirs until it is their turn.
    @Test func fewAnswersGrowAtATime() throws {
        let bench = try DoorBench()
        bench.door.turnNanosecondsMax = 1
        var pieces = [Int](repeating: 0, count: 12)
        var mustEnd = false
        for index in pieces.indices {
            let id = bench.connect()
            _ = bench.isAnswered(0)
            let call = KafkaCall(connection: bench.door.connections[id]!, number: 1, version: 7, clientID: "")
            bench.door.doInPieces(call) {
                pieces[index] += 1
                let now = Clock.monotonicNanoseconds()
                while Clock.monotonicNanoseconds() == now {}
                return !mustEnd
            }
            bench.turn()
        }
        for _ in 0..<20 { bench.turn() }
        #expect(pieces.prefix(KafkaDoor.begunMax).allSatisfy { $0 > 4 })
        #expect(pieces.dropFirst(KafkaDoor.begunMax).allSatisfy { $0 <= 1 })
        mustEnd = true
        for _ in pieces { bench.turn() }
        #expect(pieces.allSatisfy { $0 > 0 } && bench.door.prepareToSleep())
    }

    /// A turn has so much time for requests that may take long, however many connections ask: the rest only queue up.
    @Test func aTurnBeginsWhatItHasTimeFor() throws {
        let bench = try DoorBench()
        let calls = (0..<5).map { _ in bench.connect() }.map { id in
            _ = bench.isAnswered(0)
            return KafkaCall(connection: bench.door.connections[id]!, number: 1, version: 7, clientID: "")
        }
        bench.door.turnNanosecondsMax = 1
        var pieces = [0, 0, 0, 0, 0]
        for (index, call) in calls.enumerated() {
            bench.door.doInPieces(call) {
                pieces[index] += 1
                let now = Clock.monotonicNanoseconds()
                while Clock.monotonicNanoseconds() == now {}
                return pieces[index] < 3
            }
        }
        #expect(pieces == [1, 0, 0, 0, 0])
        for turn in 1...14 {
            bench.turn()
            #expect(pieces.reduce(0, +) == 1 + turn)
            #expect(pieces.count { $0 == 1 || $0 == 2 } <= KafkaDoor.begunMax)
        }
        #expect(pieces == [3, 3, 3, 3, 3])
        bench.turn()
        #expect(bench.door.prepareToSleep())
    }

    /// Nothing is done for who has gone.
    @Test func whoIsGoneIsNotServed() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 300)
        bench.door.turnNanosecondsMax = 0
        let client = bench.connect()
        _ = bench.isAnswered(0)
        _ = bench.post(client, 7, listing(0..<300, timestamp: -1))
        bench.turn()
        bench.disconnect(client)
        for _ in 0..<3 { bench.turn() }
        #expect(bench.door.prepareToSleep() && bench.takeNumbers().isEmpty && bench.door.counters.pieces <= 3)
    }

    @Test func metadataOfManyPartitionsIsMadeInPieces() throws {
        let bench = try DoorBench()
        for name in ["a", "b", "c"] { try bench.createTopic(name, partitions: 100) }
        bench.door.turnNanosecondsMax = 0
        let client = bench.connect()
        _ = bench.isAnswered(0)
        var all = MetadataRequest()
        all.topics = nil
        let asked = bench.post(client, 12, all)
        bench.turn()
        bench.turn()
        #expect(bench.takeNumbers().isEmpty)
        try bench.broker.perform(.delete("c"))
        let found: MetadataResponse = try bench.response(to: asked, 12)
        #expect(found.topics.map(\.name) == ["a", "b", "c"])
        #expect(found.topics.map(\.partitions.count) == [100, 100, 0])
        #expect(found.topics[2].errorCode == .unknownTopicOrPartition)
    }

    @Test func configsOfManyTopicsAreDescribedInPieces() throws {
        let bench = try DoorBench()
        let names = (10..<40).map { "t\($0)" }
        for name in names { try bench.createTopic(name) }
        bench.door.turnNanosecondsMax = 0
        let (client, other) = (bench.connect(), bench.connect())
        _ = bench.isAnswered(0)
        var all = DescribeConfigsRequest()
        all.includeSynonyms = true
        all.resources = names.map { name in
            var resource = DescribeConfigsRequest.DescribeConfigsResource()
            (resource.resourceType, resource.resourceName) = (2, name)
            return resource
        }
        let before = bench.door.counters.pieces
        let asked = bench.post(client, 4, all)
        let cluster = bench.post(other, 1, DescribeClusterRequest())
        bench.turn()
        bench.turn()
        #expect(bench.takeNumbers() == [cluster])
        try bench.broker.perform(.delete("t39"))
        let found: DescribeConfigsResponse = try bench.response(to: asked, 4)
        #expect(found.results.map(\.resourceName) == names)
        #expect(found.results.dropLast().allSatisfy { $0.errorCode == .none && $0.configs.count > 20 })
        #expect(found.results.last?.errorCode == .unknownTopicOrPartition)
        let items = found.results.reduce(0) { $0 + 1 + $1.configs.count }
        #expect(bench.door.counters.pieces - before >= items / (KafkaDoor.pieceItems + 30))
    }

    /// A member whose heartbeat waits behind requests that take long is not silent.
    @Test func heartbeatsThatWaitKeepTheirMembers() throws {
        var groups = DoorBench.quickGroups
        groups.consumerSessionTimeoutMilliseconds = 500
        let bench = try DoorBench(groups: groups)
        try bench.createTopic("t")
        let (member, others) = (bench.connect(), bench.connect())
        var beat = ConsumerGroupHeartbeatRequest()
        (beat.groupId, beat.memberId, beat.memberEpoch) = ("g", "m", 0)
        (beat.rebalanceTimeoutMs, beat.subscribedTopicNames, beat.topicPartitions) = (60_000, ["t"], [])
        let joined = try bench.ask(member, 1, beat)
        #expect(joined.errorCode == .none)
        bench.turn()
        bench.door.turnNanosecondsMax = 0
        var all = MetadataRequest()
        all.topics = nil
        for _ in 0..<5 { _ = bench.post(others, 12, all) }
        beat = ConsumerGroupHeartbeatRequest()
        (beat.groupId, beat.memberId, beat.memberEpoch) = ("g", "m", joined.memberEpoch)
        (beat.rebalanceTimeoutMs, beat.subscribedTopicNames, beat.topicPartitions) = (-1, nil, nil)
        let waiting = bench.post(member, 1, beat)
        // As if the turn before had taken so long.
        let end = Clock.monotonicNanoseconds() + 600_000_000
        while Clock.monotonicNanoseconds() < end {}
        let answer: ConsumerGroupHeartbeatResponse = try bench.response(to: waiting, 1)
        #expect(answer.errorCode == .none)
    }

    // MARK: Fetches

    /// Whoever waits for something else is not looked at.
    @Test func deletedRecordsWakeWhoReadsThem() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 20)
        let producer = bench.connect()
        for partition in 0..<20 as Range<Int32> {
            _ = try bench.produce(producer, "t", makeBatch(), partition: partition)
        }
        let waiting = (0..<20).map { partition in
            bench.post(
                bench.connect(), 12, DoorBench.fetch([("t", Int32(partition), 0)], maxWaitMs: 600_000, minBytes: 9_999))
        }
        for number in waiting { #expect(!bench.isAnswered(number, turns: 2)) }
        let before = bench.door.counters.partitionsLookedAt
        var one = DeleteRecordsRequest.DeleteRecordsPartition()
        (one.partitionIndex, one.offset) = (7, 1)
        var topic = DeleteRecordsRequest.DeleteRecordsTopic()
        (topic.name, topic.partitions) = ("t", [one])
        var request = DeleteRecordsRequest()
        request.topics = [topic]
        #expect(try bench.ask(producer, 2, request).topics.first?.partitions.map(\.lowWatermark) == [1])
        #expect(try bench.fetched(waiting[7]).map(\.data.errorCode) == [.offsetOutOfRange])
        #expect(bench.takeNumbers().isEmpty)
        // Counted when it is touched, and when it is answered.
        #expect(bench.door.counters.partitionsLookedAt - before <= 2)
    }

    /// What connections are remembered to read has one bound: who holds most is answered, and muted for a while.
    @Test func partitionsThatAreReadHaveABound() throws {
        let bench = try DoorBench { $0.readersMax = 12 }
        try bench.createTopic("t", partitions: 10)
        func wait(_ count: Int32) -> UInt32 {
            let wanted = (0..<count).map { ("t", $0, Int64(0)) }
            return bench.post(bench.connect(), 12, DoorBench.fetch(wanted, maxWaitMs: 600_000))
        }
        let (most, less) = (wait(8), wait(5))
        #expect(!bench.isAnswered(most) && !bench.isAnswered(less) && bench.door.readerCount == 13)
        let last = wait(1)
        let answer = try bench.answer(to: most)
        #expect(answer.throttleMilliseconds == 1_000)
        #expect(!bench.isAnswered(less) && !bench.isAnswered(last) && bench.door.readerCount == 6)
        // Those of clients that do not wait are the first to go.
        let idle = bench.connect()
        _ = try bench.fetched(bench.post(idle, 12, DoorBench.fetch((0..<8).map { ("t", $0, 0) })))
        #expect(bench.door.readerCount == 14)
        let next = wait(1)
        #expect(!bench.isAnswered(next) && !bench.isAnswered(less) && bench.door.readerCount == 7)
        for connection in Array(bench.door.connections.keys) { bench.disconnect(connection) }
        bench.turn()
        #expect(bench.door.readerCount == 0 && bench.door.readers.isEmpty)
    }

    // MARK: Producers

    @Test func anAnswerNamesABoundedNumberOfProducers() throws {
        let bench = try DoorBench { $0.describedProducersMax = 3 }
        try bench.createTopic("t", partitions: 5)
        let client = bench.connect()
        for (partition, producers) in [(Int32(0), 2), (1, 2), (2, 1), (3, 4)] {
            for id in 0..<producers {
                let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 300, alignment: 16)
                defer { unsafe memory.deallocate() }
                var builder = unsafe RecordBatchBuilder(buffer: memory)
                _ = builder.append(key: nil, value: [1], timestampMilliseconds: 1)
                let count = builder.seal(producerID: Int64(id), epoch: 0, baseSequence: 0)
                _ = unsafe try bench.produce(client, "t", Array(memory[..<count]), partition: partition)
            }
        }
        func described(_ partitions: [Int32]) throws -> [DescribeProducersResponse.PartitionResponse] {
            var topic = DescribeProducersRequest.TopicRequest()
            (topic.name, topic.partitionIndexes) = ("t", partitions)
            var request = DescribeProducersRequest()
            request.topics = [topic]
            return try bench.ask(client, 0, request).topics.flatMap(\.partitions)
        }
        let some = try described([0, 1, 2])
        #expect(some.map(\.errorCode) == [.none, .policyViolation, .none])
        #expect(some.map(\.activeProducers.count) == [2, 0, 1])
        #expect(some[1].errorMessage?.contains("fewer partitions") == true)
        // One that has more is answered alone.
        #expect(try described([3, 0]).map(\.activeProducers.count) == [4, 0])
        // Those that have none are answered in any case.
        #expect(try described([3, 4, 0]).map(\.errorCode) == [.none, .none, .policyViolation])
        #expect(try described([0, 2, 4]).map(\.errorCode) == [.none, .none, .none])
    }
}
