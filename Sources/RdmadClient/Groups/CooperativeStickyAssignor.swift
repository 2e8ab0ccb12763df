/// What Kafka's CooperativeStickyAssignor promises: balance first, then as few moves as possible, then nothing is given
/// to a member before its owner has let go of it (KIP-54, KIP-429).
enum CooperativeStickyAssignor {
    /// The members are sorted; the result is in their order.
    static func assign(_ members: [GroupMember], _ partitionCounts: [String: Int]) -> [[TopicPartition]] {
        guard !members.isEmpty else { return [] }
        let owners = owners(members, partitionCounts)
        var plan = Plan(members, partitionCounts)
        plan.keep(owners)
        plan.dealOut()
        plan.balance()
        return plan.partitions.indices.map { member in
            plan.partitions[member].values.flatMap { $0 }.filter { owners[$0] == nil || owners[$0] == member }
        }
    }

    /// Who owns what now. Of two that claim a partition the one of the later generation does; of the same, nobody.
    private static func owners(_ members: [GroupMember], _ partitionCounts: [String: Int]) -> [TopicPartition: Int] {
        var claims: [TopicPartition: (member: Int, generation: Int32, isDisputed: Bool)] = [:]
        for (index, member) in members.enumerated() {
            let generation = member.subscription.generation
            // A subscription may name a partition twice: that is no dispute.
            for partition in Set(member.subscription.owned)
            where (0..<(partitionCounts[partition.topic] ?? 0)).contains(partition.partition)
                && member.subscription.topics.contains(partition.topic)
            {
                if let claim = claims[partition], claim.generation >= generation {
                    if claim.generation == generation { claims[partition]!.isDisputed = true }
                } else {
                    claims[partition] = (index, generation, false)
                }
            }
        }
        return claims.filter { !$0.value.isDisputed }.mapValues(\.member)
    }

    /// Who gets what, while it is being made.
    private struct Plan {
        let topics: [String]
        let partitionCounts: [String: Int]
        /// The members that subscribe to a topic, in order.
        var subscribers: [String: [Int]] = [:]
        /// Of each member, by topic; what it had before comes first.
        var partitions: [[String: [TopicPartition]]]
        var counts: [Int]
        var free: [TopicPartition] = []

        init(_ members: [GroupMember], _ partitionCounts: [String: Int]) {
            for (index, member) in members.enumerated() {
                for topic in Set(member.subscription.topics) where partitionCounts[topic] != nil {
                    subscribers[topic, default: []].append(index)
                }
            }
            topics = subscribers.keys.sorted()
            self.partitionCounts = partitionCounts
            partitions = Array(repeating: [:], count: members.count)
            counts = Array(repeating: 0, count: members.count)
        }

        mutating func give(_ partition: TopicPartition, to member: Int) {
            partitions[member][partition.topic, default: []].append(partition)
            counts[member] += 1
        }

        mutating func keep(_ owners: [TopicPartition: Int]) {
            for topic in topics {
                for number in 0..<partitionCounts[topic]! {
                    let partition = TopicPartition(topic, number)
                    if let owner = owners[partition] { give(partition, to: owner) } else { free.append(partition) }
                }
            }
        }

        /// What nobody has goes to who has least; topics that few can take come first.
        mutating func dealOut() {
            let scarce = free.sorted { (subscribers[$0.topic]!.count, $0) < (subscribers[$1.topic]!.count, $1) }
            for partition in scarce {
                give(partition, to: subscribers[partition.topic]!.min { (counts[$0], $0) < (counts[$1], $1) }!)
            }
        }

        /// Moves partitions until nobody could take one from a member that has two more: always from who has most, to
        /// who has least of those that may have it. Each move brings two members nearer to each other, so it ends.
        mutating func balance() {
            while let (topic, giver, taker) = bestMove() {
                // The last one: what was just given rather than what it had before.
                let partition = partitions[giver][topic]!.removeLast()
                counts[giver] -= 1
                give(partition, to: taker)
            }
        }

        private func bestMove() -> (topic: String, giver: Int, taker: Int)? {
            // Many topics, few different sets of subscribers.
            var least: [[Int]: Int] = [:]
            for giver in counts.indices.sorted(by: { (counts[$0], $0) > (counts[$1], $1) }) where counts[giver] >= 2 {
                var best: (topic: String, giver: Int, taker: Int)?
                for topic in topics where partitions[giver][topic]?.isEmpty == false {
                    let audience = subscribers[topic]!
                    let taker = least[audience] ?? audience.min { (counts[$0], $0) < (counts[$1], $1) }!
                    least[audience] = taker
                    if counts[giver] >= counts[taker] + 2, best.map({ counts[taker] < counts[$0.taker] }) ?? true {
                        best = (topic, giver, taker)
                    }
                }
                if best != nil { return best }
            }
            return nil
        }
    }
}
