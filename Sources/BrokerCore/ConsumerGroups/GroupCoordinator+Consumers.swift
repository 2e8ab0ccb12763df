internal import TopicLog
internal import TopicProtocol

// Groups of KIP-848: their epochs, target assignments and records.
extension GroupCoordinator {
    // MARK: Kinds

    /// A group that holds nothing but offsets becomes one of KIP-848.
    func makeConsumer(_ group: Group, _ consumer: ConsumerGroup) -> [GroupRecord] {
        let wasStored = group.protocolType != nil
        group.load(nil, now: nowMilliseconds) { 0 }
        group.consumer = consumer
        return wasStored ? [.group(group.id, nil)] : []
    }

    /// A group of KIP-848 without members becomes a classic one.
    func makeClassic(_ group: Group) throws(BrokerError) {
        guard let consumer = group.consumer else { return }
        guard consumer.members.isEmpty else {
            throw BrokerError(
                .inconsistentGroupProtocol,
                "the members of group \(group.id) speak the consumer protocol (group.protocol=consumer)")
        }
        write(group.id, endRecords(of: group))
        group.consumer = nil
        group.countConsumer()
    }

    // MARK: Members

    func keepAlive(_ id: String, of consumer: ConsumerGroup, _ group: Group) {
        consumer.sessionDeadlines[id] = after(
            GroupMember.nanoseconds(options.consumerSessionTimeoutMilliseconds))
        wake(group, at: min(consumer.sessionDeadlines[id]!, consumer.revocationDeadlines[id] ?? .max))
    }

    /// Members go, and the group's epoch says so: the next heartbeat of anybody shares out what they had.
    func remove(_ members: [ConsumerMember], of group: Group) -> [GroupRecord] {
        let records = takeOut(members, of: group) + refresh(group, isChanged: true)
        group.countConsumer()
        if group.consumer!.members.isEmpty { group.enter(.empty, now: nowMilliseconds) }
        return records
    }

    func takeOut(_ members: [ConsumerMember], of group: Group) -> [GroupRecord] {
        members.flatMap { (member) -> [GroupRecord] in
            group.consumer!.remove(member.id)
            let gone: [ConsumerGroupRecord] = [
                .current(member.id, nil), .targetOf(member.id, nil), .member(member.id, nil),
            ]
            return gone.map { GroupRecord.consumer(group.id, $0) }
        }
    }

    /// Gives up members that were silent for too long, or kept for too long what they were to give up.
    func expireMembers(_ group: Group) {
        guard let consumer = group.consumer else { return }
        let late = consumer.ordered.filter { member in
            consumer.sessionDeadlines[member.id] ?? .max <= heardUntil
                || consumer.revocationDeadlines[member.id] ?? .max <= heardUntil
        }
        guard !late.isEmpty else { return }
        store(group, remove(late, of: group)) { _ in }
    }

    /// LEAVE_GROUP from an operator, who names members by their ids or instances.
    func leave(_ group: Group, _ consumer: ConsumerGroup, _ members: [LeavingMember], _ origin: ProduceOrigin) {
        var errors: [ErrorCode] = []
        var leaving: [ConsumerMember] = []
        for one in members {
            let id = one.memberID.isEmpty ? one.instanceID.flatMap { consumer.instances[$0] } : one.memberID
            let member = id.flatMap { consumer.members[$0] }
            if let member, !leaving.contains(member) { leaving.append(member) }
            errors.append(member == nil ? .unknownMemberID : .none)
        }
        store(group, leaving.isEmpty ? [] : remove(leaving, of: group)) { [self, errors] error in
            guard error == .none else { return refuse(origin, Self.notStored(error, group)) }
            answer(origin, .errors(ErrorList(errors)))
        }
    }

    // MARK: Offsets

    /// The group, when it is one of KIP-848 and the caller a member of it at its epoch; nil when it is a classic one.
    func consumerCommitter(_ caller: GroupCaller) throws(BrokerError) -> Group? {
        guard let group = try find(caller.group), let consumer = group.consumer else { return nil }
        if caller.generation < 0, consumer.members.isEmpty { return group }
        try check(caller.memberID, caller.generation, of: consumer, group)
        return group
    }

    /// Whether who says it is a member may fetch the group's offsets.
    func checkFetch(_ id: String, memberID: String, memberEpoch: Int32) throws(BrokerError) {
        try requireLoaded()
        guard let group = try find(id), let consumer = group.consumer else { return }
        try check(memberID, memberEpoch, of: consumer, group)
    }

    private func check(
        _ memberID: String, _ epoch: Int32, of consumer: ConsumerGroup, _ group: Group
    ) throws(BrokerError) {
        guard let member = consumer.members[memberID] else { throw Self.unknownMember(memberID, of: group.id) }
        guard epoch == member.epoch else {
            throw BrokerError(
                .staleMemberEpoch, "member \(memberID) of group \(group.id) is in epoch \(member.epoch), not \(epoch)")
        }
    }

    // MARK: Assignment

    /// Looks whether the group's members or topics are others than those of its epoch; if so it has a new one.
    ///
    /// What a pattern matches may be known some turns later only, as after a restart. A target for a part of it would
    /// take partitions from members that get them back: all stays as it is until the whole is known.
    func refresh(_ group: Group, isChanged: Bool) -> [GroupRecord] {
        let consumer = group.consumer!
        guard consumer.subscriptions.lookUp(in: topics, by: patterns) || isChanged else { return [] }
        guard consumer.subscriptions.isWhole else { return postpone(group) }
        let hash = consumer.subscriptions.hash
        guard isChanged || hash != consumer.metadataHash else {
            group.countConsumer()
            return []
        }
        consumer.epoch += 1
        consumer.metadataHash = hash
        return [.consumer(group.id, .group(.init(epoch: consumer.epoch, metadataHash: hash)))]
    }

    /// Members changed, and the next epoch is to come: its hash, which differs from that of any topics, says so after a
    /// restart, too.
    private func postpone(_ group: Group) -> [GroupRecord] {
        let consumer = group.consumer!
        var records: [ConsumerGroupRecord] = []
        if consumer.targetEpoch == 0 {
            // Members have an epoch, the first one, and nothing in it.
            consumer.epoch = max(consumer.epoch, 1)
            consumer.targetEpoch = consumer.epoch
            records.append(.target(consumer.epoch))
        } else if consumer.metadataHash == 0 {
            return []
        }
        consumer.metadataHash = 0
        records.insert(.group(.init(epoch: consumer.epoch, metadataHash: 0)), at: 0)
        return records.map { .consumer(group.id, $0) }
    }

    /// Shares the partitions out for the group's epoch.
    func computeTarget(_ group: Group) -> [GroupRecord] {
        let consumer = group.consumer!
        let subscribers = consumer.ordered.map { member in
            PartitionAssignor.Subscriber(
                id: member.id, instanceID: member.instanceID, topics: consumer.subscriptions.topics(of: member),
                previous: consumer.target[member.id] ?? PartitionSet())
        }
        let target = (consumer.preferredAssignor ?? .uniform).assign(
            consumer.subscriptions.partitions, to: subscribers)
        let changed = target.filter { consumer.target[$0.key] != $0.value }.sorted { $0.key < $1.key }
        consumer.target = target
        consumer.targetEpoch = consumer.epoch
        let records = changed.map { ConsumerGroupRecord.targetOf($0.key, $0.value) } + [.target(consumer.epoch)]
        return records.map { .consumer(group.id, $0) }
    }

    // MARK: Records

    /// Has records written, one write at a time, which all share who ask meanwhile: so none is on its way behind one
    /// that the log refuses. `done` is called once, when they and all before them are durable, or will not be.
    func store(_ group: Group, _ records: [GroupRecord], _ done: @escaping (ErrorCode) -> Void) {
        guard let consumer = group.consumer else { return done(.none) }
        consumer.pending += records
        consumer.waiting.append(done)
        if !consumer.isWriting { storeNext(group, consumer) }
    }

    private func storeNext(_ group: Group, _ consumer: ConsumerGroup) {
        while !consumer.waiting.isEmpty {
            let waiting = consumer.waiting
            consumer.waiting = []
            var records = consumer.pending
            consumer.pending = []
            // What was refused is part of what the group is now, but for what is gone.
            if let refused = consumer.refused {
                records = refused + records.filter(\.isTombstone) + consumer.records(group.id)
            }
            guard !records.isEmpty else {
                for done in waiting { done(.none) }
                continue
            }
            consumer.refused = nil
            consumer.isWriting = true
            return write(group.id, records) { [self, records] error in
                consumer.isWriting = false
                if error != .none { consumer.refused = (consumer.refused ?? []) + records.filter(\.isTombstone) }
                for done in waiting { done(error) }
                if !consumer.isWriting { storeNext(group, consumer) }
            }
        }
    }

    /// What ends all records of a group. Those that were still to be written are not any more.
    func endRecords(of group: Group) -> [GroupRecord] {
        guard let consumer = group.consumer else { return [] }
        let unwritten = (consumer.pending + (consumer.refused ?? [])).filter(\.isTombstone)
        let waiting = consumer.waiting
        consumer.pending = []
        consumer.waiting = []
        // Should it stay after all, it is written anew.
        consumer.refused = []
        for done in waiting { done(.coordinatorNotAvailable) }
        return unwritten + consumer.tombstones(group.id)
    }

    /// Takes a record from the log.
    func load(_ record: ConsumerGroupRecord, of group: Group) {
        if case .group(nil) = record {
            group.consumer = nil
            return
        }
        guard let consumer = group.consumer ?? (record.isTombstone ? nil : ConsumerGroup()) else { return }
        group.consumer = consumer
        func member(_ id: String) -> ConsumerMember {
            consumer.members[id] ?? ConsumerMember(id: id, number: nextMemberNumber())
        }
        switch record {
        case .group(let group):
            consumer.epoch = group!.epoch
            consumer.metadataHash = group!.metadataHash
        case .target(let epoch): consumer.targetEpoch = epoch ?? 0
        case .targetOf(let id, let partitions): consumer.target[id] = partitions
        case .member(let id, nil): consumer.remove(id)
        case .member(let id, let wishes?):
            var member = member(id)
            member.take(wishes)
            consumer.set(member)
        // A member's tombstone goes before its group's, or with that of the member itself.
        case .current(_, nil): break
        case .current(let id, let current?):
            var member = member(id)
            member.epoch = current.epoch
            member.previousEpoch = current.previousEpoch
            member.state = current.state
            member.assigned = current.assigned
            member.revoking = current.revoking
            consumer.set(member)
        }
    }

    /// The log was read: members have their time anew.
    func finishLoadingMembers(_ group: Group) {
        guard let consumer = group.consumer else { return }
        if consumer.isContradictory {
            // A large write was refused in part: everybody joins anew.
            consumer.epoch = consumer.members.values.reduce(max(consumer.epoch, consumer.targetEpoch)) {
                max($0, $1.epoch)
            }
            store(group, remove(consumer.ordered, of: group)) { _ in }
        }
        for member in consumer.ordered {
            if member.state == .unrevoked {
                consumer.revocationDeadlines[member.id] = after(
                    GroupMember.nanoseconds(UInt32(max(member.rebalanceTimeoutMilliseconds, 0))))
            }
            keepAlive(member.id, of: consumer, group)
        }
        // When the last one left is not in the log: what was committed then goes by its own age.
        if consumer.members.isEmpty, let last = group.offsets.lastCommittedAt { group.enter(.empty, now: last) }
        group.countConsumer()
    }
}

extension ConsumerMember {
    fileprivate mutating func take(_ wishes: ConsumerGroupRecord.Wishes) {
        instanceID = wishes.instanceID
        rackID = wishes.rackID
        clientID = wishes.clientID
        host = wishes.host
        topics = wishes.topics
        pattern = wishes.pattern
        rebalanceTimeoutMilliseconds = wishes.rebalanceTimeoutMilliseconds
        assignor = wishes.assignor
    }
}

extension ConsumerGroup {
    /// All of it.
    fileprivate func records(_ group: String) -> [GroupRecord] {
        var records: [ConsumerGroupRecord] = [.group(.init(epoch: epoch, metadataHash: metadataHash))]
        records += ordered.map { .member($0.id, .init($0)) }
        records += target.sorted { $0.key < $1.key }.map { .targetOf($0.key, $0.value) }
        records.append(.target(targetEpoch))
        records += ordered.map { .current($0.id, .init($0)) }
        return records.map { .consumer(group, $0) }
    }

    /// Of all that there is of it.
    fileprivate func tombstones(_ group: String) -> [GroupRecord] {
        let gone = ordered.flatMap {
            [ConsumerGroupRecord.current($0.id, nil), .targetOf($0.id, nil), .member($0.id, nil)]
        }
        return (gone + [.target(nil), .group(nil)]).map { .consumer(group, $0) }
    }
}
