internal import TopicProtocol

/// One group: its members, where it is in its life, what it has committed.
///
/// ```
/// Empty ──join──► PreparingRebalance ──all joined, or time is up──► CompletingRebalance ──leader's sync──► Stable
///   ▲                 │      ▲                                          │                                   │
///   └──nobody left────┘      └──────── a member joins anew, leaves or is given up ──────────────────────────┘
/// ```
/// An Empty group without offsets goes (Dead).
final class Group {
    let id: String
    private(set) var state = GroupState.empty
    /// Milliseconds since 1970 at which ``state`` began.
    private(set) var stateSince: Int64
    var generation: Int32 = 0
    /// Nil while only offsets were committed.
    var protocolType: String?
    var protocolName: String?
    private(set) var leader: String?
    private(set) var members: [String: GroupMember] = [:]
    /// Bytes that the members brought.
    private(set) var memberBytes = 0
    /// How many members offer each protocol.
    private var supporters: [String: Int] = [:]
    /// Static members' ids by instance.
    private(set) var instances: [String: String] = [:]
    /// Ids given out with MEMBER_ID_REQUIRED and not used yet, with the time at which they expire.
    private(set) var pendingMembers: [String: UInt64] = [:]
    /// Members of this generation that have not asked for their assignment yet.
    var unsynced: Set<String> = []
    /// When members that have not joined again are left behind; of a state that gathers members.
    var joinDeadline = UInt64.max
    /// When members in ``unsynced`` are given up.
    var syncDeadline = UInt64.max
    /// In a new group's first gathering: the time for which it may still be prolonged.
    var initialDelayLeft: UInt64?
    /// Somebody joined since the first gathering was last prolonged.
    var hasGrown = false
    /// Nothing is due before this.
    var nextDeadline = UInt64.max
    private(set) var offsets = CommittedOffsets()
    /// Offsets on their way to the log, by how often.
    private(set) var committing: [OffsetKey: Int] = [:]
    /// Of those, the ones that are in the log and wait for the end of transactions: whose they are.
    private(set) var pendingProducers: [OffsetKey: Set<Int64>] = [:]
    /// What the leader of a generation has assigned, on its way to the log.
    private(set) var assigning: [String: [UInt8]]?
    /// A record of the group is on its way to the log; who wants the next one written.
    var isStoring = false
    var waitsForStore: [(ErrorCode) -> Void] = []
    /// The group as one whose broker assigns (KIP-848): everything of the classic protocol is empty then.
    var consumer: ConsumerGroup?
    private var consumerBytes = 0
    /// Its part of what all groups keep. Nil once it was dropped: it counts no more.
    private var usage: GroupUsage?
    private var keptBytes = 0
    private var keptOffsets = 0

    init(id: String, now: Int64, usage: GroupUsage) {
        self.id = id
        stateSince = now
        self.usage = usage
        count(bytes: Self.bytes(ofGroup: id))
    }

    func enter(_ state: GroupState, now: Int64) {
        self.state = state
        stateSince = now
    }

    /// In the order of joining.
    var ordered: [GroupMember] { members.values.sorted { $0.number < $1.number } }

    /// Nothing would be lost if it were forgotten.
    var isVacant: Bool {
        isEmpty && members.isEmpty && pendingMembers.isEmpty && offsets.isEmpty && committing.isEmpty
    }

    /// Nobody is in it.
    var isEmpty: Bool { state == .empty && consumer?.members.isEmpty ?? true }

    // MARK: Members

    func add(_ member: GroupMember) {
        members[member.id] = member
        count(member, 1)
        if let instance = member.instanceID { instances[instance] = member.id }
        if leader == nil { leader = member.id }
    }

    func update(_ member: GroupMember, _ request: JoinGroup) {
        count(member, -1)
        member.update(request)
        count(member, 1)
    }

    func remove(_ member: GroupMember) {
        guard members.removeValue(forKey: member.id) != nil else { return }
        count(member, -1)
        if let instance = member.instanceID, instances[instance] == member.id { instances[instance] = nil }
        unsynced.remove(member.id)
        if leader == member.id { leader = members.values.min { $0.number < $1.number }?.id }
    }

    /// Puts a static member's new id in the place of the old one.
    func replace(_ old: GroupMember, by new: GroupMember) {
        let wasLeader = leader == old.id
        let mustSync = unsynced.contains(old.id)
        remove(old)
        add(new)
        if wasLeader { leader = new.id }
        if mustSync { unsynced.insert(new.id) }
    }

    /// Makes a member that waits for the next generation the leader, unless the leader does. False when nobody waits.
    func electLeader() -> Bool {
        if let leader, members[leader]?.joining != nil { return true }
        guard let next = ordered.first(where: { $0.joining != nil }) else { return false }
        leader = next.id
        return true
    }

    var haveAllJoined: Bool { pendingMembers.isEmpty && members.values.allSatisfy { $0.joining != nil } }

    var rebalanceTimeout: UInt64 { members.values.reduce(0) { max($0, $1.rebalanceTimeout) } }

    func expectMember(_ id: String, until deadline: UInt64) {
        if pendingMembers.updateValue(deadline, forKey: id) == nil { count(bytes: Self.bytes(ofPending: id)) }
    }

    /// False when the id was not given out, or is used already.
    func forgetPending(_ id: String) -> Bool {
        guard pendingMembers.removeValue(forKey: id) != nil else { return false }
        count(bytes: -Self.bytes(ofPending: id))
        return true
    }

    func assign(_ assignment: [UInt8], to member: GroupMember) {
        if members[member.id] === member { count(bytes: assignment.count - member.assignment.count) }
        member.assignment = assignment
    }

    /// Keeps what the leader has assigned until it is stored; nil drops it.
    func keepAssigning(_ given: [String: [UInt8]]?) {
        count(bytes: Self.bytes(of: given) - Self.bytes(of: assigning))
        assigning = given
    }

    /// Becomes what was stored; nil for nothing but offsets.
    func load(_ stored: StoredGroup?, now: Int64, number: () -> UInt64) {
        for member in ordered { remove(member) }
        generation = stored?.generation ?? 0
        protocolType = stored?.protocolType
        protocolName = stored?.protocolName
        enter(.empty, now: stored?.stateSince ?? now)
        guard let stored, !stored.members.isEmpty else { return }
        for member in stored.members {
            add(GroupMember(member, protocolName: stored.protocolName ?? "", number: number()))
        }
        if let id = stored.leader, members[id] != nil { leader = id }
        enter(.stable, now: stored.stateSince)
    }

    // MARK: Protocols

    /// Whether a member with these protocols could be one of this group's, beside all others.
    func supports(_ type: String, _ protocols: [GroupProtocol], besides id: String = "") -> Bool {
        guard !protocols.isEmpty, !type.isEmpty, members.isEmpty || type == protocolType else { return false }
        let own = members[id]
        let others = members.count - (own == nil ? 0 : 1)
        return others == 0
            || protocols.contains { offered in
                let isOwn = own?.protocols.contains { $0.name == offered.name } ?? false
                return supporters[offered.name, default: 0] - (isOwn ? 1 : 0) == others
            }
    }

    /// The protocol that all know and most prefer; among equals the one that the leader likes best.
    func selectProtocol() -> String? {
        guard let leader = leader.flatMap({ members[$0] }) else { return nil }
        let candidates = leader.protocols.map(\.name).filter { supporters[$0] == members.count }
        let common = Set(candidates)
        var votes: [String: Int] = [:]
        for member in members.values {
            if let choice = member.protocols.first(where: { common.contains($0.name) }) {
                votes[choice.name, default: 0] += 1
            }
        }
        let most = votes.values.max()
        return candidates.first { votes[$0] == most }
    }

    /// Everybody with what the chosen protocol needs, for the leader.
    var listing: [JoinGroupAnswer.Member] {
        ordered.map {
            JoinGroupAnswer.Member(
                memberID: $0.id, instanceID: $0.instanceID, metadata: $0.metadata(for: protocolName))
        }
    }

    func describe() -> GroupDescription {
        GroupDescription(
            state: state.rawValue, protocolType: protocolType ?? "", protocolName: protocolName ?? "",
            generation: generation,
            members: ordered.map {
                GroupDescription.Member(
                    memberID: $0.id, instanceID: $0.instanceID, clientID: $0.clientID, host: $0.host,
                    metadata: $0.metadata(for: protocolName), assignment: $0.assignment)
            })
    }

    // MARK: Offsets

    /// Whether an offset is committed for a partition, or on its way.
    func knows(_ key: OffsetKey) -> Bool { offsets[key] != nil || committing[key] != nil }

    /// Takes an offset in that is in the log; nil: a tombstone.
    func set(_ offset: CommittedOffset?, for key: OffsetKey) { change(key) { offsets[key] = offset } }

    /// - Parameter producerID: Whose transaction it waits for; nil: for the log only.
    func beginCommit(_ key: OffsetKey, in producerID: Int64? = nil) {
        if let producerID { pendingProducers[key, default: []].insert(producerID) }
        change(key) { committing[key, default: 0] += 1 }
    }

    func endCommit(_ key: OffsetKey, in producerID: Int64? = nil) {
        if let producerID {
            pendingProducers[key]?.remove(producerID)
            if pendingProducers[key]?.isEmpty ?? false { pendingProducers[key] = nil }
        }
        change(key) {
            let left = committing[key]! - 1
            committing[key] = left == 0 ? nil : left
        }
    }

    private func change(_ key: OffsetKey, _ body: () -> Void) {
        let before = (knows: knows(key), bytes: bytes(of: key))
        body()
        count(
            bytes: bytes(of: key) - before.bytes, offsets: (knows(key) ? 1 : 0) - (before.knows ? 1 : 0))
    }

    // MARK: What it keeps

    /// Beside their text: what a group, a member, an id or an offset takes in memory, roughly.
    private static let groupBytes = 512, memberOwnBytes = 256, pendingBytes = 64, offsetBytes = 96

    static func bytes(ofGroup id: String) -> Int { groupBytes + id.utf8.count }
    static func bytes(ofPending id: String) -> Int { pendingBytes + id.utf8.count }

    /// What a committed offset takes; nil for one that is on its way.
    static func bytes(of key: OffsetKey, _ offset: CommittedOffset?) -> Int {
        offsetBytes + key.topic.utf8.count + (offset?.metadata.utf8.count ?? 0)
    }

    /// What a partition's offset takes now.
    func bytes(of key: OffsetKey) -> Int { knows(key) ? Self.bytes(of: key, offsets[key]) : 0 }

    private static func bytes(of assignments: [String: [UInt8]]?) -> Int {
        assignments?.values.reduce(0) { $0 + $1.count } ?? 0
    }

    /// Takes what ``consumer`` keeps now into the sums.
    func countConsumer() {
        let bytes = consumer?.byteCount ?? 0
        count(bytes: bytes - consumerBytes)
        consumerBytes = bytes
    }

    /// Counts nothing from now on: the group was dropped.
    func leaveUsage() {
        count(bytes: -keptBytes, offsets: -keptOffsets)
        usage = nil
    }

    private func count(bytes: Int, offsets: Int = 0) {
        guard let usage else { return }
        keptBytes += bytes
        keptOffsets += offsets
        usage.bytes += bytes
        usage.offsets += offsets
    }

    /// Takes a member into the sums, or out of them.
    private func count(_ member: GroupMember, _ sign: Int) {
        memberBytes += sign * member.byteCount
        count(bytes: sign * (Self.memberOwnBytes + member.byteCount + member.assignment.count))
        for name in Set(member.protocols.lazy.map(\.name)) {
            let count = supporters[name, default: 0] + sign
            supporters[name] = count == 0 ? nil : count
        }
    }
}
