internal import TopicProtocol

// Committed offsets: OFFSET_COMMIT, OFFSET_FETCH, OFFSET_DELETE, DELETE_GROUP, expiry.
extension GroupCoordinator {
    /// - Parameter producer: Whose transaction decides whether they count; nil: they do.
    func commit(
        _ caller: GroupCaller, _ topics: [TopicOffsets], _ origin: ProduceOrigin, in producer: ProducerEpoch? = nil
    ) throws(BrokerError) {
        let group = producer == nil ? try committer(caller) : try transactionalCommitter(caller)
        defer { forgetIfUnused(group) }
        lastCommit += 1
        var errors: [ErrorCode] = []
        // The last one of a partition counts, and only it is written.
        var accepted: [OffsetKey: CommittedOffset] = [:]
        var newCount = 0
        for topic in topics {
            for partition in topic.partitions {
                let key = OffsetKey(topic: topic.topic, partition: partition.partition)
                let isNew = accepted[key] == nil && !group.knows(key)
                let hasRoom = !isNew || usage.offsets + newCount < options.offsetsMax
                let error = refusal(partition, key, hasRoom: hasRoom)
                if error == .none {
                    if isNew { newCount += 1 }
                    accepted[key] = CommittedOffset(
                        offset: partition.offset, leaderEpoch: partition.leaderEpoch, metadata: partition.metadata,
                        committedAt: nowMilliseconds, order: lastCommit)
                }
                errors.append(error)
            }
        }
        guard !accepted.isEmpty else {
            // Where there is room for words.
            if !errors.isEmpty, errors.allSatisfy({ $0 == .limitReached }) {
                throw BrokerError(
                    .limitReached,
                    "the broker holds \(usage.offsets) committed offsets, the limit is \(options.offsetsMax) "
                        + "(--offsets-max)")
            }
            return answer(origin, .errors(ErrorList(errors)))
        }
        try requireRoom(for: accepted, of: group)
        let records = accepted.sorted { $0.key < $1.key }
        for (key, _) in records { group.beginCommit(key) }
        write(group.id, records.map { .offset(group: group.id, $0.key, $0.value) }, in: producer) { [self] error in
            for (key, offset) in records {
                // Of one that is being deleted, too: its tombstones are behind these records.
                if error == .none, let producer {
                    setPending(offset, for: key, of: group, producer.producerID)
                } else if error == .none {
                    keep(offset, for: key, of: group)
                }
                group.endCommit(key)
            }
            if error != .none { errors = errors.map { $0 == .none ? .coordinatorNotAvailable : $0 } }
            answer(origin, .errors(ErrorList(errors)))
        }
    }

    /// Whether there is room for offsets, in memory and on the way to the log.
    private func requireRoom(for offsets: [OffsetKey: CommittedOffset], of group: Group) throws(BrokerError) {
        var (bytes, kept) = (0, 0)
        for (key, offset) in offsets {
            bytes += Group.bytes(of: key, offset)
            kept += group.bytes(of: key)
        }
        // Who only goes on where it was needs no room.
        if bytes > kept { try requireRoom(for: bytes - kept) }
        // What waits may be kept, too.
        let waiting = writingBytes + bytes
        guard waiting <= options.totalBytesMax, bytes <= kept || usage.bytes + waiting - kept <= options.totalBytesMax
        else {
            throw BrokerError(
                .limitReached,
                "\(writingBytes) bytes of offsets and groups are being written, \(bytes) more exceed the limit of "
                    + "\(options.totalBytesMax) (--groups-bytes-max): try again",
                isTransient: bytes <= options.totalBytesMax)
        }
    }

    /// The group, when the caller may commit: a member, or whoever claims no generation while there are no members.
    func committer(_ caller: GroupCaller) throws(BrokerError) -> Group {
        let group = try committersGroup(caller, orElse: .groupIDNotFound)
        if caller.generation < 0, group.isEmpty { return group }
        guard caller.generation >= 0 || !caller.memberID.isEmpty || caller.instanceID != nil else {
            throw BrokerError(.unknownMemberID, "group \(group.id) has members: only they commit")
        }
        if let group = try consumerCommitter(caller) { return group }
        let member = try current(caller).1
        keepAlive(member, of: group)
        guard group.state != .completingRebalance else {
            throw BrokerError(.rebalanceInProgress, "group \(group.id) rebalances: commit after the sync")
        }
        return group
    }

    /// The group that is to be committed to: a new one when there is none, for who claims no generation of it.
    func committersGroup(_ caller: GroupCaller, orElse error: ErrorCode) throws(BrokerError) -> Group {
        if let group = try find(caller.group) { return group }
        guard caller.generation < 0 else { throw BrokerError(error, "there is no group \(caller.group)") }
        return try findOrCreate(caller.group)
    }

    private func refusal(_ partition: TopicOffsets.Partition, _ key: OffsetKey, hasRoom: Bool) -> ErrorCode {
        if !partitionExists(key.topic, key.partition) { return .unknownTopicOrPartition }
        if partition.metadata.utf8.count > options.offsetMetadataBytesMax { return .offsetMetadataTooLarge }
        if partition.offset < 0 { return .offsetOutOfRange }
        return hasRoom ? .none : .limitReached
    }

    func fetch(_ request: OffsetFetch, _ origin: ProduceOrigin) throws(BrokerError) {
        let offsets = try find(request.group)?.offsets ?? CommittedOffsets()
        func entry(_ key: OffsetKey) -> (topic: String, offset: TopicOffsets.Partition) {
            let found = offsets[key]
            return (
                key.topic,
                TopicOffsets.Partition(
                    partition: key.partition, offset: found?.offset ?? -1, leaderEpoch: found?.leaderEpoch ?? -1,
                    metadata: found?.metadata ?? "")
            )
        }
        let keys: [OffsetKey]
        switch request.scope {
        case .partitions(let topics):
            keys = topics.flatMap { topic in
                topic.partitions.map { OffsetKey(topic: topic.topic, partition: $0) }
            }
        case .all(let topic, let partition):
            let rest = offsets.after(topic, partition).lazy.map { entry($0.key) }
            return answer(origin, .offsets(OffsetFetchAnswer(rest)))
        }
        answer(origin, .offsets(OffsetFetchAnswer(keys.lazy.map(entry))))
    }

    func delete(_ id: String, _ origin: ProduceOrigin) throws(BrokerError) {
        let group = try existing(id)
        try requireEmpty(group)
        // Until it is known whether the log takes that, nothing else is done with it.
        let since = group.stateSince
        group.enter(.dead, now: nowMilliseconds)
        let keys = Set(group.offsets.keys).union(group.committing.keys).sorted()
        // By the name that its records have: text compares equal in other bytes, too.
        let tombstones = keys.map { GroupRecord.offset(group: group.id, $0, nil) } + tombstones(of: group)
        write(group.id, tombstones) { [self] error in
            guard error == .none else {
                group.enter(.empty, now: since)
                return refuse(origin, Self.notStored(error, group))
            }
            for key in keys { dropPending(key, of: group) }
            drop(group)
            answer(origin)
        }
    }

    private func requireEmpty(_ group: Group) throws(BrokerError) {
        guard group.isEmpty else {
            let count = group.consumer?.members.count ?? group.members.count
            throw BrokerError(.nonEmptyGroup, "group \(group.id) has \(count) members: stop them first")
        }
    }

    /// Of the group itself, without its offsets.
    private func tombstones(of group: Group) -> [GroupRecord] {
        [.group(group.id, nil)] + endRecords(of: group)
    }

    func deleteOffsets(_ id: String, _ topics: [TopicPartitions], _ origin: ProduceOrigin) throws(BrokerError) {
        let group = try existing(id)
        // What the members of a classic group read is opaque here.
        if group.consumer == nil { try requireEmpty(group) }
        let subscribed = group.consumer?.subscriptions.names ?? []
        var errors: [ErrorCode] = []
        var keys: Set<OffsetKey> = []
        for topic in topics {
            for partition in topic.partitions {
                let key = OffsetKey(topic: topic.topic, partition: partition)
                guard !subscribed.contains(topic.topic) else {
                    errors.append(.groupSubscribedToTopic)
                    continue
                }
                let isThere = group.knows(key)
                if isThere { keys.insert(key) }
                errors.append(isThere || partitionExists(key.topic, key.partition) ? .none : .unknownTopicOrPartition)
            }
        }
        removeOffsets(Array(keys), of: group) { [self] error in
            if error == .none {
                answer(origin, .errors(ErrorList(errors)))
            } else {
                refuse(origin, Self.notStored(error, group))
            }
        }
    }

    private func removeOffsets(
        _ keys: [OffsetKey], of group: Group, _ done: @escaping (ErrorCode) -> Void = { _ in }
    ) {
        guard !keys.isEmpty else { return done(.none) }
        write(group.id, keys.sorted().map { .offset(group: group.id, $0, nil) }) { [self] error in
            if error == .none {
                for key in keys { remove(key, of: group) }
            }
            done(error)
        }
    }

    // MARK: Expiry

    /// Drops offsets that nobody came back for, and groups that hold nothing.
    func expireOffsets() {
        // What is read half may have a newer commit behind it.
        guard !isLoading else { return }
        let now = nowMilliseconds
        let limit = now - options.offsetsRetentionMinutes * 60_000
        for group in groups.values.sorted(by: { $0.id < $1.id }) where group.isEmpty {
            if group.isVacant {
                write(group.id, tombstones(of: group))
                drop(group)
                continue
            }
            // Of a group that had members all go together, so long after the last one left.
            let isSimple = group.protocolType == nil && group.consumer == nil
            if !isSimple, group.stateSince > limit { continue }
            let expired = group.offsets.keys.filter { key in
                group.committing[key] == nil && (!isSimple || group.offsets[key]!.committedAt <= limit)
            }
            removeOffsets(expired, of: group)
        }
    }

    /// Forgets what was committed for a topic that is gone.
    func topicDeleted(_ topic: String) {
        for group in groups.values.sorted(by: { $0.id < $1.id }) {
            let committed = group.offsets.topics[topic, default: [:]].keys.map {
                OffsetKey(topic: topic, partition: $0)
            }
            forget(Array(Set(committed + group.committing.keys.filter { $0.topic == topic })), of: group)
        }
    }

    /// Drops offsets of partitions that are gone: at once, whatever becomes of the tombstones. A start that finds them
    /// without those drops them, too.
    private func forget(_ keys: [OffsetKey], of group: Group) {
        for key in keys { remove(key, of: group) }
        removeOffsets(keys, of: group)
    }

    /// A tombstone ends transactions' offsets, too: they are before it in the log.
    private func remove(_ key: OffsetKey, of group: Group) {
        dropPending(key, of: group)
        group.set(nil, for: key)
    }

    // MARK: Loading

    /// Takes a record from the log, oldest first.
    /// - Parameter producerID: Whose transaction decides whether it counts; nil: it does.
    func load(_ record: GroupRecord, in producerID: Int64? = nil) {
        switch record {
        case .offset(let id, let key, var offset?):
            lastCommit += 1
            offset.order = lastCommit
            if let producerID {
                setPending(offset, for: key, of: loadedGroup(id), producerID)
            } else {
                loadedGroup(id).set(offset, for: key)
            }
        case .offset(let id, let key, nil): remove(key, of: loadedGroup(id))
        case .group(let id, let stored): loadedGroup(id).load(stored, now: nowMilliseconds) { nextMemberNumber() }
        case .consumer(let id, let record): load(record, of: loadedGroup(id))
        }
    }

    private func loadedGroup(_ id: String) -> Group { groups[id] ?? addGroup(id) }

    /// The log was read: members that were there have a session's time to be heard of. What was committed for
    /// partitions that are gone goes: the broker may have ended before it was dropped from the log.
    func finishLoading() {
        isLoading = false
        for group in groups.values.sorted(by: { $0.id < $1.id }) {
            let known = Set(group.offsets.keys).union(group.committing.keys)
            forget(known.filter { !partitionExists($0.topic, $0.partition) }.sorted(), of: group)
            for member in group.ordered { keepAlive(member, of: group) }
            finishLoadingMembers(group)
            if group.isVacant, group.protocolType == nil, group.consumer == nil { drop(group) }
        }
    }
}
