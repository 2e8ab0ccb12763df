/// A partition of a topic, by name.
public struct TopicPartition: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The topic's name.
    public var topic: String
    /// From 0.
    public var partition: Int

    /// The `partition`th of `topic`.
    public init(_ topic: String, _ partition: Int) {
        self.topic = topic
        self.partition = partition
    }

    /// By topic, then by number.
    public static func < (one: TopicPartition, other: TopicPartition) -> Bool {
        (one.topic, one.partition) < (other.topic, other.partition)
    }

    /// As Kafka writes it: `flights-3`.
    public var description: String { "\(topic)-\(partition)" }
}
