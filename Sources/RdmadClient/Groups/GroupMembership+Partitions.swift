internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

// Partitions that come and go.
extension GroupMembership {
    /// Takes what the group gives: reads what is new, hands on what is not there any more.
    func take(_ assignment: [TopicPartition]) {
        phase = .stable
        let new = Set(assignment)
        let removed = owned.filter { !new.contains($0) }
        let added = new.subtracting(owned).sorted()
        owned = new.sorted()
        ownedGeneration = generation
        agent.add(added, start: start)
        lastStart += 1
        for partition in added { unstarted[partition] = lastStart }
        startNotBefore = 0
        guard !removed.isEmpty else { return }
        // Their next owners get them in the round that follows.
        revoke(removed) { [self] in needsJoin = true }
    }

    /// Finds out where to begin, tells the application, begins.
    func start(_ link: any LinkPort) {
        isStarting = true
        let asked = unstarted
        let names = asked.keys.sorted()
        func retry(_ error: ClientError) {
            isStarting = false
            guard error.code != .connection else { return }
            startNotBefore = monotonicNanoseconds() + Self.retryNanoseconds
            if !error.broker.isRetriable, error.code != .timeout { failed(error, link) }
        }
        agent.describe(Set(names.map(\.topic)).sorted(), link) { [self] error in
            if let error, error.broker != .unknownTopicOrPartition { return retry(error) }
            agent.fetchOffsets(link, groupID, names) { [self] result in
                switch result {
                case .failure(let error): retry(error)
                case .success(let offsets):
                    // Some may have been taken away meanwhile.
                    let mine = names.filter { unstarted[$0] == asked[$0] }
                    agent.place(mine, at: offsets)
                    tell(mine) { [self] in
                        isStarting = false
                        let still = mine.filter { unstarted[$0] == asked[$0] }
                        for partition in still { unstarted[partition] = nil }
                        if let error = agent.missingOffset(still) { return agent.failed(error) }
                        agent.setActive(still, true)
                    }
                }
            }
        }
    }

    private func tell(_ assigned: [TopicPartition], _ then: @escaping @Sendable () -> Void) {
        if assigned.isEmpty { then() } else { tell(.assigned(assigned), then) }
    }

    /// Gives partitions up: what was handed out of them is to be processed and committed first.
    func revoke(_ partitions: [TopicPartition], then: @escaping @Sendable () -> Void) {
        agent.setActive(partitions, false)
        for partition in partitions { unstarted[partition] = nil }
        let patience = UInt64(configuration.sessionTimeoutMilliseconds) * 1_000_000 / 2
        revocation = Revocation(partitions: partitions, deadline: monotonicNanoseconds() + patience, then: then)
    }

    /// Returns when to look again.
    func advanceRevocation(_ link: any LinkPort, now: UInt64) -> UInt64? {
        guard let current = revocation else { return nil }
        switch current.stage {
        case .processing where agent.isProcessed(current.partitions) || now >= current.deadline:
            revocation!.stage = .telling
            tell(.revoked(current.partitions)) { [self] in commitRevoked(current) }
        case .telling where now >= current.deadline: commitRevoked(current)
        default: break
        }
        return revocation.map { max($0.deadline, now + 1_000_000) }
    }

    private func commitRevoked(_ current: Revocation) {
        // The application may come too late, or what it was told of may be lost.
        guard let revocation, revocation.stage == .telling, revocation.partitions == current.partitions else { return }
        self.revocation!.stage = .committing
        let offsets = configuration.autoCommit && isMember ? agent.uncommitted(current.partitions) : [:]
        guard !offsets.isEmpty else { return finishRevocation(current) }
        let deadline = monotonicNanoseconds() + ConsumerAgent.lastCommitNanoseconds
        // When it fails, the next owner reads some of it again.
        agent.commit(OffsetCommit(offsets: offsets, deadline: deadline) { [self] _ in finishRevocation(current) })
    }

    private func finishRevocation(_ current: Revocation) {
        guard let revocation, revocation.stage == .committing, revocation.partitions == current.partitions else {
            return
        }
        self.revocation = nil
        owned.removeAll { current.partitions.contains($0) }
        agent.remove(current.partitions)
        current.then()
    }
}

// What a membership changes of a consumer. On the link's thread.
extension ConsumerAgent {
    private func change(_ names: [TopicPartition], _ body: (FetchedPartition) -> Void) {
        state.withLock { state in
            for name in names {
                if let partition = state.partitions[name] { Self.change(&state, partition, body) }
            }
        }
    }

    /// Partitions that are read once they are active.
    func add(_ names: [TopicPartition], start: Consumer.Position) {
        state.withLock { state in
            for name in names {
                // The broker may not have let go of it since it was last here.
                if let partition = state.partitions[name] {
                    partition.isAssigned = true
                    partition.isPaused = false
                    partition.committed = nil
                    partition.isActive = false
                    Self.change(&state, partition) { $0.restart(from: start) }
                } else {
                    state.partitions[name] = FetchedPartition(name, start: start, isActive: false)
                }
                state.partitions[name]!.lacksOffset = configuration.offsetReset == .fail
            }
        }
    }

    /// Sets where to begin those that have a committed offset.
    func place(_ names: [TopicPartition], at offsets: [TopicPartition: Int64]) {
        change(names) { partition in
            guard let offset = offsets[partition.name] else { return }
            partition.restart(from: .offset(offset))
            partition.committed = offset
        }
    }

    /// Why some of them cannot be read: nothing was committed, and the application has not said where to begin.
    func missingOffset(_ names: [TopicPartition]) -> ClientError? {
        let missing = state.withLock { state in names.first { state.partitions[$0]?.lacksOffset == true } }
        guard let missing else { return nil }
        let group = configuration.groupID!
        return ClientError(
            .broker,
            "group \(group) has committed no offset of \(missing), and offsetReset (auto.offset.reset) is none: "
                + "commit one, seek in onRebalance, or set earliest or latest", broker: .offsetOutOfRange)
    }

    func setActive(_ names: [TopicPartition], _ isActive: Bool) { change(names) { $0.isActive = isActive } }

    func remove(_ names: [TopicPartition]) { change(names) { $0.isAssigned = false } }

    /// Whether nothing of them is in the reader's hands.
    func isProcessed(_ names: [TopicPartition]) -> Bool {
        state.withLock { state in names.allSatisfy { state.partitions[$0]?.progress?.isIdle ?? true } }
    }

    /// The partitions that topics have now, without those that are not there; nil when the broker does not say.
    func countPartitions(
        _ names: Set<String>, _ link: any LinkPort, _ done: @escaping ([String: Int]?) -> Void
    ) {
        var left = names.count
        var counts: [String: Int] = [:]
        var isUnsure = false
        guard left > 0 else { return done([:]) }
        for name in names.sorted() {
            link.ask(.describeTopic(name: name, firstPartition: 0)) { result in
                do throws(ClientError) {
                    counts[name] = try parseBody(try result.get()) { reader throws(FrameError) in
                        Int(try TopicDescription(from: &reader).partitionCount)
                    }
                } catch {
                    if error.broker == .none { isUnsure = true }
                }
                left -= 1
                if left == 0 { done(isUnsure ? nil : counts) }
            }
        }
    }
}
