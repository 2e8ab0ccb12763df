internal import TopicLog

/// A member of a ``ConsumerGroup``: what it wants, and what it has.
struct ConsumerMember: Equatable {
    /// How far it has come from what it has to its target. Kafka's numbers, as they are stored.
    enum State: Int8 {
        /// At its epoch it has all that it shall have.
        case stable = 0
        /// It is to give partitions up first, and keeps its epoch until it has.
        case unrevoked = 1
        /// It waits for partitions that others are to give up.
        case unreleased = 2
    }

    /// The epoch of a static member that went and will be back.
    static let leftEpoch: Int32 = -2

    let id: String
    /// Order of joining.
    let number: UInt64
    var instanceID: String?
    var rackID: String?
    var clientID = ""
    /// As the door names its peer.
    var host = ""
    /// Sorted, each once.
    var topics: [String] = []
    /// A regular expression for the names of more topics.
    var pattern: String?
    /// How long it may take to give partitions up.
    var rebalanceTimeoutMilliseconds: Int32 = -1
    var assignor: String?

    var epoch: Int32 = 0
    /// The epoch before: the answer that told it of this one may have been lost.
    var previousEpoch: Int32 = 0
    var state = State.stable
    var assigned = PartitionSet()
    /// It has these still, and was asked to give them up.
    var revoking = PartitionSet()

    init(id: String, number: UInt64) {
        self.id = id
        self.number = number
    }

    /// The same under another id: a static member that came back.
    init(_ old: ConsumerMember, id: String) {
        self = ConsumerMember(id: id, number: old.number)
        wants(as: old)
        state = old.state
        assigned = old.assigned
        revoking = old.revoking
    }

    private mutating func wants(as other: ConsumerMember) {
        instanceID = other.instanceID
        rackID = other.rackID
        clientID = other.clientID
        host = other.host
        topics = other.topics
        pattern = other.pattern
        rebalanceTimeoutMilliseconds = other.rebalanceTimeoutMilliseconds
        assignor = other.assignor
    }

    /// Whether all is the same but what it has.
    func hasSameWishes(as other: ConsumerMember) -> Bool {
        var mixed = other
        mixed.wants(as: self)
        return mixed == other
    }

    func isReconciled(to targetEpoch: Int32) -> Bool { state == .stable && epoch == targetEpoch }

    /// What nobody else may have.
    var held: PartitionSet {
        var held = assigned
        held.formUnion(revoking)
        return held
    }

    /// Of names and subscription, in bytes: what it takes of ``GroupOptions/groupBytesMax``.
    var byteCount: Int {
        [id, instanceID ?? "", rackID ?? "", clientID, host, pattern ?? "", assignor ?? ""].reduce(0) {
            $0 + $1.utf8.count
        } + topics.reduce(0) { $0 + 16 + $1.utf8.count }
    }
}

// What a member has, on its way to its target (KIP-848, "Reconciliation").
extension ConsumerMember {
    /// The next step towards a target; the same member when there is none yet.
    ///
    /// First it gives up what it shall not have, at its old epoch; then it goes to the target's epoch, and gets what
    /// nobody else has. It owns a partition from being told of it until it says that it has it no more.
    /// - Parameters:
    ///   - owned: What it says it has; nil when it says nothing.
    ///   - isFree: Whether nobody has a partition.
    func reconciled(
        to target: PartitionSet, epoch targetEpoch: Int32, owned: PartitionSet?, isFree: (TopicUUID, Int32) -> Bool
    ) -> ConsumerMember {
        switch state {
        case .stable where epoch == targetEpoch: return self
        case .unrevoked where owned.map { !$0.isDisjoint(with: revoking) } ?? true: return self
        case .stable, .unrevoked, .unreleased: break
        }
        var next = self
        next.assigned = assigned.intersection(target)
        next.revoking = assigned.subtracting(target)
        if !next.revoking.isEmpty, owned.map({ !$0.isDisjoint(with: next.revoking) }) ?? true {
            next.state = .unrevoked
            next.previousEpoch = epoch
            return next
        }
        next.revoking = PartitionSet()
        let missing = target.subtracting(next.assigned)
        // What it has just given up itself is free, too.
        let free = missing.filter { isFree($0, $1) || held.contains($0, $1) }
        next.assigned.formUnion(free)
        next.state = free == missing ? .stable : .unreleased
        next.previousEpoch = epoch
        next.epoch = targetEpoch
        return next
    }
}
