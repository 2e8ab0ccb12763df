internal import TopicProtocol

// SYNC_GROUP, HEARTBEAT and LEAVE_GROUP.
extension GroupCoordinator {
    func sync(_ request: SyncGroup, _ origin: ProduceOrigin) throws(BrokerError) {
        let (group, member) = try current(request.caller)
        if (!request.protocolType.isEmpty && request.protocolType != group.protocolType)
            || (!request.protocolName.isEmpty && request.protocolName != group.protocolName)
        {
            let speaks = "\(group.protocolType ?? "") \(group.protocolName ?? "")"
            throw BrokerError(
                .inconsistentGroupProtocol,
                "group \(group.id) speaks \(speaks), not \(request.protocolType) \(request.protocolName)")
        }
        switch group.state {
        case .empty, .dead: throw Self.unknownMember(member.id, of: group.id)
        case .preparingRebalance: throw BrokerError(.rebalanceInProgress, "group \(group.id) rebalances: join again")
        case .stable:
            synced(member, of: group)
            answerSync(origin, member, of: group)
        case .completingRebalance:
            let isLeader = group.leader == member.id
            // The first that it gave are on their way already when it asks again.
            let assigns = isLeader && group.assigning == nil
            if assigns { try checkAssignments(request.assignments, group) }
            if let older = member.syncing { refuse(older, Self.superseded) }
            synced(member, of: group)
            member.syncing = origin
            member.deadline = .max
            if assigns { store(request.assignments, of: group) }
        }
    }

    private func synced(_ member: GroupMember, of group: Group) {
        group.unsynced.remove(member.id)
        if group.unsynced.isEmpty { group.syncDeadline = .max }
        keepAlive(member, of: group)
    }

    private func answerSync(_ origin: ProduceOrigin, _ member: GroupMember, of group: Group) {
        answer(
            origin,
            .sync(
                SyncGroupAnswer(
                    protocolType: group.protocolType ?? "", protocolName: group.protocolName ?? "",
                    assignment: member.assignment)))
    }

    private func checkAssignments(_ assignments: [MemberAssignment], _ group: Group) throws(BrokerError) {
        let bytes = assignments.reduce(0) { $0 + $1.assignment.count }
        try requireRoom(for: bytes - group.members.values.reduce(0) { $0 + $1.assignment.count })
        guard bytes <= options.groupBytesMax else {
            throw BrokerError(
                .messageTooLarge,
                "the assignments of group \(group.id) have \(bytes) bytes, at most \(options.groupBytesMax) are allowed"
            )
        }
    }

    /// The generation begins when its assignments are stored.
    private func store(_ given: [MemberAssignment], of group: Group) {
        var assignments: [String: [UInt8]] = [:]
        for one in given where group.members[one.memberID] != nil { assignments[one.memberID] = one.assignment }
        let generation = group.generation
        group.keepAssigning(assignments)
        store(group) { [self] error in
            // Whoever waited was answered when the group went on.
            guard group.state == .completingRebalance, group.generation == generation else { return }
            guard error == .none else {
                dropAssignments(group, Self.notStored(error, group))
                prepareRebalance(group)
                return
            }
            group.keepAssigning(nil)
            group.enter(.stable, now: nowMilliseconds)
            for member in group.ordered {
                group.assign(assignments[member.id] ?? [], to: member)
                guard let origin = member.syncing else { continue }
                member.syncing = nil
                answerSync(origin, member, of: group)
                keepAlive(member, of: group)
            }
        }
    }

    /// Has a group's record written, as the group is then. One at a time, which all share who ask meanwhile.
    /// - Parameter done: Also told an error when the group has gone on, and there is nothing to store.
    func store(_ group: Group, _ done: @escaping (ErrorCode) -> Void = { _ in }) {
        group.waitsForStore.append(done)
        if !group.isStoring { storeNext(group) }
    }

    private func storeNext(_ group: Group) {
        while !group.waitsForStore.isEmpty {
            let waiting = group.waitsForStore
            group.waitsForStore = []
            if let stored = StoredGroup(group, now: nowMilliseconds) {
                group.isStoring = true
                return write(group.id, [.group(group.id, stored)]) { [self] error in
                    group.isStoring = false
                    for done in waiting { done(error) }
                    if !group.isStoring { storeNext(group) }
                }
            }
            for done in waiting { done(.rebalanceInProgress) }
        }
    }

    func heartbeat(_ caller: GroupCaller) throws(BrokerError) {
        let (group, member) = try current(caller)
        keepAlive(member, of: group)
        if group.state == .preparingRebalance {
            throw BrokerError(.rebalanceInProgress, "group \(group.id) rebalances: join again")
        }
    }

    func leave(_ id: String, _ members: [LeavingMember], _ origin: ProduceOrigin) throws(BrokerError) {
        guard let group = try find(id) else {
            throw Self.unknownMember(members.first?.memberID ?? "", of: id)
        }
        defer { forgetIfUnused(group) }
        if let consumer = group.consumer { return leave(group, consumer, members, origin) }
        var errors: [ErrorCode] = []
        for leaving in members {
            do throws(BrokerError) {
                if !group.forgetPending(leaving.memberID) {
                    // An operator sends static members away by their instance alone.
                    let byInstance = leaving.memberID.isEmpty ? leaving.instanceID.flatMap { group.instances[$0] } : nil
                    let caller = GroupCaller(
                        group: id, memberID: byInstance ?? leaving.memberID, instanceID: leaving.instanceID)
                    remove(try member(caller, of: group), of: group)
                }
                errors.append(.none)
            } catch {
                errors.append(error.code)
            }
        }
        completeIfAllJoined(group)
        answer(origin, .errors(ErrorList(errors)))
    }
}
