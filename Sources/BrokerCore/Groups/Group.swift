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
    /// Static members' ids by instance.
    private(set) var instances: [String: String] = [:]
    /// Ids given out with MEMBER_ID_REQUIRED and not used yet, with the time at which they expire.
    var pendingMembers: [String: UInt64] = [:]
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
    var offsets = CommittedOffsets()
    /// Offsets on their way to the log, by how often.
    var committing: [OffsetKey: Int] = [:]

    init(id: String, now: Int64) {
        self.id = id
        stateSince = now
    }

    func enter(_ state: GroupState, now: Int64) {
        self.state = state
        stateSince = now
    }

    /// In the order of joining.
    var ordered: [GroupMember] { members.values.sorted { $0.number < $1.number } }

    /// Nothing would be lost if it were forgotten.
    var isVacant: Bool {
        state == .empty && members.isEmpty && pendingMembers.isEmpty && offsets.isEmpty && committing.isEmpty
    }

    // MARK: Members

    func add(_ member: GroupMember) {
        members[member.id] = member
        memberBytes += member.byteCount
        if let instance = member.instanceID { instances[instance] = member.id }
        if leader == nil { leader = member.id }
    }

    func update(_ member: GroupMember, _ request: JoinGroup) {
        memberBytes -= member.byteCount
        member.update(request)
        memberBytes += member.byteCount
    }

    func remove(_ member: GroupMember) {
        guard members.removeValue(forKey: member.id) != nil else { return }
        memberBytes -= member.byteCount
        if let instance = member.instanceID, instances[instance] == member.id { instances[instance] = nil }
        unsynced.remove(member.id)
        if leader == member.id { leader = ordered.first?.id }
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
        let others = members.values.filter { $0.id != id }
        return others.isEmpty
            || protocols.contains { offered in
                others.allSatisfy { $0.protocols.contains { $0.name == offered.name } }
            }
    }

    /// The protocol that all know and most prefer; among equals the one that the leader likes best.
    func selectProtocol() -> String? {
        guard let leader = leader.flatMap({ members[$0] }) else { return nil }
        let candidates = leader.protocols.map(\.name).filter { name in
            members.values.allSatisfy { $0.protocols.contains { $0.name == name } }
        }
        var votes: [String: Int] = [:]
        for member in members.values {
            if let choice = member.protocols.first(where: { candidates.contains($0.name) }) {
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
}
