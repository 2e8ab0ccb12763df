internal import TopicProtocol

/// A partition by its topic's name: topic ids do not outlive the broker.
struct OffsetKey: Hashable, Comparable {
    let topic: String
    let partition: UInt32

    static func < (left: OffsetKey, right: OffsetKey) -> Bool {
        (left.topic, left.partition) < (right.topic, right.partition)
    }
}

/// What a group has committed for a partition.
struct CommittedOffset: Equatable {
    var offset: Int64
    var leaderEpoch: Int32
    var metadata: String
    /// Milliseconds since 1970.
    var committedAt: Int64
}

/// A group's committed offsets.
struct CommittedOffsets {
    private(set) var topics: [String: [UInt32: CommittedOffset]] = [:]
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    subscript(key: OffsetKey) -> CommittedOffset? {
        get { topics[key.topic]?[key.partition] }
        set {
            let old = topics[key.topic, default: [:]].updateOrRemove(key.partition, newValue)
            count += (newValue == nil ? 0 : 1) - (old == nil ? 0 : 1)
            if topics[key.topic]?.isEmpty == true { topics[key.topic] = nil }
        }
    }

    var keys: [OffsetKey] {
        topics.flatMap { topic, partitions in partitions.keys.map { OffsetKey(topic: topic, partition: $0) } }
    }
}

extension Dictionary {
    fileprivate mutating func updateOrRemove(_ key: Key, _ value: Value?) -> Value? {
        if let value { updateValue(value, forKey: key) } else { removeValue(forKey: key) }
    }
}
