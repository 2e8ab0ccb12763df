internal import TopicProtocol

// From one generation to the next, and what time does.
extension GroupCoordinator {
    // MARK: Sessions

    /// Gives a member up unless it is heard of within a time.
    func expect(_ member: GroupMember, of group: Group, within nanoseconds: UInt64) {
        member.deadline = after(nanoseconds)
        wake(group, at: member.deadline)
    }

    /// A sign of life. Who waits for an answer need not send any.
    func keepAlive(_ member: GroupMember, of group: Group) {
        guard member.joining == nil, member.syncing == nil else { return }
        expect(member, of: group, within: member.sessionTimeout)
    }

    /// The caller, as a member of the group.
    func member(_ caller: GroupCaller, of group: Group) throws(BrokerError) -> GroupMember {
        if let instance = caller.instanceID {
            guard let id = group.instances[instance] else {
                throw BrokerError(.unknownMemberID, "group \(group.id) has no instance '\(instance)': join again")
            }
            guard id == caller.memberID else {
                throw BrokerError(
                    .fencedInstanceID, "another member has taken over instance \(instance) of group \(group.id)")
            }
        }
        guard let member = group.members[caller.memberID] else {
            throw Self.unknownMember(caller.memberID, of: group.id)
        }
        return member
    }

    /// The same in the group's generation of now.
    func current(_ caller: GroupCaller) throws(BrokerError) -> (Group, GroupMember) {
        guard let group = try find(caller.group) else { throw Self.unknownMember(caller.memberID, of: caller.group) }
        let member = try member(caller, of: group)
        guard caller.generation == group.generation else {
            throw BrokerError(
                .illegalGeneration,
                "group \(group.id) is in generation \(group.generation), not \(caller.generation): join again")
        }
        return (group, member)
    }

    /// Takes a member out; the others share what it had.
    func remove(_ member: GroupMember, of group: Group) {
        let gone = Self.unknownMember(member.id, of: group.id)
        for waiting in [member.joining, member.syncing].compactMap({ $0 }) { refuse(waiting, gone) }
        member.joining = nil
        member.syncing = nil
        group.remove(member)
        prepareRebalance(group)
        completeIfAllJoined(group)
    }

    /// Does what is due in a group.
    func expire(_ group: Group) {
        group.nextDeadline = .max
        for (id, deadline) in group.pendingMembers where deadline <= heardUntil { _ = group.forgetPending(id) }
        // One that goes may take others with it.
        for member in group.ordered where member.deadline <= heardUntil && group.members[member.id] === member {
            remove(member, of: group)
        }
        expireMembers(group)
        completeIfAllJoined(group)
        if group.joinDeadline <= heardUntil { gatheringEnded(group) }
        if group.syncDeadline <= heardUntil { leaveUnsyncedBehind(group) }
        forgetIfUnused(group)
        let members = group.members.values.map(\.deadline) + group.pendingMembers.values
        wake(group, at: members.reduce(min(group.joinDeadline, group.syncDeadline), min))
        if let consumer = group.consumer { wake(group, at: consumer.nextDeadline) }
    }

    // MARK: Gathering

    /// Begins to gather the next generation, unless that goes on already.
    func prepareRebalance(_ group: Group) {
        switch group.state {
        case .preparingRebalance, .dead: return
        case .completingRebalance: dropAssignments(group, BrokerError(.rebalanceInProgress, "join again"))
        case .empty, .stable: break
        }
        group.unsynced = []
        group.syncDeadline = .max
        var delay = group.rebalanceTimeout
        if group.state == .empty {
            // Many usually start together: they shall meet in one generation.
            delay = GroupMember.nanoseconds(options.initialRebalanceDelayMilliseconds)
            group.initialDelayLeft = group.rebalanceTimeout - min(group.rebalanceTimeout, delay)
            group.hasGrown = false
        }
        group.enter(.preparingRebalance, now: nowMilliseconds)
        group.joinDeadline = after(delay)
        wake(group, at: group.joinDeadline)
    }

    /// A first gathering always lasts as long as it should.
    func completeIfAllJoined(_ group: Group) {
        guard group.state == .preparingRebalance, group.haveAllJoined,
            group.initialDelayLeft == nil || group.members.isEmpty
        else { return }
        completeJoin(group)
    }

    private func gatheringEnded(_ group: Group) {
        if let left = group.initialDelayLeft, group.hasGrown, left > 0 {
            let delay = min(GroupMember.nanoseconds(options.initialRebalanceDelayMilliseconds), left)
            group.hasGrown = false
            group.initialDelayLeft = left - delay
            group.joinDeadline = after(delay)
        } else {
            completeJoin(group)
        }
    }

    /// Begins the next generation with those who have joined. Static members stay until their session ends.
    private func completeJoin(_ group: Group) {
        group.initialDelayLeft = nil
        group.joinDeadline = .max
        for member in group.ordered where member.joining == nil && member.instanceID == nil { group.remove(member) }
        guard !group.members.isEmpty else { return becomeEmpty(group) }
        guard group.electLeader() else {
            // Only static members, and none is back yet.
            group.joinDeadline = after(max(group.rebalanceTimeout, 100_000_000))
            return wake(group, at: group.joinDeadline)
        }
        group.generation = group.generation == .max ? 1 : group.generation + 1
        group.protocolName = group.selectProtocol()
        group.enter(.completingRebalance, now: nowMilliseconds)
        group.unsynced = Set(group.members.keys)
        for member in group.ordered {
            member.isNew = false
            if let origin = member.joining {
                answerJoin(origin, member, of: group)
                member.joining = nil
            }
            keepAlive(member, of: group)
        }
        group.syncDeadline = after(group.rebalanceTimeout)
        wake(group, at: group.syncDeadline)
    }

    private func becomeEmpty(_ group: Group) {
        group.generation = group.generation == .max ? 1 : group.generation + 1
        group.protocolName = nil
        group.enter(.empty, now: nowMilliseconds)
        store(group)
    }

    // MARK: Assigning

    /// Answers all who wait for assignments that will not come.
    func dropAssignments(_ group: Group, _ why: BrokerError) {
        group.keepAssigning(nil)
        for member in group.ordered {
            group.assign([], to: member)
            guard let origin = member.syncing else { continue }
            member.syncing = nil
            refuse(origin, why)
            keepAlive(member, of: group)
        }
    }

    /// Members that joined and never asked what they got would keep it from the others for ever.
    private func leaveUnsyncedBehind(_ group: Group) {
        group.syncDeadline = .max
        for id in group.unsynced.sorted() {
            if let member = group.members[id] { remove(member, of: group) }
        }
    }
}
