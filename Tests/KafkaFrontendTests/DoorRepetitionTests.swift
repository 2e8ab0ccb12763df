import BrokerCore
import KafkaProtocol
import Testing

@testable import KafkaFrontend

/// A small request must not make a large answer, nor much work, by naming one thing often.
@Suite struct DoorRepetitionTests {
    private func why(_ bench: DoorBench, _ number: UInt32) throws -> String? {
        guard case .close(let why) = try bench.answer(to: number).body else { return nil }
        return why
    }

    @Test func aFetchNamesEachPartitionOnce() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        let client = bench.connect()
        let once = DoorBench.fetch([("t", 0, 0), ("t", 1, 0)])
        #expect(try bench.fetched(bench.post(client, 12, once)).count == 2)
        // And again in the next request.
        #expect(try bench.fetched(bench.post(client, 12, once)).count == 2)
        let twice = DoorBench.fetch([("t", 0, 0), ("t", 1, 0), ("t", 0, 0)])
        #expect(try why(bench, bench.post(client, 12, twice))?.contains("twice") == true)
    }

    @Test func whatIsNamedOftenIsAnsweredOnce() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 3)
        let client = bench.connect()
        var groups = DescribeGroupsRequest()
        groups.groups = ["a", "b", "a"]
        #expect(try bench.ask(client, 5, groups).groups.map(\.groupId) == ["a", "b"])
        var configs = DescribeConfigsRequest()
        var topic = DescribeConfigsRequest.DescribeConfigsResource()
        (topic.resourceType, topic.resourceName) = (2, "t")
        configs.resources = [topic, topic]
        #expect(try bench.ask(client, 4, configs).results.count == 1)
        var offsets = ListOffsetsRequest()
        var wanted = ListOffsetsRequest.ListOffsetsTopic()
        wanted.name = "t"
        wanted.partitions = [Int32(0), 1, 0].map { index in
            var partition = ListOffsetsRequest.ListOffsetsPartition()
            (partition.partitionIndex, partition.timestamp) = (index, -1)
            return partition
        }
        offsets.topics = [wanted, wanted]
        #expect(try bench.ask(client, 7, offsets).topics.map { $0.partitions.map(\.partitionIndex) } == [[0, 1]])
    }

    @Test func nobodyWritesMarkersIntoTheBrokersOwnTopics() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        var request = WriteTxnMarkersRequest()
        var marker = WriteTxnMarkersRequest.WritableTxnMarker()
        var topic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
        (topic.name, topic.partitionIndexes) = ("__consumer_offsets", [0])
        marker.topics = [topic]
        request.markers = [marker]
        #expect(try why(bench, bench.post(client, 1, request))?.contains("__consumer_offsets") == true)
    }
}
