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
}
