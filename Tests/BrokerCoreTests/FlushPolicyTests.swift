import Foundation
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// When a batch is acknowledged, and when it is durable: by its topic's policy, the time given by the test.
@Suite struct FlushPolicyTests {
    /// A broker on a directory of its own, without doors.
    private final class Bench {
        let path = NSTemporaryDirectory() + "broker-core-\(UInt64.random(in: 0 ... .max))"
        let directory: LogDirectory
        let flusher: Flusher
        let broker: Broker
        private var request: UInt32 = 0

        init(_ policy: FlushPolicy = .group) throws {
            var options = LogOptions()
            options.flushPolicy = policy
            directory = try LogDirectory.open(path: path, options: options)
            flusher = try Flusher(volumes: directory.volumes)
            broker = Broker(directory: directory, flusher: flusher, doors: 1)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func create(_ topic: String, _ policy: String?) throws -> Partition {
            try broker.createTopic(
                topic, partitions: 1, configs: policy.map { [TopicConfig(name: "flush.policy", value: $0)] } ?? [])
            let id = try broker.describeTopic(topic, firstPartition: 0).topicID
            return broker.partition(PartitionAddress(topicID: id, partition: 0))!
        }

        /// Appends one record in a turn of its own; how many batches that acknowledged.
        func produce(_ partition: Partition, now: UInt64) -> Int {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 16)
            defer { unsafe memory.deallocate() }
            var builder = unsafe RecordBatchBuilder(buffer: memory)
            _ = builder.append(key: nil, value: [1, 2, 3], timestampMilliseconds: 0)
            let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<builder.seal()])
            request += 1
            broker.stage(
                unsafe ProducedBatch(bytes: bytes, origin: .init(door: 0, session: 1, requestID: request)),
                in: partition)
            return turn(now: now)
        }

        func turn(now: UInt64) -> Int {
            broker.commit(now: now)
            return acknowledged()
        }

        /// Takes what the flusher does within a second; how many batches that acknowledged.
        func awaitFlush(_ partition: Partition) -> Int {
            for _ in 0..<1000 where partition.log.durableOffset < partition.log.logEndOffset {
                usleep(1000)
                broker.takeFlushResults()
            }
            return acknowledged()
        }

        private func acknowledged() -> Int {
            var effects = BrokerEffects(doors: 1)
            broker.takeEffects(&effects)
            return effects.acks[0].count
        }
    }

    @Test func groupAcknowledgesAfterTheSync() throws {
        let bench = try Bench(.none)
        let partition = try bench.create("t", "group")
        #expect(bench.produce(partition, now: 1) == 0 && partition.highWatermark == .zero)
        #expect(bench.awaitFlush(partition) == 1)
        #expect(partition.log.durableOffset == Offset(1) && partition.highWatermark == Offset(1))
    }

    @Test func noneAcknowledgesAtOnceAndNeverSyncs() throws {
        let bench = try Bench()
        let partition = try bench.create("t", "none")
        #expect(bench.produce(partition, now: 1) == 1 && partition.highWatermark == Offset(1))
        #expect(bench.turn(now: .max / 2) == 0 && bench.broker.nextDeadline == nil)
        usleep(50_000)
        bench.broker.takeFlushResults()
        #expect(partition.log.durableOffset == .zero)
    }

    @Test func intervalSyncsWhenItsTimeHasCome() throws {
        let bench = try Bench()
        let slow = try bench.create("slow", "interval:100")
        let fast = try bench.create("fast", "interval:10")
        let start: UInt64 = 1_000_000_000
        #expect(bench.produce(slow, now: start) == 1)
        #expect(bench.broker.nextDeadline == start + 100_000_000)
        #expect(bench.produce(fast, now: start + 1) == 1)
        #expect(bench.broker.nextDeadline == start + 1 + 10_000_000)
        // A second batch waits with the first.
        #expect(bench.produce(slow, now: start + 2) == 1)
        _ = bench.turn(now: start + 11_000_000)
        #expect(bench.awaitFlush(fast) == 0 && fast.log.durableOffset == Offset(1))
        #expect(slow.log.durableOffset == .zero && bench.broker.nextDeadline == start + 100_000_000)
        _ = bench.turn(now: start + 100_000_000)
        _ = bench.awaitFlush(slow)
        #expect(slow.log.durableOffset == Offset(2) && bench.broker.nextDeadline == nil)
    }

    /// What a topic does not say, the broker does; both survive a restart.
    @Test func topicsSayOtherwise() throws {
        let bench = try Bench(.none)
        #expect(bench.produce(try bench.create("broker", nil), now: 1) == 1)
        #expect(bench.produce(try bench.create("own", "group"), now: 2) == 0)
        try bench.broker.close()
        let directory = try LogDirectory.open(path: bench.path)
        #expect(directory.partition(topic: "own", index: 0)!.options.flushPolicy == .group)
        #expect(directory.configs(topic: "own").map(\.value) == ["group"])
        #expect(directory.configs(topic: "broker").isEmpty)
        try directory.deleteTopic(name: "own")
        try directory.createTopic(name: "own", partitions: 1)
        #expect(directory.configs(topic: "own").isEmpty, "an earlier topic's settings")
        try directory.close()
    }

    @Test(arguments: [
        ("flush.policy", "sometimes"), ("retention.ms", "-2"), ("retention.ms", "x"), ("segment.bytes", "0"),
        ("cleanup.policy", "keep"), ("min.cleanable.dirty.ratio", "1.5"), ("no.such.config", "1"),
    ]) func wrongConfigs(_ name: String, _ value: String) throws {
        let bench = try Bench()
        let error = #expect(throws: BrokerError.self) {
            try bench.broker.createTopic("t", partitions: 1, configs: [TopicConfig(name: name, value: value)])
        }
        #expect(
            error?.code == .invalidConfig && error?.description.contains(name) == true, "\(error?.description ?? "")")
        #expect(bench.broker.topicCount == 0)
        try bench.broker.createTopic("t", partitions: 1)
    }
}
