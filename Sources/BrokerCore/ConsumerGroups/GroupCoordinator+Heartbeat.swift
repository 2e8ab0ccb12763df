internal import TopicLog
internal import TopicProtocol

// ConsumerGroupHeartbeat (KIP-848): members say what they want and have, the coordinator says what they shall have.
extension GroupCoordinator {
    /// Takes a heartbeat. Its answer comes when what it changed is stored, exactly one.
    /// - Parameter host: How the door names the peer.
    func handle(_ request: ConsumerGroupHeartbeat, from origin: ProduceOrigin, host: String, now: UInt64) {
        begin(at: now)
        do throws(BrokerError) {
            try requireLoaded()
            try check(request)
            if request.memberEpoch < 0 { try leave(request, origin) } else { try heartbeat(request, origin, host) }
        } catch {
            refuse(origin, error)
        }
    }

    private func check(_ request: ConsumerGroupHeartbeat) throws(BrokerError) {
        func refuse(_ text: String) -> BrokerError { BrokerError(.invalidRequest, text) }
        guard (-2...Int32.max).contains(request.memberEpoch) else { throw refuse("MemberEpoch is invalid.") }
        guard request.memberEpoch == 0 || !request.memberID.isEmpty else { throw refuse("MemberId can't be empty.") }
        guard request.instanceID != "", request.rackID != "" else {
            throw refuse("InstanceId and RackId can't be empty.")
        }
        guard request.memberEpoch != -2 || request.instanceID != nil else {
            throw refuse("InstanceId can't be null.")
        }
        if request.memberEpoch == 0 {
            guard request.rebalanceTimeoutMilliseconds >= 0 else {
                throw refuse("RebalanceTimeoutMs must be provided in first request.")
            }
            guard request.owned?.isEmpty ?? false else {
                throw refuse("TopicPartitions must be empty when (re-)joining.")
            }
            guard request.topics != nil || request.pattern != nil else {
                throw refuse("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
            }
        }
        let names = [request.memberID, request.clientID, request.instanceID ?? "", request.rackID ?? ""]
        for name in names + (request.topics ?? []) where name.utf8.count > options.nameBytesMax {
            throw refuse("names have at most \(options.nameBytesMax) bytes, not \(name.utf8.count)")
        }
        if let assignor = request.assignor, PartitionAssignor(rawValue: assignor) == nil {
            let known = PartitionAssignor.allCases.map(\.rawValue).joined(separator: ", ")
            throw BrokerError(
                .unsupportedAssignor, "ServerAssignor \(assignor) is not supported. Supported assignors: \(known).")
        }
        if let pattern = request.pattern, !pattern.isEmpty {
            do throws(TopicPatternError) { _ = try TopicPattern(pattern) } catch {
                throw BrokerError(.invalidRegularExpression, "SubscribedTopicRegex '\(pattern)' is not valid: \(error)")
            }
        }
    }

    private func heartbeat(
        _ request: ConsumerGroupHeartbeat, _ origin: ProduceOrigin, _ host: String
    ) throws(BrokerError) {
        let joins = request.memberEpoch == 0
        guard let group = joins ? try findOrCreate(request.group) : try find(request.group) else {
            throw BrokerError(.groupIDNotFound, "there is no group \(request.group)")
        }
        defer { forgetIfUnused(group) }
        guard group.consumer != nil || joins && group.isEmpty else {
            throw BrokerError(
                .groupIDNotFound, "the members of group \(group.id) speak the classic protocol: stop them first")
        }
        let consumer = group.consumer ?? ConsumerGroup()
        let (known, replaced) = try find(request, in: consumer, group.id)
        let isNew = known == nil
        var member = known ?? newMember(request, inPlaceOf: replaced)
        member.take(request, host)
        let old = known ?? replaced
        try admit(member, inPlaceOf: old, to: consumer, group.id)

        // From here on nothing is refused.
        var records: [GroupRecord] = []
        if group.consumer == nil { records += makeConsumer(group, consumer) }
        func add(_ record: ConsumerGroupRecord) { records.append(.consumer(group.id, record)) }
        if let replaced {
            consumer.target[member.id] = consumer.target[replaced.id]
            records += takeOut([replaced], of: group)
            add(.targetOf(member.id, consumer.target[member.id] ?? PartitionSet()))
        }
        if isNew || !member.hasSameWishes(as: known!) { add(.member(member.id, .init(member))) }
        let before = member
        // Who joins says that it has nothing.
        if joins, !isNew { member.forgetAssignment() }
        consumer.set(member)
        let wantsOthers = old == nil || old!.topics != member.topics || old!.pattern != member.pattern
        records += refresh(group, isChanged: wantsOthers)
        if consumer.epoch > consumer.targetEpoch, consumer.subscriptions.isWhole { records += computeTarget(group) }
        let next = member.reconciled(
            to: consumer.target[member.id] ?? PartitionSet(), epoch: consumer.targetEpoch, owned: request.owned,
            isFree: consumer.isFree)
        let current = ConsumerGroupRecord.Current(next)
        if isNew || current != .init(before) {
            add(.current(next.id, current))
            consumer.revocationDeadlines[next.id] =
                next.state == .unrevoked
                ? after(GroupMember.nanoseconds(UInt32(max(next.rebalanceTimeoutMilliseconds, 0)))) : nil
        }
        consumer.set(next)
        keepAlive(next.id, of: consumer, group)
        if !records.isEmpty { group.countConsumer() }

        let isFull =
            request.rebalanceTimeoutMilliseconds >= 0 && (request.topics ?? request.pattern.map { [$0] }) != nil
            && request.owned != nil
        let answer = ConsumerGroupHeartbeatAnswer(
            memberID: next.id, memberEpoch: next.epoch,
            heartbeatIntervalMilliseconds: Int32(clamping: options.consumerHeartbeatIntervalMilliseconds),
            assigned: joins || isFull || next.assigned != before.assigned ? next.assigned : nil)
        store(group, records) { [self] error in
            guard error == .none else { return refuse(origin, Self.notStored(error, group)) }
            self.answer(origin, .heartbeat(answer))
        }
    }

    /// Who asks: a member that there is, and the one whose place it takes.
    private func find(
        _ request: ConsumerGroupHeartbeat, in consumer: ConsumerGroup, _ group: String
    ) throws(BrokerError) -> (known: ConsumerMember?, replaced: ConsumerMember?) {
        let holder = request.instanceID.flatMap { consumer.instances[$0] }.flatMap { consumer.members[$0] }
        let instance = request.instanceID ?? ""
        if request.memberEpoch == 0 {
            if let holder, holder.id != request.memberID {
                guard holder.epoch == ConsumerMember.leftEpoch else {
                    throw BrokerError(
                        .unreleasedInstanceID,
                        "instance \(instance) of group \(group) is member \(holder.id), which has not left")
                }
                guard consumer.members[request.memberID] == nil else {
                    throw BrokerError(
                        .invalidRequest,
                        "\(request.memberID) is a member of group \(group) already: it cannot be instance \(instance), "
                            + "which was another member")
                }
                return (nil, holder)
            }
            return (consumer.members[request.memberID], nil)
        }
        let member = try self.member(request, of: consumer, group)
        let isLate =
            request.memberEpoch < member.epoch && request.memberEpoch == member.previousEpoch
            && request.owned?.isSubset(of: member.assigned) ?? false
        guard request.memberEpoch == member.epoch || isLate else {
            throw BrokerError(
                .fencedMemberEpoch,
                "member \(member.id) of group \(group) is in epoch \(member.epoch), not \(request.memberEpoch): it "
                    + "must abandon all its partitions and rejoin")
        }
        return (member, nil)
    }

    /// The member that a request names.
    private func member(
        _ request: ConsumerGroupHeartbeat, of consumer: ConsumerGroup, _ group: String
    ) throws(BrokerError) -> ConsumerMember {
        if let instance = request.instanceID {
            guard let id = consumer.instances[instance] else {
                throw BrokerError(.unknownMemberID, "group \(group) has no instance '\(instance)': join again")
            }
            guard id == request.memberID else {
                throw BrokerError(
                    .fencedInstanceID, "another member has taken over instance \(instance) of group \(group)")
            }
        }
        guard let member = consumer.members[request.memberID] else {
            throw Self.unknownMember(request.memberID, of: group)
        }
        return member
    }

    private func newMember(_ request: ConsumerGroupHeartbeat, inPlaceOf old: ConsumerMember?) -> ConsumerMember {
        let id = request.memberID.isEmpty ? makeMemberID(request.clientID) : request.memberID
        return old.map { ConsumerMember($0, id: id) } ?? ConsumerMember(id: id, number: nextMemberNumber())
    }

    /// Whether there is room for a member, or for what one that is there wants now.
    private func admit(
        _ member: ConsumerMember, inPlaceOf old: ConsumerMember?, to consumer: ConsumerGroup, _ group: String
    ) throws(BrokerError) {
        guard old != nil || consumer.members.count < options.groupSizeMax else {
            throw BrokerError(
                .groupMaxSizeReached, "group \(group) has \(options.groupSizeMax) members (group.max.size)")
        }
        let bringsPattern = consumer.subscriptions.bringsPattern(member, inPlaceOf: old)
        guard consumer.subscriptions.patternCount < options.groupPatternsMax || !bringsPattern else {
            throw BrokerError(
                .groupMaxSizeReached,
                "group \(group) has members with \(options.groupPatternsMax) regular expressions, no more may differ: "
                    + "subscribe with the same one, or use more groups")
        }
        let more = member.byteCount - (old?.byteCount ?? -512)
        guard more <= 0 || consumer.memberBytes + more <= options.groupBytesMax else {
            throw BrokerError(
                .groupMaxSizeReached,
                "the members of group \(group) would bring \(consumer.memberBytes + more) bytes of names, at most "
                    + "\(options.groupBytesMax) are allowed: subscribe to fewer topics, or use more groups")
        }
        try requireRoom(for: more + (bringsPattern ? TopicPatterns.bytesEach : 0))
    }

    private func leave(_ request: ConsumerGroupHeartbeat, _ origin: ProduceOrigin) throws(BrokerError) {
        guard let group = try find(request.group), let consumer = group.consumer else {
            throw BrokerError(.groupIDNotFound, "there is no consumer group \(request.group)")
        }
        var member = try member(request, of: consumer, group.id)
        var records: [GroupRecord] = []
        if request.memberEpoch == ConsumerMember.leftEpoch {
            // It keeps what it has, until its session ends or it comes back.
            member.epoch = ConsumerMember.leftEpoch
            member.revoking = PartitionSet()
            consumer.set(member)
            consumer.revocationDeadlines[member.id] = nil
            records.append(.consumer(group.id, .current(member.id, .init(member))))
        } else {
            records = remove([member], of: group)
        }
        let answer = ConsumerGroupHeartbeatAnswer(
            memberID: member.id, memberEpoch: request.memberEpoch, heartbeatIntervalMilliseconds: 0)
        store(group, records) { [self] error in
            guard error == .none else { return refuse(origin, Self.notStored(error, group)) }
            self.answer(origin, .heartbeat(answer))
        }
    }
}

extension ConsumerMember {
    /// Takes over what a heartbeat says.
    fileprivate mutating func take(_ request: ConsumerGroupHeartbeat, _ host: String) {
        clientID = request.clientID
        self.host = host
        if let instance = request.instanceID { instanceID = instance }
        if let rack = request.rackID { rackID = rack }
        if request.rebalanceTimeoutMilliseconds >= 0 {
            rebalanceTimeoutMilliseconds = request.rebalanceTimeoutMilliseconds
        }
        if let names = request.topics { topics = Set(names).sorted() }
        if let text = request.pattern { pattern = text.isEmpty ? nil : text }
        if let name = request.assignor { assignor = name }
    }

    fileprivate mutating func forgetAssignment() {
        epoch = 0
        previousEpoch = 0
        state = .stable
        assigned = PartitionSet()
        revoking = PartitionSet()
    }
}
