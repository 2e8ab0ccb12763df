internal import TopicLog

/// How the partitions of a group's topics are shared out (`group.consumer.assignors`). Kafka's names.
enum PartitionAssignor: String, CaseIterable {
    /// As evenly as subscriptions allow, and as few as possible change their owner.
    case uniform
    /// Of each topic a run of neighbours for each member: topics of equal size are shared out alike.
    case range

    /// A member, and what it was to have so far.
    struct Subscriber {
        var id: String
        var instanceID: String?
        var topics: Set<TopicUUID>
        var previous: PartitionSet
    }

    /// - Parameter topics: Their partitions.
    /// - Returns: What each member shall have: each partition of a topic that has a subscriber, once.
    func assign(_ topics: [TopicUUID: Int], to members: [Subscriber]) -> [String: PartitionSet] {
        // In an order of its own, so that the same group is always shared out alike.
        let members = members.sorted { ($0.instanceID ?? $0.id, $0.id) < ($1.instanceID ?? $1.id, $1.id) }
        // Mostly all want the same, and share what was found for them: then that is compared in no time.
        let isAlike = members.allSatisfy { $0.topics == members[0].topics }
        var subscribers: [TopicUUID: [Int]] = [:]
        if isAlike {
            let all = Array(members.indices)
            for topic in members.first?.topics ?? [] where topics[topic] != nil { subscribers[topic] = all }
        } else {
            for (place, member) in members.enumerated() {
                for topic in member.topics where topics[topic] != nil { subscribers[topic, default: []].append(place) }
            }
        }
        let shares: [PartitionSet]
        switch self {
        case .uniform where isAlike: shares = Self.even(topics.filter { subscribers[$0.key] != nil }, members)
        case .uniform:
            var uniform = UniformShares(topics, members, subscribers)
            uniform.balance()
            shares = uniform.shares
        case .range: shares = Self.ranges(topics, members.count, subscribers)
        }
        return Dictionary(uniqueKeysWithValues: zip(members.map(\.id), shares))
    }

    /// The uniform assignor where all want the same: in time that grows with members plus partitions.
    private static func even(_ topics: [TopicUUID: Int], _ members: [Subscriber]) -> [PartitionSet] {
        guard !members.isEmpty else { return [] }
        let (least, more) = topics.values.reduce(0, +).quotientAndRemainder(dividingBy: members.count)
        var isTaken = topics.mapValues { [Bool](repeating: false, count: $0) }
        // Who has more than the least keeps one more, as long as there are such places.
        var moreLeft = more
        var shares = members.map { (member) -> (share: PartitionSet, count: Int) in
            let most = least + (moreLeft > 0 ? 1 : 0)
            var kept: [(topic: TopicUUID, partition: Int32)] = []
            for (topic, partitions) in member.previous.sorted {
                guard let count = topics[topic] else { continue }
                for partition in partitions
                where kept.count < most && partition < count && !isTaken[topic]![Int(partition)] {
                    isTaken[topic]![Int(partition)] = true
                    kept.append((topic, partition))
                }
            }
            if kept.count > least { moreLeft -= 1 }
            var share = PartitionSet()
            for (topic, partition) in kept { share.insert(topic, partition) }
            return (share, kept.count)
        }
        var free = topics.keys.sorted().lazy.flatMap { topic in
            (0..<topics[topic]!).lazy.filter { !isTaken[topic]![$0] }.map { (topic, Int32($0)) }
        }.makeIterator()
        for least in [least, least + 1] {
            for place in shares.indices {
                while shares[place].count < least, let (topic, partition) = free.next() {
                    shares[place].share.insert(topic, partition)
                    shares[place].count += 1
                }
            }
        }
        return shares.map(\.share)
    }

    private static func ranges(
        _ topics: [TopicUUID: Int], _ memberCount: Int, _ subscribers: [TopicUUID: [Int]]
    ) -> [PartitionSet] {
        var shares = [PartitionSet](repeating: PartitionSet(), count: memberCount)
        for (topic, places) in subscribers {
            let (each, more) = topics[topic]!.quotientAndRemainder(dividingBy: places.count)
            var first = 0
            for (index, place) in places.enumerated() {
                let count = each + (index < more ? 1 : 0)
                guard count > 0 else { break }
                for partition in first..<(first + count) { shares[place].insert(topic, Int32(partition)) }
                first += count
            }
        }
        return shares
    }
}
