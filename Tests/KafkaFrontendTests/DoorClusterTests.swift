import BrokerCore
import KafkaProtocol
import Testing
import TopicProtocol

@testable import KafkaFrontend

@Suite struct DoorClusterTests {
    private func metadata(_ names: [String]?, mayCreate: Bool = true) -> MetadataRequest {
        var request = MetadataRequest()
        request.topics = names?.map { name in
            var topic = MetadataRequest.MetadataRequestTopic()
            topic.name = name
            return topic
        }
        request.allowAutoTopicCreation = mayCreate
        return request
    }

    @Test func namesBrokerAndTopics() throws {
        let bench = try DoorBench { options in
            (options.nodeID, options.advertisedHost, options.advertisedPort) = (7, "broker.example", 19_092)
        }
        try bench.createTopic("b", partitions: 2)
        try bench.createTopic("a")
        let client = bench.connect()
        let all = try bench.ask(client, 12, metadata(nil))
        #expect(all.brokers.map(\.host) == ["broker.example"] && all.brokers.map(\.port) == [19_092])
        #expect(all.controllerId == 7 && all.clusterId == bench.broker.clusterID)
        #expect(all.topics.map(\.name) == ["a", "b"])
        let partitions = try #require(all.topics.last).partitions
        #expect(partitions.map(\.partitionIndex) == [0, 1] && partitions.allSatisfy { $0.leaderId == 7 })
        #expect(partitions.allSatisfy { $0.replicaNodes == [7] && $0.isrNodes == [7] && $0.errorCode == .none })
        #expect(all.topics[0].topicAuthorizedOperations == .min)
        // None are none, but for version 0.
        #expect(try bench.ask(client, 12, metadata([])).topics.isEmpty)
        #expect(try bench.ask(client, 0, metadata([])).topics.count == 2)
    }

    /// The reactor goes on between requests that take long, and serves what is left in order, without sleeping.
    @Test func longRequestsShareTheReactor() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        bench.door.turnNanosecondsMax = 0
        let client = bench.connect()
        bench.turn()
        let numbers = (0..<3).map { _ in bench.post(client, 12, metadata(nil)) }
        for place in numbers.indices {
            bench.turn()
            #expect(bench.takeNumbers() == [numbers[place]])
            #expect(bench.door.prepareToSleep() == (place == numbers.count - 1))
        }
    }

    @Test func createsTopicsThatAreAskedAbout() throws {
        let bench = try DoorBench { $0.partitionsPerTopic = 3 }
        let client = bench.connect()
        let answer = try bench.ask(client, 12, metadata(["new", "bad name", "new"]))
        // Each once, as Kafka does.
        #expect(answer.topics.map(\.errorCode) == [.none, .invalidTopicException])
        #expect(answer.topics[0].partitions.count == 3)
        // Not when the client says so, nor before the broker does.
        let refused = try bench.ask(client, 12, metadata(["other"], mayCreate: false))
        #expect(refused.topics.map(\.errorCode) == [.unknownTopicOrPartition])
        #expect(bench.broker.topicCount == 1)
        let strict = try DoorBench { $0.createsTopics = false }
        let answered = try strict.ask(strict.connect(), 12, metadata(["new"]))
        #expect(answered.topics.map(\.errorCode) == [.unknownTopicOrPartition])
        #expect(strict.broker.topicCount == 0)
    }

    @Test func coordinatesAllGroups() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        var request = FindCoordinatorRequest()
        request.key = "g"
        let one = try bench.ask(client, 2, request)
        #expect(one.errorCode == .none && one.nodeId == 1 && one.host == "localhost" && one.port == 9092)
        request.coordinatorKeys = ["g", "h"]
        let many = try bench.ask(client, 6, request)
        #expect(many.coordinators.map(\.key) == ["g", "h"] && many.coordinators.allSatisfy { $0.nodeId == 1 })
        request.keyType = 9
        #expect(try bench.ask(client, 6, request).coordinators.map(\.errorCode) == [.invalidRequest, .invalidRequest])
    }

    @Test func describesTheCluster() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        var request = DescribeClusterRequest()
        request.includeClusterAuthorizedOperations = true
        let cluster = try bench.ask(client, 1, request)
        #expect(
            cluster.clusterId == bench.broker.clusterID && cluster.controllerId == 1
                && cluster.brokers.map(\.brokerId) == [1])
        #expect(cluster.clusterAuthorizedOperations != .min)
        request.endpointType = 2
        #expect(try bench.ask(client, 1, request).errorCode == .mismatchedEndpointType)
    }

    @Test func givesEachProducerAnIDOfItsOwn() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        let first = try bench.ask(client, 4, InitProducerIdRequest())
        let second = try bench.ask(client, 4, InitProducerIdRequest())
        #expect(first.errorCode == .none && first.producerEpoch == 0 && first.producerId != second.producerId)
    }

    @Test func findsOffsets() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        _ = try bench.produce(client, "t", makeBatch(records: 5))
        func list(_ timestamp: Int64, epoch: Int32 = -1, partition: Int32 = 0) throws
            -> ListOffsetsResponse
            .ListOffsetsPartitionResponse
        {
            var request = ListOffsetsRequest()
            var topic = ListOffsetsRequest.ListOffsetsTopic()
            topic.name = "t"
            var wanted = ListOffsetsRequest.ListOffsetsPartition()
            (wanted.partitionIndex, wanted.timestamp, wanted.currentLeaderEpoch) = (partition, timestamp, epoch)
            topic.partitions = [wanted]
            request.topics = [topic]
            return try #require(try bench.ask(client, 7, request).topics.first?.partitions.first)
        }
        #expect(try list(-1).offset == 5 && list(-2).offset == 0)
        #expect(try list(-1).timestamp == -1)
        let latest = try list(-3)
        #expect(latest.offset == 4 && latest.timestamp == 1_004)
        let found = try list(1_002)
        #expect(found.offset == 2 && found.timestamp == 1_002 && found.leaderEpoch == 0)
        #expect(try list(9_999).offset == -1)
        #expect(try list(-9).errorCode == .unsupportedVersion)
        #expect(try list(-1, epoch: 5).errorCode == .unknownLeaderEpoch)
        #expect(try list(-1, partition: 3).errorCode == .unknownTopicOrPartition)
    }

    @Test func tellsWhereEpochsEnd() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        _ = try bench.produce(client, "t", makeBatch(records: 5))
        var request = OffsetForLeaderEpochRequest()
        var topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic()
        topic.topic = "t"
        topic.partitions = ([0, 1] as [Int32]).map { epoch in
            var wanted = OffsetForLeaderEpochRequest.OffsetForLeaderPartition()
            wanted.leaderEpoch = epoch
            return wanted
        }
        request.topics = [topic]
        let found = try #require(try bench.ask(client, 4, request).topics.first).partitions
        #expect(found.map(\.endOffset) == [5, -1] && found.map(\.leaderEpoch) == [0, -1])
    }
}
