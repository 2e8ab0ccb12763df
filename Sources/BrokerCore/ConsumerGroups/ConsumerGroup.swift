internal import TopicLog
internal import TopicProtocol

/// The members of a group whose broker assigns the partitions (KIP-848), and what each shall have and has.
///
/// Three epochs: the group's grows with each change of members, subscriptions or topics; the target assignment has that
/// of the group it was computed for; a member has that of the target it has come to.
final class ConsumerGroup {
    /// Where it is in its life; Kafka's names.
    enum State: String {
        case empty = "Empty"
        /// The target assignment is yet to be computed.
        case assigning = "Assigning"
        /// Members are on their way to it.
        case reconciling = "Reconciling"
        case stable = "Stable"
    }

    /// Of the group.
    var epoch: Int32 = 0
    /// Of the target assignment.
    var targetEpoch: Int32 = 0
    /// Says which topics and partitions the epoch is for.
    var metadataHash: Int64 = 0
    private(set) var members: [String: ConsumerMember] = [:]
    /// Static members' ids by instance.
    private(set) var instances: [String: String] = [:]
    /// What each member shall have.
    var target: [String: PartitionSet] = [:]
    /// Who has a partition: nobody else gets it.
    private var owners: [TopicUUID: [Int32: String]] = [:]
    /// Bytes of names and subscriptions.
    private(set) var memberBytes = 0
    /// When members are given up, in nanoseconds of the clock: silent ones, and those that do not revoke.
    var sessionDeadlines: [String: UInt64] = [:]
    var revocationDeadlines: [String: UInt64] = [:]
    /// What members want, and what that comes to.
    var subscriptions = GroupSubscriptions()

    /// A write is on its way to the log; what is to be in the next one, and who wants to hear of it.
    var isWriting = false
    var pending: [GroupRecord] = []
    var waiting: [(ErrorCode) -> Void] = []
    /// The log has refused a write, with these tombstones: the next one has all of the group.
    var refused: [GroupRecord]?

    var state: State {
        if members.isEmpty { return .empty }
        if epoch > targetEpoch { return .assigning }
        return members.values.allSatisfy { $0.isReconciled(to: targetEpoch) } ? .stable : .reconciling
    }

    /// In the order of joining.
    var ordered: [ConsumerMember] { members.values.sorted { $0.number < $1.number } }

    /// Puts a member in, or a new version of it in the place of the old one.
    func set(_ member: ConsumerMember) {
        let old = members.updateValue(member, forKey: member.id)
        memberBytes += member.byteCount - (old?.byteCount ?? 0)
        subscriptions.replace(old, by: member)
        if old?.instanceID != member.instanceID, let instance = old?.instanceID { instances[instance] = nil }
        if let instance = member.instanceID { instances[instance] = member.id }
        guard old?.assigned != member.assigned || old?.revoking != member.revoking else { return }
        if let old { disown(old.held, of: member.id) }
        for (topic, partitions) in member.held.topics {
            for partition in partitions { owners[topic, default: [:]][partition] = member.id }
        }
    }

    /// Takes a member out; what it had is free.
    func remove(_ id: String) {
        guard let member = members.removeValue(forKey: id) else { return }
        memberBytes -= member.byteCount
        subscriptions.replace(member, by: nil)
        if let instance = member.instanceID, instances[instance] == id { instances[instance] = nil }
        disown(member.held, of: id)
        target[id] = nil
        sessionDeadlines[id] = nil
        revocationDeadlines[id] = nil
    }

    private func disown(_ partitions: PartitionSet, of id: String) {
        for (topic, numbers) in partitions.topics {
            for number in numbers where owners[topic]?[number] == id { owners[topic]![number] = nil }
            if owners[topic]?.isEmpty ?? false { owners[topic] = nil }
        }
    }

    func isFree(_ topic: TopicUUID, _ partition: Int32) -> Bool { owners[topic]?[partition] == nil }

    /// The assignor that most members ask for; nil when none asks.
    var preferredAssignor: PartitionAssignor? {
        var votes: [PartitionAssignor: Int] = [:]
        for member in members.values {
            if let choice = member.assignor.flatMap(PartitionAssignor.init) { votes[choice, default: 0] += 1 }
        }
        return votes.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key
    }

    /// Whether its records cannot be of one moment.
    var isContradictory: Bool {
        targetEpoch > epoch || members.values.contains { $0.epoch > targetEpoch }
            || members.values.reduce(0) { $0 + $1.held.count }
                != owners.values.reduce(0) { $0 + $1.count }
    }

    /// Beside names: what members and partitions take in memory, roughly.
    var byteCount: Int {
        members.values.reduce(memberBytes + subscriptions.byteCount) { $0 + 512 + 2 * $1.held.byteCount }
            + target.values.reduce(0) { $0 + $1.byteCount }
    }

    /// The first time at which somebody may have to be given up.
    var nextDeadline: UInt64 {
        min(sessionDeadlines.values.min() ?? .max, revocationDeadlines.values.min() ?? .max)
    }
}
