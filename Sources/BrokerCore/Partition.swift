package import RecordFormat
package import TopicLog
package import TopicProtocol

/// One partition while the broker runs.
package final class Partition {
    package let address: PartitionAddress
    package let topic: String
    package let log: PartitionLog
    /// The broker's own: clients may not produce to it.
    package let isInternal: Bool
    /// Offset after the last record that consumers may see.
    package internal(set) var highWatermark: Offset {
        didSet { log.didPublish(highWatermark) }
    }
    /// True once the topic was deleted: nothing may be read or appended any more.
    package internal(set) var isDeleted = false
    /// Staged in this turn, in the order of arrival.
    var staged: [ProducedBatch] = []
    /// Appended and not committed yet, with the offset after their last record.
    var awaiting: [(end: Offset, origin: ProduceOrigin, base: Offset)] = []
    /// It waits for its topic's flush interval to pass.
    var isPeriodic = false
    /// A sync of this partition is on its way.
    var isFlushing = false

    init(address: PartitionAddress, topic: String, log: PartitionLog) {
        self.address = address
        self.topic = topic
        isInternal = Broker.isInternal(topic)
        self.log = log
        // Recovery has synced all that it kept.
        highWatermark = log.logEndOffset
    }

    /// For logs: `flights-0`.
    var name: String { "\(topic)-\(address.partition)" }

    /// Takes a validated batch; it is appended in ``Broker/commit(now:heardUntil:)``.
    package func stage(_ batch: ProducedBatch) { staged.append(batch) }
}
