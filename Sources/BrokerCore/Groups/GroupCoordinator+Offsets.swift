internal import TopicProtocol

// Committed offsets: OFFSET_COMMIT, OFFSET_FETCH, OFFSET_DELETE, DELETE_GROUP, expiry.
extension GroupCoordinator {
    func commit(_ caller: GroupCaller, _ topics: [TopicOffsets], _ origin: ProduceOrigin) throws(BrokerError) {
        let group = try committer(caller)
        defer { forgetIfUnused(group) }
        var errors: [ErrorCode] = []
        var accepted: [(index: Int, key: OffsetKey, offset: CommittedOffset)] = []
        var room = options.offsetsMax - groups.values.reduce(0) { $0 + $1.offsets.count + $1.committing.count }
        for topic in topics {
            for partition in topic.partitions {
                let key = OffsetKey(topic: topic.topic, partition: partition.partition)
                let isKnown = group.offsets[key] != nil || group.committing[key] != nil
                let error = refusal(partition, key, hasRoom: isKnown || room > 0)
                if error == .none {
                    if !isKnown { room -= 1 }
                    let offset = CommittedOffset(
                        offset: partition.offset, leaderEpoch: partition.leaderEpoch, metadata: partition.metadata,
                        committedAt: nowMilliseconds)
                    accepted.append((errors.count, key, offset))
                }
                errors.append(error)
            }
        }
        guard !accepted.isEmpty else { return answer(origin, .errors(ErrorList(errors))) }
        for (_, key, _) in accepted { group.committing[key, default: 0] += 1 }
        write(group.id, accepted.map { .offset(group: group.id, $0.key, $0.offset) }) { [self] error in
            for (index, key, offset) in accepted {
                let left = group.committing[key]! - 1
                group.committing[key] = left == 0 ? nil : left
                // One that was deleted meanwhile stays so: its tombstones are behind these records.
                if error == .none, group.state != .dead { group.offsets[key] = offset }
                if error != .none { errors[index] = .coordinatorNotAvailable }
            }
            answer(origin, .errors(ErrorList(errors)))
        }
    }

    /// The group, when the caller may commit: a member, or anybody while there are none.
    private func committer(_ caller: GroupCaller) throws(BrokerError) -> Group {
        guard caller.generation < 0, caller.memberID.isEmpty, caller.instanceID == nil else {
            let (group, member) = try current(caller)
            keepAlive(member, of: group)
            guard group.state != .completingRebalance else {
                throw BrokerError(.rebalanceInProgress, "group \(group.id) rebalances: commit after the sync")
            }
            return group
        }
        let group = try findOrCreate(caller.group)
        guard group.state == .empty else {
            throw BrokerError(.unknownMemberID, "group \(group.id) has members: only they commit")
        }
        return group
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
            keys = offsets.keys.filter { ($0.topic, Int64($0.partition)) > (topic, Int64(partition)) }.sorted()
        }
        answer(origin, .offsets(OffsetFetchAnswer(keys.lazy.map(entry))))
    }

    func delete(_ id: String, _ origin: ProduceOrigin) throws(BrokerError) {
        let group = try existing(id)
        try requireEmpty(group)
        drop(group)
        let keys = Set(group.offsets.keys).union(group.committing.keys).sorted()
        // By the name that its records have: text compares equal in other bytes, too.
        let tombstones = keys.map { GroupRecord.offset(group: group.id, $0, nil) } + [.group(group.id, nil)]
        write(group.id, tombstones) { [self] error in
            if error == .none { answer(origin) } else { refuse(origin, Self.notStored(error, group)) }
        }
    }

    private func requireEmpty(_ group: Group) throws(BrokerError) {
        guard group.state == .empty else {
            throw BrokerError(.nonEmptyGroup, "group \(group.id) has \(group.members.count) members: stop them first")
        }
    }

    func deleteOffsets(_ id: String, _ topics: [TopicPartitions], _ origin: ProduceOrigin) throws(BrokerError) {
        let group = try existing(id)
        try requireEmpty(group)
        var errors: [ErrorCode] = []
        var keys: Set<OffsetKey> = []
        for topic in topics {
            for partition in topic.partitions {
                let key = OffsetKey(topic: topic.topic, partition: partition)
                let isThere = group.offsets[key] != nil || group.committing[key] != nil
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
        write(group.id, keys.sorted().map { .offset(group: group.id, $0, nil) }) { error in
            if error == .none {
                for key in keys { group.offsets[key] = nil }
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
        for group in groups.values.sorted(by: { $0.id < $1.id }) where group.state == .empty {
            if group.isVacant {
                drop(group)
                write(group.id, [.group(group.id, nil)])
                continue
            }
            // Of a group that had members all go together, so long after the last one left.
            let isSimple = group.protocolType == nil
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
            removeOffsets(Array(Set(committed + group.committing.keys.filter { $0.topic == topic })), of: group)
        }
    }

    // MARK: Loading

    /// Takes a record from the log, oldest first.
    func load(_ record: GroupRecord) {
        switch record {
        case .offset(let id, let key, let offset): loadedGroup(id).offsets[key] = offset
        case .group(let id, let stored): loadedGroup(id).load(stored, now: nowMilliseconds) { nextMemberNumber() }
        }
    }

    private func loadedGroup(_ id: String) -> Group {
        if let group = groups[id] { return group }
        let group = Group(id: id, now: nowMilliseconds)
        groups[id] = group
        return group
    }

    /// The log was read: members that were there have a session's time to be heard of.
    func finishLoading() {
        isLoading = false
        for group in groups.values.sorted(by: { $0.id < $1.id }) {
            for member in group.ordered { keepAlive(member, of: group) }
            if group.isVacant, group.protocolType == nil { drop(group) }
        }
    }
}
