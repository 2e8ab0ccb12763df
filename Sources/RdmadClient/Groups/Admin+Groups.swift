internal import TopicProtocol

// Consumer groups, seen from outside.
extension Admin {
    /// All groups, by name.
    public func listGroups() async throws(ClientError) -> [GroupListing] {
        var groups: [GroupListing] = []
        while true {
            let after = groups.last?.id ?? ""
            let list = try parseBody(try await link.request(.group(.list(after: after)))) { reader throws(FrameError) in
                try GroupList(from: &reader)
            }
            groups += list.groups.map { GroupListing(id: $0.group, state: $0.state, protocolType: $0.protocolType) }
            guard list.isCut, !list.groups.isEmpty else { return groups }
        }
    }

    /// A group's state and members.
    /// - Throws: ``ClientError``, with the broker's GROUP_ID_NOT_FOUND when there is no such group.
    public func describeGroup(_ id: String) async throws(ClientError) -> ConsumerGroup {
        let body = try await link.request(.group(.describe(group: id)))
        let group = try parseBody(body) { reader throws(FrameError) in try GroupDescription(from: &reader) }
        let isConsumer = group.protocolType == ConsumerProtocol.type
        return ConsumerGroup(
            id: id, state: group.state, assignor: group.protocolName, generation: Int(group.generation),
            members: group.members.map { member in
                let assignment = isConsumer ? try? ConsumerProtocol.parse(assignment: member.assignment) : nil
                return ConsumerGroup.Member(
                    id: member.memberID, instanceID: member.instanceID, clientID: member.clientID, host: member.host,
                    assignment: (assignment ?? []).sorted())
            })
    }

    /// Everything that a group has committed.
    public func groupOffsets(_ id: String) async throws(ClientError) -> [TopicPartition: Int64] {
        var found: [TopicPartition: Int64] = [:]
        var after = TopicPartition("", -1)
        while true {
            let request = OffsetFetch(
                group: id, scope: .all(afterTopic: after.topic, partition: Int32(after.partition)))
            let answer = try parseBody(try await link.request(.group(.fetch(request)))) { reader throws(FrameError) in
                try OffsetFetchAnswer(from: &reader)
            }
            found.merge(answer.offsets) { $1 }
            guard answer.isCut, let topic = answer.topics.last, let partition = topic.partitions.last else {
                return found.filter { $0.value >= 0 }
            }
            after = TopicPartition(topic.topic, Int(partition.partition))
        }
    }

    /// Sets what a group has committed. The group must have no members.
    public func setGroupOffsets(_ id: String, _ offsets: [TopicPartition: Int64]) async throws(ClientError) {
        guard !offsets.isEmpty else { return }
        try Links.check(offsets.keys)
        let (names, topics) = TopicOffsets.list(offsets)
        let body = try await link.request(.group(.commit(GroupCaller(group: id), topics)))
        let list = try parseBody(body) { reader throws(FrameError) in try ErrorList(from: &reader) }
        try list.check(names)
    }

    /// Deletes a group and what it has committed. It must have no members.
    public func deleteGroup(_ id: String) async throws(ClientError) {
        _ = try await link.request(.group(.delete(group: id)))
    }
}

/// A group in a list.
public struct GroupListing: Sendable, Hashable {
    /// Its name.
    public let id: String
    /// Kafka's: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
    public let state: String
    /// `consumer` for one of consumers; empty when it only has offsets.
    public let protocolType: String
}

/// A consumer group.
public struct ConsumerGroup: Sendable, Hashable {
    /// Its name.
    public let id: String
    /// Kafka's: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
    public let state: String
    /// The assignor that the members agreed on; empty without members.
    public let assignor: String
    /// How often it has divided the partitions.
    public let generation: Int
    /// In no order.
    public let members: [Member]

    /// A member of a group.
    public struct Member: Sendable, Hashable {
        /// Given by the coordinator.
        public let id: String
        /// `group.instance.id`, of a static member.
        public let instanceID: String?
        /// `client.id`.
        public let clientID: String
        /// As the broker names its peer.
        public let host: String
        /// What it reads.
        public let assignment: [TopicPartition]
    }
}

extension TopicOffsets {
    /// Offsets as OFFSET_COMMIT takes them, and in which order.
    static func list(_ offsets: [TopicPartition: Int64]) -> (names: [TopicPartition], topics: [TopicOffsets]) {
        let names = offsets.keys.sorted()
        var topics: [TopicOffsets] = []
        for name in names {
            if topics.last?.topic != name.topic { topics.append(TopicOffsets(topic: name.topic, partitions: [])) }
            topics[topics.count - 1].partitions.append(
                .init(partition: UInt32(name.partition), offset: offsets[name]!))
        }
        return (names, topics)
    }
}

extension ErrorList {
    /// Throws the first error, with what it is about.
    func check(_ names: [TopicPartition]) throws(ClientError) {
        guard let index = errors.firstIndex(where: { $0 != .none }), index < names.count else { return }
        throw .refused("commit the offset of \(names[index])", errors[index], "")
    }
}
