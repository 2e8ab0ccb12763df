import Foundation
import RdmadClient
import TransportTestSupport

/// Sends ``Chaos/value(_:_:)`` until SIGTERM, in each partition with numbers of its own from 0. Writes `ack PARTITION
/// FIRST COUNT` for what was acknowledged.
func produce(_ broker: BrokerAddress, name: String, _ history: History) async throws {
    Termination.watch()
    var configuration = Producer.Configuration()
    configuration.lingerMilliseconds = 2
    let producer = try await Producer(
        topic: Chaos.topic, broker: broker, configuration: configuration,
        onAcknowledged: { partition, first, count, error in
            history.add(error.map { "error \(partition) \($0)" } ?? "ack \(partition) \(first) \(count)")
        })
    var next = [Int](repeating: 0, count: Chaos.partitions)
    var random = SplitMix(state: UInt64(getpid()))
    while !Termination.isAsked {
        for _ in 0..<8 {
            let key = Array("\(name)-\(random.next() % UInt64(Chaos.keys))".utf8)
            let partition = Partitioner.partition(forKey: key, count: Chaos.partitions)
            try await producer.send(key: key, value: Chaos.value(name, next[partition]), partition: partition)
            next[partition] += 1
        }
        usleep(20_000)
    }
    try await producer.flush()
    producer.close()
}

/// Reads as a member until SIGTERM. Writes `assigned`, `revoked` and `lost` with partitions, and `read PARTITION FIRST
/// NEXT` before it releases what it read.
func consume(_ broker: BrokerAddress, group: String, name: String, _ history: History) async throws {
    Termination.watch()
    var configuration = Consumer.Configuration()
    configuration.groupID = group
    configuration.clientID = name
    configuration.assignors = [Assignor(rawValue: Chaos.groups[group]!)!]
    configuration.sessionTimeoutMilliseconds = Chaos.sessionMilliseconds
    configuration.heartbeatIntervalMilliseconds = 200
    configuration.maxPollIntervalMilliseconds = 5000
    configuration.autoCommitIntervalMilliseconds = 200
    configuration.ringBytes = 1 << 20
    configuration.onRebalance = { event in
        switch event {
        case .assigned(let names): history.add("assigned \(names.map { "\($0.partition)" }.joined(separator: " "))")
        case .revoked(let names): history.add("revoked \(names.map { "\($0.partition)" }.joined(separator: " "))")
        case .lost(let names): history.add("lost \(names.map { "\($0.partition)" }.joined(separator: " "))")
        }
    }
    let consumer = try await Consumer(topics: [Chaos.topic], broker: broker, configuration: configuration)
    while !Termination.isAsked {
        guard let batches = try consumer.poll(timeoutMilliseconds: 100) else { continue }
        var range: Range<Int64>?
        try batches.forEachRecord { record in
            guard (range?.upperBound ?? record.offset) == record.offset else {
                throw ScenarioFailure("offset \(record.offset) after \(range!.upperBound)")
            }
            range = (range?.lowerBound ?? record.offset)..<record.offset + 1
        }
        if let range { history.add("read \(batches.partition) \(range.lowerBound) \(range.upperBound)") }
        batches.release()
    }
    consumer.close()
}
