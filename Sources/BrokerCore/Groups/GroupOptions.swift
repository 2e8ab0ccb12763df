/// Settings and limits of consumer groups. Kafka's names where Kafka has one.
package struct GroupOptions: Sendable {
    /// The session timeouts that members may ask for (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`).
    package var sessionTimeoutMilliseconds: ClosedRange<UInt32> = 6_000...1_800_000
    /// How long a new group waits for more members (`group.initial.rebalance.delay.ms`).
    package var initialRebalanceDelayMilliseconds: UInt32 = 3_000
    /// How long a member of KIP-848 may be silent (`group.consumer.session.timeout.ms`), and how often it shall send
    /// heartbeats (`group.consumer.heartbeat.interval.ms`).
    package var consumerSessionTimeoutMilliseconds: UInt32 = 45_000
    package var consumerHeartbeatIntervalMilliseconds: UInt32 = 5_000
    /// Members of one group (`group.max.size`).
    package var groupSizeMax = 1_000
    /// Regular expressions that members of one group may subscribe with. Usually there is one, or an old and a new one.
    package var groupPatternsMax = 16
    /// Groups of one broker, those with committed offsets only among them (`groups.max`).
    package var groupsMax = 10_000
    /// Ids, protocols and metadata of one group's members together, and their assignments together, in bytes: a group
    /// must fit into one answer and one record.
    package var groupBytesMax = 384 << 10
    /// What all groups, their members, assignments, ids and committed offsets may take in memory, in bytes; as much
    /// again may be on the way to the log (`groups.bytes.max`).
    package var totalBytesMax = 256 << 20
    /// Protocols that one member may offer.
    package var protocolsMax = 32
    /// Longest group, client, instance or protocol name, in bytes.
    package var nameBytesMax = 249
    /// Metadata of one committed offset, in bytes (`offset.metadata.max.bytes`).
    package var offsetMetadataBytesMax = 4_096
    /// Committed offsets of one broker (`offsets.max`).
    package var offsetsMax = 1_000_000
    /// How long offsets outlive their group's last member, or, where it has none, their commit
    /// (`offsets.retention.minutes`).
    package var offsetsRetentionMinutes: Int64 = 7 * 24 * 60
    /// Partitions of `__consumer_offsets` when it is created (`offsets.topic.num.partitions`).
    package var offsetsTopicPartitions = 4
    /// A new member that waits for others this long without a sign of life is given up. Kafka's.
    static let newMemberTimeoutMilliseconds: UInt32 = 300_000

    /// Kafka's defaults, where Kafka has a limit.
    package init() {}
}
