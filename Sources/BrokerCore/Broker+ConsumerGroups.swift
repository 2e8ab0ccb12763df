// Groups of KIP-848: for doors that speak of them.
extension Broker {
    /// Takes a heartbeat of a member. Exactly one ``GroupAnswer`` follows, at once or later.
    /// - Parameters:
    ///   - host: How the door names the peer.
    ///   - now: Nanoseconds of the monotonic clock.
    package func handle(_ heartbeat: ConsumerGroupHeartbeat, from origin: ProduceOrigin, host: String, now: UInt64) {
        groups.handle(heartbeat, from: origin, host: host, now: now)
    }

    /// A group of KIP-848; GROUP_ID_NOT_FOUND for any other.
    package func describeConsumerGroup(_ id: String) throws(BrokerError) -> ConsumerGroupDescription {
        try groups.describeConsumerGroup(id)
    }

    /// Whether there is a group of KIP-848 of this name.
    package func isConsumerGroup(_ id: String) -> Bool { groups.groups[id]?.consumer != nil }

    /// Whether who says it is a member of a group may fetch its offsets: members of KIP-848 at their epoch only.
    package func checkOffsetFetch(_ group: String, memberID: String, memberEpoch: Int32) throws(BrokerError) {
        try groups.checkFetch(group, memberID: memberID, memberEpoch: memberEpoch)
    }
}
