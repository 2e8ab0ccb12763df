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
    private func listing(_ partitions: Range<Int32>, timestamp: Int64) -> ListOffsetsRequest {
        var topic = ListOffsetsRequest.ListOffsetsTopic()
        topic.name = "t"
        topic.partitions = partitions.map { index in
            var partition = ListOffsetsRequest.ListOffsetsPartition()
            (partition.partitionIndex, partition.timestamp) = (index, timestamp)
            return partition
        }
        var request = ListOffsetsRequest()
        request.topics = [topic]
        return request
    }

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
}
