internal import TopicProtocol

// Offsets that count once a transaction is committed: TxnOffsetCommit, and the transaction's end.
extension GroupCoordinator {
    /// Takes a request that the transaction's coordinator has let through. Its answer comes at once or later.
    func commit(
        _ caller: GroupCaller, _ topics: [TopicOffsets], in producer: ProducerEpoch, _ origin: ProduceOrigin,
        now: UInt64
    ) {
        begin(at: now)
        do throws(BrokerError) {
            guard !isLoading else {
                throw BrokerError(
                    .coordinatorLoadInProgress, "committed offsets are being read from the log: try again")
            }
            try commit(caller, topics, origin, in: producer)
        } catch {
            refuse(origin, error)
        }
    }

    /// The group. Who says nothing of itself need not be a member: it has the transaction. A rebalance does not stop a
    /// member's, and producers know ILLEGAL_GENERATION where consumers are told of their epoch (as in Kafka).
    func transactionalCommitter(_ caller: GroupCaller) throws(BrokerError) -> Group {
        let group = try committersGroup(caller, orElse: .illegalGeneration)
        if caller.generation < 0, group.isEmpty || caller.memberID.isEmpty && caller.instanceID == nil { return group }
        do throws(BrokerError) {
            if let group = try consumerCommitter(caller) { return group }
            return try current(caller).0
        } catch {
            guard error.code == .staleMemberEpoch else { throw error }
            throw BrokerError(.illegalGeneration, error.description)
        }
    }

    /// Whether a transaction may still change what is committed.
    func isPending(_ key: OffsetKey, of group: String) -> Bool {
        guard let group = groups[group], let producers = group.pendingProducers[key] else { return false }
        let committed = group.offsets[key]?.order ?? 0
        return producers.contains { pendingOffsets[$0]?[group.id]?[key].map { $0.order > committed } ?? false }
    }

    /// Takes an offset in, unless a later one is there. The later one in the log counts, whenever its transaction ends:
    /// compaction keeps that one, too.
    func keep(_ offset: CommittedOffset, for key: OffsetKey, of group: Group) {
        if offset.order > group.offsets[key]?.order ?? 0 { group.set(offset, for: key) }
    }

    /// Keeps an offset until its transaction ends.
    func setPending(_ offset: CommittedOffset, for key: OffsetKey, of group: Group, _ producerID: Int64) {
        let old = pendingOffsets[producerID, default: [:]][group.id, default: [:]].updateValue(offset, forKey: key)
        // Until then it counts as on its way.
        writingBytes += Group.bytes(of: key, offset) - (old.map { Group.bytes(of: key, $0) } ?? 0)
        if old == nil { group.beginCommit(key, in: producerID) }
    }

    /// Forgets what transactions would commit for a partition.
    func dropPending(_ key: OffsetKey, of group: Group) {
        for id in group.pendingProducers[key] ?? [] {
            guard let offset = pendingOffsets[id]?[group.id]?.removeValue(forKey: key) else { continue }
            if pendingOffsets[id]?[group.id]?.isEmpty == true { pendingOffsets[id]?[group.id] = nil }
            if pendingOffsets[id]?.isEmpty == true { pendingOffsets[id] = nil }
            writingBytes -= Group.bytes(of: key, offset)
            group.endCommit(key, in: id)
        }
    }

    /// Commits a producer's offsets, or drops them.
    /// - Parameter isMeant: Which groups' the marker is about.
    func endTransaction(of producerID: Int64, isCommit: Bool, isMeant: (String) -> Bool) {
        guard var offsets = pendingOffsets.removeValue(forKey: producerID) else { return }
        for id in offsets.keys.sorted() where isMeant(id) {
            guard let ended = offsets.removeValue(forKey: id), let group = groups[id] else { continue }
            for (key, offset) in ended {
                writingBytes -= Group.bytes(of: key, offset)
                if isCommit { keep(offset, for: key, of: group) }
                group.endCommit(key, in: producerID)
            }
            if !isLoading { forgetIfUnused(group) }
        }
        if !offsets.isEmpty { pendingOffsets[producerID] = offsets }
    }
}
