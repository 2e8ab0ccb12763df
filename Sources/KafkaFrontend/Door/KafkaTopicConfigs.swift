internal import BrokerCore
internal import TopicProtocol

/// Kafka's topic configs, beside those that a log has: what they would change is the same for every topic here, so each
/// has the values by which topics behave anyway, and no other.
enum KafkaTopicConfigs {
    /// Config types by Kafka's numbers.
    enum Kind: Int8 {
        case boolean = 1
        case string = 2
        case int = 3
        case long = 5
        case double = 6
        case list = 7
    }

    /// In the order of names; the first value is what is described.
    static let fixed: [(name: String, kind: Kind, values: [String])] = [
        ("compression.type", .string, ["producer"]),
        ("file.delete.delay.ms", .long, ["60000"]),
        ("flush.messages", .long, [longMax]),
        ("flush.ms", .long, [longMax]),
        ("follower.replication.throttled.replicas", .list, [""]),
        ("leader.replication.throttled.replicas", .list, [""]),
        ("max.compaction.lag.ms", .long, [longMax]),
        ("message.downconversion.enable", .boolean, ["true", "false"]),
        ("message.timestamp.after.max.ms", .long, [longMax]),
        ("message.timestamp.before.max.ms", .long, [longMax]),
        ("message.timestamp.difference.max.ms", .long, [longMax]),
        ("message.timestamp.type", .string, ["CreateTime"]),
        ("min.compaction.lag.ms", .long, ["0"]),
        ("min.insync.replicas", .int, ["1"]),
        ("preallocate", .boolean, ["false"]),
        ("remote.storage.enable", .boolean, ["false"]),
        ("segment.index.bytes", .int, ["10485760"]),
        ("segment.jitter.ms", .long, ["0"]),
        ("unclean.leader.election.enable", .boolean, ["false"]),
    ]

    private static let longMax = "\(Int64.max)"

    /// Whether a config is one that a log has.
    /// - Throws: when it is one of the others, and has not the value that holds.
    static func isSettable(_ name: String, _ value: String?) throws(BrokerError) -> Bool {
        guard let row = fixed.first(where: { $0.name == name }) else { return true }
        guard let value else { return false }
        guard row.values.contains(row.kind == .boolean ? value.lowercased() : value) else {
            throw BrokerError(
                .invalidConfig, "\(name) is \(row.values[0]) for every topic here and cannot be '\(value)'")
        }
        return false
    }

    /// The type of a topic's or the broker's config.
    static func kind(of name: String, value: String) -> Kind {
        if let row = fixed.first(where: { $0.name == name }) { return row.kind }
        switch name {
        case "cleanup.policy", "log.cleanup.policy", "listeners", "advertised.listeners", "log.dirs": return .list
        case "min.cleanable.dirty.ratio": return .double
        case "index.interval.bytes", "max.message.bytes", "segment.bytes", "log.segment.bytes", "message.max.bytes",
            "node.id",
            "num.partitions":
            return .int
        default: break
        }
        if value == "true" || value == "false" { return .boolean }
        return Int64(value) == nil ? .string : .long
    }

    /// What the broker calls a topic's config.
    static func brokerName(of name: String) -> String {
        switch name {
        case "cleanup.policy": "log.cleanup.policy"
        case "delete.retention.ms": "log.cleaner.delete.retention.ms"
        case "index.interval.bytes": "log.index.interval.bytes"
        case "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio"
        case "max.message.bytes": "message.max.bytes"
        case "retention.bytes": "log.retention.bytes"
        case "retention.ms": "log.retention.ms"
        case "segment.bytes": "log.segment.bytes"
        case "segment.ms": "log.roll.ms"
        default: name
        }
    }
}
