internal import TopicProtocol

// JOIN_GROUP.
extension GroupCoordinator {
    func join(_ request: JoinGroup, _ origin: ProduceOrigin, _ host: String) throws(BrokerError) {
        // Its name first, as with Kafka.
        let known = try find(request.group)
        try check(request)
        let found = request.memberID.isEmpty && known == nil ? try findOrCreate(request.group) : known
        guard let group = found else { throw Self.unknownMember(request.memberID, of: request.group) }
        defer { forgetIfUnused(group) }
        try makeClassic(group)
        guard group.supports(request.protocolType, request.protocols, besides: request.memberID) else {
            let known = group.protocolName.map { ", which speaks \(group.protocolType ?? "") \($0)" } ?? ""
            let offered = request.protocols.map(\.name).joined(separator: ", ")
            throw BrokerError(
                .inconsistentGroupProtocol,
                "\(request.protocolType) with protocols (\(offered)) does not fit group \(group.id)\(known)")
        }
        if request.memberID.isEmpty {
            try joinAsNew(group, request, origin, host)
        } else if group.pendingMembers[request.memberID] != nil {
            guard request.instanceID == nil else {
                throw BrokerError(
                    .invalidRequest,
                    "\(request.memberID) was given to a member without an instance: static members join without an id")
            }
            try admit(request, to: group)
            _ = group.forgetPending(request.memberID)
            add(request.memberID, request, to: group, origin, host)
        } else {
            try rejoin(group, request, origin)
        }
        completeIfAllJoined(group)
    }

    private func check(_ request: JoinGroup) throws(BrokerError) {
        let timeouts = options.sessionTimeoutMilliseconds
        guard timeouts.contains(request.sessionTimeoutMilliseconds) else {
            throw BrokerError(
                .invalidSessionTimeout,
                "session timeout \(request.sessionTimeoutMilliseconds) ms is outside \(timeouts.lowerBound) to "
                    + "\(timeouts.upperBound) (group.min.session.timeout.ms, group.max.session.timeout.ms)")
        }
        guard request.protocols.count <= options.protocolsMax else {
            throw BrokerError(
                .inconsistentGroupProtocol, "at most \(options.protocolsMax) protocols, not \(request.protocols.count)")
        }
        let names = [request.clientID, request.instanceID ?? "", request.protocolType] + request.protocols.map(\.name)
        for name in names where name.utf8.count > options.nameBytesMax {
            throw BrokerError(
                .invalidRequest,
                "client, instance and protocol names have at most \(options.nameBytesMax) bytes, not \(name.utf8.count)"
            )
        }
    }

    /// Whether there is room for a member, or for what one that is there brings now.
    private func admit(_ request: JoinGroup, to group: Group, inPlaceOf old: GroupMember? = nil) throws(BrokerError) {
        if old == nil, group.members.count >= options.groupSizeMax {
            throw BrokerError(
                .groupMaxSizeReached, "group \(group.id) has \(options.groupSizeMax) members (group.max.size)")
        }
        // Its ids, too, when it is new.
        let more = request.protocols.byteCount - (old?.protocols.byteCount ?? -512)
        guard more <= 0 || group.memberBytes + more <= options.groupBytesMax else {
            throw BrokerError(
                .groupMaxSizeReached,
                "the members of group \(group.id) would bring \(group.memberBytes + more) bytes of names and metadata, "
                    + "at most \(options.groupBytesMax) are allowed: subscribe to fewer topics, or use more groups")
        }
        try requireRoom(for: more)
    }

    private func joinAsNew(
        _ group: Group, _ request: JoinGroup, _ origin: ProduceOrigin, _ host: String
    ) throws(BrokerError) {
        if let instance = request.instanceID {
            if let old = group.instances[instance].flatMap({ group.members[$0] }) {
                try admit(request, to: group, inPlaceOf: old)
                return replace(old, of: group, request, origin, host)
            }
            try admit(request, to: group)
            return add(makeMemberID(instance), request, to: group, origin, host)
        }
        // The id first: a client that never sees the answer leaves no member behind that a rebalance would wait for.
        guard group.pendingMembers.count + group.members.count < options.groupSizeMax else {
            throw BrokerError(
                .groupMaxSizeReached, "group \(group.id) has \(options.groupSizeMax) members (group.max.size)")
        }
        let id = makeMemberID(request.clientID)
        try requireRoom(for: Group.bytes(ofPending: id))
        let deadline = after(GroupMember.nanoseconds(request.sessionTimeoutMilliseconds))
        group.expectMember(id, until: deadline)
        wake(group, at: deadline)
        refuse(
            origin, BrokerError(.memberIDRequired, "join again as \(id)"),
            .join(JoinGroupAnswer(memberID: id)))
    }

    private func add(
        _ id: String, _ request: JoinGroup, to group: Group, _ origin: ProduceOrigin, _ host: String
    ) {
        let member = GroupMember(request, id: id, host: host, number: nextMemberNumber())
        if group.members.isEmpty { group.protocolType = request.protocolType }
        group.add(member)
        if group.initialDelayLeft != nil { group.hasGrown = true }
        wait(member, of: group, origin)
        // It cannot send heartbeats: it does not know yet that it is one.
        expect(member, of: group, within: GroupMember.nanoseconds(GroupOptions.newMemberTimeoutMilliseconds))
        prepareRebalance(group)
    }

    /// Keeps a member's JOIN_GROUP until the group has gathered. An older one is answered.
    private func wait(_ member: GroupMember, of group: Group, _ origin: ProduceOrigin) {
        if let older = member.joining { refuse(older, Self.superseded) }
        member.joining = origin
        member.deadline = .max
    }

    static let superseded = BrokerError(.rebalanceInProgress, "a later request of the same member took its place")

    private func rejoin(_ group: Group, _ request: JoinGroup, _ origin: ProduceOrigin) throws(BrokerError) {
        let caller = GroupCaller(group: group.id, memberID: request.memberID, instanceID: request.instanceID)
        let member = try self.member(caller, of: group)
        let isSame = member.protocols == request.protocols
        switch group.state {
        // The answer was lost, or a follower asks for no reason: as it was told.
        case .completingRebalance where isSame: return answerJoin(origin, member, of: group)
        case .stable where isSame && group.leader != member.id:
            keepAlive(member, of: group)
            return answerJoin(origin, member, of: group)
        case .empty, .dead: throw Self.unknownMember(request.memberID, of: group.id)
        default: break
        }
        try admit(request, to: group, inPlaceOf: member)
        group.update(member, request)
        wait(member, of: group, origin)
        if member.isNew {
            expect(member, of: group, within: GroupMember.nanoseconds(GroupOptions.newMemberTimeoutMilliseconds))
        }
        prepareRebalance(group)
    }

    /// A static member came back, under a new id. Nothing moves as long as the group would choose as it did.
    private func replace(
        _ old: GroupMember, of group: Group, _ request: JoinGroup, _ origin: ProduceOrigin, _ host: String
    ) {
        let fenced = BrokerError(
            .fencedInstanceID, "another member has taken over instance \(request.instanceID ?? "") of \(group.id)")
        for waiting in [old.joining, old.syncing].compactMap({ $0 }) { refuse(waiting, fenced) }
        let member = GroupMember(old, id: makeMemberID(request.instanceID ?? ""), host: host)
        group.replace(old, by: member)
        group.update(member, request)
        keepAlive(member, of: group)
        let isUnchanged =
            group.state == .stable
            && (old.protocols == request.protocols || group.selectProtocol() == group.protocolName)
        guard isUnchanged else {
            wait(member, of: group, origin)
            return prepareRebalance(group)
        }
        let generation = group.generation
        store(group) { [self] error in
            guard group.members[member.id] === member else {
                return refuse(origin, Self.unknownMember(member.id, of: group.id))
            }
            guard group.state == .stable, group.generation == generation else {
                return refuse(origin, BrokerError(.rebalanceInProgress, "join again as \(member.id)"))
            }
            guard error == .none else { return refuse(origin, Self.notStored(error, group)) }
            answerJoin(origin, member, of: group, skipsAssignment: group.leader == member.id)
        }
    }

    /// Tells a member of the generation.
    func answerJoin(
        _ origin: ProduceOrigin, _ member: GroupMember, of group: Group, skipsAssignment: Bool = false
    ) {
        let isLeader = group.leader == member.id
        answer(
            origin,
            .join(
                JoinGroupAnswer(
                    generation: group.generation, protocolType: group.protocolType ?? "",
                    protocolName: group.protocolName ?? "", leader: group.leader ?? "", memberID: member.id,
                    skipsAssignment: skipsAssignment, members: isLeader ? group.listing : [])))
    }

    static func notStored(_ error: ErrorCode, _ group: Group) -> BrokerError {
        BrokerError(.coordinatorNotAvailable, "group \(group.id) could not be stored (\(error)): try again")
    }
}
