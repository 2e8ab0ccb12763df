import Foundation
import RecordFormat
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// A broker on a directory of its own, without doors.
final class Bench {
    let path = NSTemporaryDirectory() + "broker-core-\(UInt64.random(in: 0 ... .max))"
    let directory: LogDirectory
    let flusher: Flusher
    let broker: Broker
    private var request: UInt32 = 0

    init(
        _ policy: FlushPolicy = .group, limits: BrokerLimits = BrokerLimits(), segmentBytes: Int = 1 << 30,
        storage: any LogStorage = SystemStorage()
    ) throws {
        var options = LogOptions()
        options.flushPolicy = policy
        options.segmentBytes = segmentBytes
        directory = try LogDirectory.open(path: path, options: options, storage: storage)
        flusher = try Flusher(volumes: directory.volumes)
        broker = Broker(directory: directory, flusher: flusher, doors: 1, limits: limits)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func create(_ topic: String, _ policy: String?) throws -> Partition {
        try broker.createTopic(
            topic, partitions: 1, configs: policy.map { [TopicConfig(name: "flush.policy", value: $0)] } ?? [])
        let id = try broker.describeTopic(topic, firstPartition: 0).topicID
        return broker.partition(PartitionAddress(topicID: id, partition: 0))!
    }

    /// Appends one record in a turn of its own; how many batches that acknowledged.
    func produce(_ partition: Partition, now: UInt64, timestamp: Int64 = 0) -> Int {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        _ = builder.append(key: nil, value: [1, 2, 3], timestampMilliseconds: timestamp)
        let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<builder.seal()])
        request += 1
        broker.stage(
            unsafe ProducedBatch(bytes: bytes, origin: .init(door: 0, session: 1, requestID: request)),
            in: partition)
        return turn(now: now)
    }

    func turn(now: UInt64) -> Int {
        broker.commit(now: now)
        return takeEffects().acks[0].count
    }

    func takeEffects() -> BrokerEffects {
        var effects = BrokerEffects(doors: 1)
        broker.takeEffects(&effects)
        return effects
    }

    /// Takes what the flusher does, and what it is asked for then, until so many batches are acknowledged or refused,
    /// or a second is over.
    func acknowledgements(_ count: Int) -> [ErrorCode] {
        var errors: [ErrorCode] = []
        for _ in 0..<1000 where errors.count < count {
            usleep(1000)
            broker.takeFlushResults()
            broker.commit(now: 2)
            errors += takeEffects().acks[0].map(\.ack.error)
        }
        return errors
    }

    /// Takes what the flusher does within a second; how many batches that acknowledged.
    func awaitFlush(_ partition: Partition) -> Int {
        for _ in 0..<1000 where partition.log.durableOffset < partition.log.logEndOffset {
            usleep(1000)
            broker.takeFlushResults()
        }
        return takeEffects().acks[0].count
    }
}

/// Changes without a door, on the calling thread.
extension Broker {
    func createTopic(_ name: String, partitions: Int, configs: [TopicConfig] = []) throws(BrokerError) {
        try perform(.create(TopicCreation(name, partitions: partitions, configs: configs)))
    }

    func addPartitions(_ topic: String, total: Int) throws(BrokerError) {
        try perform(.create(TopicCreation(name: topic, partitions: total, configs: nil)))
    }

    func deleteTopic(_ name: String) throws(BrokerError) { try perform(.delete(name)) }

    func alterConfigs(_ topic: String, _ changes: [ConfigChange]) throws(BrokerError) {
        try perform(.alter(topic, changes))
    }

    func deleteRecords(_ address: PartitionAddress, before: Int64) throws(BrokerError) -> Int64 {
        try perform(.deleteRecords(address, before: before))!
    }
}
