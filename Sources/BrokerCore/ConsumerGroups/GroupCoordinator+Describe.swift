internal import TopicLog
internal import TopicProtocol

// What operators are told of groups.
extension GroupCoordinator {
    /// Any group, in the terms of the classic protocol.
    func describe(_ group: Group) -> GroupDescription {
        guard let consumer = group.consumer else { return group.describe() }
        // Of all that have the same wish, it is made once.
        var subscriptions: [GroupSubscriptions.Wish: [UInt8]] = [:]
        func subscription(_ member: ConsumerMember) -> [UInt8] {
            let wish = GroupSubscriptions.Wish(member)
            let made = subscriptions[wish] ?? Self.subscription(consumer.subscriptions.names(of: member).sorted())
            subscriptions[wish] = made
            return made
        }
        return GroupDescription(
            state: consumer.state.rawValue, protocolType: "consumer", protocolName: consumer.assignorName,
            generation: consumer.epoch,
            members: consumer.ordered.map { member in
                GroupDescription.Member(
                    memberID: member.id, instanceID: member.instanceID, clientID: member.clientID, host: member.host,
                    metadata: subscription(member),
                    assignment: assignment(member.assigned))
            })
    }

    /// A group of KIP-848.
    func describeConsumerGroup(_ id: String) throws(BrokerError) -> ConsumerGroupDescription {
        try requireLoaded()
        guard let consumer = try existing(id).consumer else {
            throw BrokerError(.groupIDNotFound, "group \(id) is not a consumer group")
        }
        return ConsumerGroupDescription(
            state: consumer.state.rawValue, groupEpoch: consumer.epoch, assignmentEpoch: consumer.targetEpoch,
            assignor: consumer.assignorName,
            members: consumer.ordered.map { member in
                ConsumerGroupDescription.Member(
                    memberID: member.id, instanceID: member.instanceID, rackID: member.rackID,
                    memberEpoch: member.epoch, clientID: member.clientID, host: member.host, topics: member.topics,
                    pattern: member.pattern, assigned: member.assigned,
                    target: consumer.target[member.id] ?? PartitionSet())
            })
    }

    // Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment of version 0.

    private static func subscription(_ topics: [String]) -> [UInt8] {
        var writer = KafkaWriter()
        writer.integer(Int16(0))
        writer.integer(Int32(topics.count))
        for topic in topics { writer.string(topic) }
        writer.integer(Int32(-1))
        return writer.bytes
    }

    private func assignment(_ partitions: PartitionSet) -> [UInt8] {
        let named = partitions.sorted.compactMap { id, numbers in topics.topicName(id).map { ($0, numbers) } }
        var writer = KafkaWriter()
        writer.integer(Int16(0))
        writer.integer(Int32(named.count))
        for (name, numbers) in named {
            writer.string(name)
            writer.integer(Int32(numbers.count))
            for number in numbers { writer.integer(number) }
        }
        writer.integer(Int32(-1))
        return writer.bytes
    }
}

extension ConsumerGroup {
    fileprivate var assignorName: String { (preferredAssignor ?? .uniform).rawValue }
}
