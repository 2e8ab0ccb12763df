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
    /// Its place among all commits, by their places in the log; 0 for unknown. Not stored.
    var order: UInt64 = 0
}

/// A group's committed offsets.
struct CommittedOffsets {
    private(set) var topics: [String: [UInt32: CommittedOffset]] = [:]
    private var names = SortedNames()
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    subscript(key: OffsetKey) -> CommittedOffset? {
        get { topics[key.topic]?[key.partition] }
        set {
            let isKnown = topics[key.topic] != nil
            let old = topics[key.topic, default: [:]].updateOrRemove(key.partition, newValue)
            count += (newValue == nil ? 0 : 1) - (old == nil ? 0 : 1)
            let isEmpty = topics[key.topic]!.isEmpty
            if isEmpty { topics[key.topic] = nil }
            if !isKnown, !isEmpty { names.insert(key.topic) }
            if isKnown, isEmpty { names.remove(key.topic) }
        }
    }

    /// What is committed behind a partition, in order; looked up as it is taken.
    func after(_ topic: String, _ partition: Int32) -> some Sequence<(key: OffsetKey, offset: CommittedOffset)> {
        names.from(topic).lazy.flatMap { name in
            topics[name]!.filter { name != topic || Int64($0.key) > Int64(partition) }.sorted { $0.key < $1.key }
                .map { (OffsetKey(topic: name, partition: $0.key), $0.value) }
        }
    }

    /// When the newest of them was committed, in milliseconds since 1970.
    var lastCommittedAt: Int64? { topics.values.lazy.flatMap(\.values).map(\.committedAt).max() }

    var keys: [OffsetKey] {
        topics.flatMap { topic, partitions in partitions.keys.map { OffsetKey(topic: topic, partition: $0) } }
    }
}

extension Dictionary {
    fileprivate mutating func updateOrRemove(_ key: Key, _ value: Value?) -> Value? {
        if let value { updateValue(value, forKey: key) } else { removeValue(forKey: key) }
    }
}
