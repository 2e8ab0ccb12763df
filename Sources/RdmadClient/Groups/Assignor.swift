/// How a group's leader divides partitions among the members: Kafka's assignors, by Kafka's names.
public enum Assignor: String, Sendable, CaseIterable {
    /// Of each topic every member gets a run of partitions. Members take the same numbers of all topics.
    case range
    /// All partitions of all topics are dealt out by turns.
    case roundRobin = "roundrobin"
    /// As even as possible, and nobody gives up more than that needs. Others go on reading meanwhile: a partition moves
    /// in two rounds, first away from its owner, then to the next one.
    case cooperativeSticky = "cooperative-sticky"

    /// Whether members keep reading during a rebalance.
    public var isCooperative: Bool { self == .cooperativeSticky }

    /// By librdkafka's name, or by that of Java's class.
    init?(kafkaName: Substring) {
        switch kafkaName.split(separator: ".").last {
        case "range", "RangeAssignor": self = .range
        case "roundrobin", "RoundRobinAssignor": self = .roundRobin
        case "cooperative-sticky", "CooperativeStickyAssignor": self = .cooperativeSticky
        default: return nil
        }
    }

    /// Divides the partitions of the topics that members subscribe to.
    ///
    /// The same input gives the same output, in whatever order the members are given.
    /// - Parameter partitionCounts: Of each topic that exists.
    /// - Returns: For each member its partitions, sorted. A cooperative one leaves out what still has another owner.
    func assign(_ members: [GroupMember], partitionCounts: [String: Int]) -> [String: [TopicPartition]] {
        let members = members.sorted()
        let plan =
            switch self {
            case .range: RangeAssignor.assign(members, partitionCounts)
            case .roundRobin: RoundRobinAssignor.assign(members, partitionCounts)
            case .cooperativeSticky: CooperativeStickyAssignor.assign(members, partitionCounts)
            }
        return Dictionary(uniqueKeysWithValues: zip(members, plan).map { ($0.id, $1.sorted()) })
    }
}

/// A member of a group as its leader sees it.
struct GroupMember: Sendable, Comparable {
    /// The coordinator's name for it.
    var id: String
    /// Its own name, for a static member.
    var instanceID: String?
    /// What it said when it joined.
    var subscription: ConsumerProtocol.Subscription

    init(id: String, instanceID: String? = nil, subscription: ConsumerProtocol.Subscription) {
        self.id = id
        self.instanceID = instanceID
        self.subscription = subscription
    }

    static func == (one: GroupMember, other: GroupMember) -> Bool { one.id == other.id }

    /// Kafka's order: static members first, by their own names, so that they get the same again.
    static func < (one: GroupMember, other: GroupMember) -> Bool {
        switch (one.instanceID, other.instanceID) {
        case (let a?, let b?) where a != b: a < b
        case (_?, nil): true
        case (nil, _?): false
        default: one.id < other.id
        }
    }
}
