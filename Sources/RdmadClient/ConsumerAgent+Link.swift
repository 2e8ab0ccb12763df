internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

// What the link's thread does: connections, turns, ends.
extension ConsumerAgent {
    func makeRegions() throws -> [(memory: MemoryBlock, access: PeerAccess)] {
        let ring = try ConsumerRing(byteCount: configuration.ringBytes)
        self.ring = ring
        creditedAt = 0
        return [(ring.memory, .write)]
    }

    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {
        let region = regions[0]
        link.ask(.openRing(key: region.key, address: region.address, byteCount: region.byteCount)) { [self] result in
            if case .failure(let error) = result { return refused(error, link) }
            var names = Set(state.withLock { $0.partitions.keys.map(\.topic) })
            if case .topics(let topics, _) = interest { names.formUnion(topics) }
            describe(names.sorted(), link) { [self] error in
                if let error, !(membership != nil && error.broker == .unknownTopicOrPartition) {
                    return refused(error, link)
                }
                open(link)
            }
        }
    }

    /// Ends the link with an error, unless it is only the connection that is gone.
    func refused(_ error: ClientError, _ link: any LinkPort) {
        if error.code != .connection { link.fail(error) }
    }

    /// Learns the numbers of topics; calls `done` with the first error, or nil, when all are answered.
    func describe(_ names: [String], _ link: any LinkPort, _ done: @escaping (ClientError?) -> Void) {
        var left = names.count
        var failure: ClientError?
        guard left > 0 else { return done(nil) }
        for name in names {
            link.ask(.describeTopic(name: name, firstPartition: 0)) { [self] result in
                do throws(ClientError) {
                    let topic = try parseBody(try result.get()) { reader throws(FrameError) in
                        try TopicDescription(from: &reader)
                    }
                    topics[name] = (topic.topicID, Int(topic.partitionCount))
                } catch {
                    topics[name] = nil
                    failure = failure ?? error
                }
                left -= 1
                if left == 0 { done(failure) }
            }
        }
    }

    /// Partitions that were added while the connection was down, or while it stands, are read too.
    private func addPartitions() {
        guard case .topics(let names, let start) = interest else { return }
        state.withLock { state in
            for name in names {
                for number in 0..<topics[name]!.partitionCount {
                    let partition = TopicPartition(name, number)
                    guard state.partitions[partition] == nil else { continue }
                    state.partitions[partition] = FetchedPartition(partition, start: start)
                    state.starting += 1
                }
            }
            state.needsReconciling = true
        }
    }

    /// Asks now and then whether topics have grown; a group's leader does that for its members.
    /// - Returns: when to ask again.
    private func refresh(_ link: any LinkPort, now: UInt64) -> UInt64 {
        guard case .topics(let names, _) = interest, isOpen else { return .max }
        guard now >= metadataAt else { return metadataAt }
        metadataAt = now + metadataAgeNanoseconds
        for name in names {
            link.ask(.describeTopic(name: name, firstPartition: .max)) { [self] result in
                let topic = try? parseBody(result.get()) { reader throws(FrameError) in
                    try TopicDescription(from: &reader)
                }
                // One of the same name and another number is another topic: the end of this one is on its way.
                guard isOpen, let topic, let known = topics[name], topic.topicID == known.id else { return }
                topics[name] = (known.id, max(known.partitionCount, Int(topic.partitionCount)))
                addPartitions()
            }
        }
        return metadataAt
    }

    private var metadataAgeNanoseconds: UInt64 { UInt64(configuration.metadataMaxAgeMilliseconds) * 1_000_000 }

    private func open(_ link: any LinkPort) {
        addPartitions()
        metadataAt = monotonicNanoseconds() + metadataAgeNanoseconds
        let wrong = state.withLock { state in
            state.partitions.keys.first { name in
                topics[name.topic].map { name.partition >= $0.partitionCount } ?? false
            }
        }
        if let wrong, membership == nil {
            let count = topics[wrong.topic]!.partitionCount
            return link.fail(
                ClientError(.limit, "topic \(wrong.topic) has partitions 0 to \(count - 1), not \(wrong.partition)"))
        }
        isOpen = true
        state.withLock { $0.needsReconciling = true }
        membership?.connected()
        becomeReady()
    }

    /// Lets the consumer's start go on when nothing is left to wait for.
    func becomeReady() {
        let waiter = state.withLock { state -> CheckedContinuation<ClientError?, Never>? in
            guard isOpen, state.starting == 0 else { return nil }
            state.isReady = true
            defer { state.readyWaiter = nil }
            return state.readyWaiter
        }
        waiter?.resume(returning: nil)
    }

    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
        let calls = state.withLock { state in
            defer { if !state.calls.isEmpty { state.calls = [] } }
            return state.calls
        }
        for call in calls { call() }
        var deadline = isOpen ? membership?.turn(link, now: now) : nil
        deadline = min(deadline ?? .max, commitOffsets(link, now: now) ?? .max)
        deadline = min(deadline ?? .max, refresh(link, now: now))
        reconcile(link)
        return min(deadline ?? .max, giveCredit(link, now: now) ?? .max)
    }

    /// Credit goes back once an eighth of the ring has been released. What is less may be what the next batch needs,
    /// but nobody is woken for it: it goes back after a while, or with the next batch.
    /// - Returns: when to look again.
    private func giveCredit(_ link: any LinkPort, now: UInt64) -> UInt64? {
        guard let ring else { return nil }
        if let position = ring.credit(isLate: now >= creditedAt + Self.creditNanoseconds),
            link.post(.ringCredit(position: position), id: 0) == .posted
        {
            ring.didCredit(position)
            creditedAt = now
        }
        return ring.owesCredit ? max(creditedAt, now) + Self.creditNanoseconds : nil
    }

    private static var creditNanoseconds: UInt64 { 5_000_000 }

    var hasWork: Bool {
        let isAsked = state.withLock { state in
            !state.calls.isEmpty || mayFetch && state.needsReconciling
                || isOpen && membership?.isBetweenGenerations != true && state.commits.contains { $0.notBefore == 0 }
        }
        return isAsked || ring?.credit(isLate: false) != nil || isOpen && membership?.hasWork == true
    }

    func received(_ acks: [ProduceAck]) {}

    func disconnected() {
        ring = nil
        isOpen = false
        topics = [:]
        streams = [:]
        state.withLock { state in
            for partition in state.partitions.values { partition.phase = .idle }
            state.needsReconciling = true
        }
        membership?.disconnected()
    }

    /// Commits and leaves before the link ends. Returns true when that is done.
    func finish(_ link: any LinkPort, now: UInt64) -> Bool {
        guard isOpen, configuration.groupID != nil else { return true }
        return finishCommits(now: now) && membership?.leave(link) ?? true
    }

    func failed(_ error: ClientError) {
        let (ready, waiter, commits) = state.withLock { state in
            if error.code == .closed {
                state.isClosed = true
                state.queue = []
            } else {
                state.failure = state.failure ?? error
            }
            defer { (state.readyWaiter, state.waiter, state.commits) = (nil, nil, []) }
            if state.isAsleep { signal() }
            return (state.readyWaiter, state.waiter, state.commits)
        }
        ready?.resume(returning: error)
        waiter?.resume(returning: error.code == .closed ? .success(nil) : .failure(error))
        for commit in commits { commit.done(error) }
    }
}
