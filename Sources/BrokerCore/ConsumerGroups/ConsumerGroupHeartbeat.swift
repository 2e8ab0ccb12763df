/// Joins, stays in or leaves a group whose broker assigns the partitions. Nil is what is as it was in the last one.
package struct ConsumerGroupHeartbeat: Sendable {
    package var group: String
    /// Empty in a first heartbeat: the coordinator gives one.
    package var memberID = ""
    /// 0 to join, −1 to leave, −2 to leave and come back as the same static member.
    package var memberEpoch: Int32 = 0
    package var instanceID: String?
    package var rackID: String?
    package var clientID = ""
    /// −1 for what it was.
    package var rebalanceTimeoutMilliseconds: Int32 = -1
    package var topics: [String]?
    /// Of more topics' names, as a whole.
    package var pattern: String?
    package var assignor: String?
    /// What the member has.
    package var owned: PartitionSet?

    package init(group: String) { self.group = group }
}

/// What a member is told.
package struct ConsumerGroupHeartbeatAnswer: Equatable, Sendable {
    package var memberID: String
    package var memberEpoch: Int32
    package var heartbeatIntervalMilliseconds: Int32
    /// What it shall have; nil when that did not change.
    package var assigned: PartitionSet?
}

/// A group of KIP-848, for operators.
package struct ConsumerGroupDescription: Equatable, Sendable {
    /// One member.
    package struct Member: Equatable, Sendable {
        package var memberID: String
        package var instanceID: String?
        package var rackID: String?
        package var memberEpoch: Int32
        package var clientID: String
        package var host: String
        package var topics: [String]
        package var pattern: String?
        package var assigned: PartitionSet
        package var target: PartitionSet
    }

    package var state: String
    package var groupEpoch: Int32
    package var assignmentEpoch: Int32
    package var assignor: String
    package var members: [Member]
}
