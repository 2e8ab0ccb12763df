/// Kafka's RoundRobinAssignor.
enum RoundRobinAssignor {
    /// The members are sorted; the result is in their order.
    static func assign(_ members: [GroupMember], _ partitionCounts: [String: Int]) -> [[TopicPartition]] {
        var plan = [[TopicPartition]](repeating: [], count: members.count)
        let topics = members.map { Set($0.subscription.topics) }
        var turn = 0
        for topic in partitionCounts.keys.sorted() where topics.contains(where: { $0.contains(topic) }) {
            for partition in 0..<partitionCounts[topic]! {
                while !topics[turn].contains(topic) { turn = (turn + 1) % members.count }
                plan[turn].append(TopicPartition(topic, partition))
                turn = (turn + 1) % members.count
            }
        }
        return plan
    }
}
