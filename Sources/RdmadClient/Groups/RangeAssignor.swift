/// Kafka's RangeAssignor (without racks).
enum RangeAssignor {
    /// The members are sorted; the result is in their order.
    static func assign(_ members: [GroupMember], _ partitionCounts: [String: Int]) -> [[TopicPartition]] {
        var plan = [[TopicPartition]](repeating: [], count: members.count)
        for (topic, count) in partitionCounts {
            let subscribers = members.indices.filter { members[$0].subscription.topics.contains(topic) }
            guard !subscribers.isEmpty else { continue }
            let (each, extra) = count.quotientAndRemainder(dividingBy: subscribers.count)
            var next = 0
            for (place, member) in subscribers.enumerated() {
                let share = each + (place < extra ? 1 : 0)
                plan[member] += (next..<next + share).map { TopicPartition(topic, $0) }
                next += share
            }
        }
        return plan
    }
}
