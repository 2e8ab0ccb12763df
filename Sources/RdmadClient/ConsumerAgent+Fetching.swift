internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

// Subscriptions, and what comes of them. On the link's thread.
extension ConsumerAgent {
    private enum Step {
        case subscribe(FetchedPartition, PartitionAddress, epoch: Int, offset: Int64?, start: Consumer.Position)
        case unsubscribe(FetchedPartition, PartitionAddress)
        case goOn(FetchedPartition, PartitionAddress, epoch: Int, offset: Int64?, start: Consumer.Position)
    }

    /// Whether the broker may be asked for data now.
    var mayFetch: Bool { isOpen && membership?.isConfirmed ?? true }

    /// Asks the broker for what is wanted and has not been asked for. One request at a time for each partition.
    func reconcile(_ link: any LinkPort) {
        guard mayFetch else { return }
        let steps = state.withLock { state -> [Step] in
            guard state.needsReconciling else { return [] }
            state.needsReconciling = false
            return state.partitions.values.compactMap { step(&state, $0) }
        }
        for step in steps {
            switch step {
            case .subscribe(let partition, let address, let epoch, let offset, let start):
                streams[address] = partition
                subscribe(link, partition, address, epoch, offset, start)
            case .unsubscribe(let partition, let address):
                link.ask(.unsubscribe(address)) { [self] result in
                    if case .failure(let error) = result { return refused(error, link) }
                    streams[address] = nil
                    settle(partition, .idle)
                }
            case .goOn(let partition, let address, let epoch, let offset, let start):
                goOn(link, partition, address, epoch, offset, start)
            }
        }
    }

    /// What to ask for a partition now, under the lock.
    private func step(_ state: inout State, _ partition: FetchedPartition) -> Step? {
        if partition.phase == .idle, !partition.isAssigned {
            state.partitions[partition.name] = nil
            return nil
        }
        guard let id = topics[partition.name.topic]?.id else { return nil }
        let address = PartitionAddress(topicID: id, partition: UInt32(partition.name.partition))
        switch partition.phase {
        case .idle where partition.isWanted:
            if partition.isOutOfRange {
                guard !state.queue.contains(where: { $0.partition === partition }), let start = reset(of: partition)
                else { return nil }
                partition.phase = .subscribing(epoch: partition.epoch)
                return .goOn(partition, address, epoch: partition.epoch, offset: partition.fetched, start: start)
            }
            partition.phase = .subscribing(epoch: partition.epoch)
            return .subscribe(
                partition, address, epoch: partition.epoch, offset: partition.fetched, start: partition.start)
        case .streaming(let epoch) where !partition.isWanted || epoch != partition.epoch:
            partition.phase = .unsubscribing
            return .unsubscribe(partition, address)
        default: return nil
        }
    }

    /// A request was answered: the next one may follow.
    private func settle(_ partition: FetchedPartition, _ phase: FetchedPartition.Phase) {
        state.withLock { state in
            partition.phase = phase
            state.needsReconciling = true
        }
    }

    private func subscribe(
        _ link: any LinkPort, _ partition: FetchedPartition, _ address: PartitionAddress, _ epoch: Int,
        _ offset: Int64?, _ start: Consumer.Position
    ) {
        let from: Int64
        switch (offset, start) {
        case (let offset?, _): from = offset
        case (nil, .earliest): from = -2
        case (nil, .latest): from = -1
        case (nil, .offset(let offset)): from = offset
        case (nil, .timestamp(let time)):
            return findOffset(link, address, max(time, 0)) { [self] result in
                switch result {
                case .success(let offset):
                    subscribe(link, partition, address, epoch, offset, start)
                case .failure(let error): subscriptionRefused(error, partition, address, epoch, link)
                }
            }
        }
        link.ask(.subscribe(address, offset: from, configuration.isolationLevel.number)) { [self] result in
            do throws(ClientError) {
                let first = try parseBody(try result.get()) { reader throws(FrameError) in
                    try reader.integer(Int64.self)
                }
                state.withLock { state in
                    partition.phase = .streaming(epoch: epoch)
                    guard partition.epoch == epoch else {
                        state.needsReconciling = true
                        return
                    }
                    partition.begin(at: first)
                    partition.isFound = true
                    if from == -1 { partition.highWatermark = max(first, partition.highWatermark ?? first) }
                    if !partition.isStarted {
                        partition.isStarted = true
                        state.starting -= membership == nil ? 1 : 0
                    }
                    if !partition.isWanted { state.needsReconciling = true }
                }
                becomeReady()
            } catch {
                subscriptionRefused(error, partition, address, epoch, link)
            }
        }
    }

    private func subscriptionRefused(
        _ error: ClientError, _ partition: FetchedPartition, _ address: PartitionAddress, _ epoch: Int,
        _ link: any LinkPort
    ) {
        guard error.code != .connection else { return }
        streams[address] = nil
        // What was refused is not wanted any more.
        let isStale = state.withLock { _ in partition.epoch != epoch || !partition.isWanted }
        if !isStale, !startAgain(partition, error.broker) { link.fail(error) }
        settle(partition, .idle)
    }

    /// Goes on with a partition whose place in the log is gone, or, in a group, that is gone itself: false when there
    /// is nothing to go on with.
    private func startAgain(_ partition: FetchedPartition, _ error: ErrorCode) -> Bool {
        state.withLock { state in
            switch error {
            case .offsetOutOfRange:
                guard reset(of: partition) != nil else { return false }
                partition.isOutOfRange = true
                return true
            case .unknownTopicOrPartition:
                // The leader will see it.
                guard case .group = interest else { return false }
                Self.change(&state, partition) { $0.isActive = false }
                return true
            default: return false
            }
        }
    }

    /// Where to go on with a partition whose offset is not in the log; nil for nowhere. Under the lock.
    private func reset(of partition: FetchedPartition) -> Consumer.Position? {
        if let reset = configuration.offsetReset { return reset.position }
        guard case .group(_, let start) = interest else {
            // The broker has just found it by its time: it was deleted meanwhile.
            guard partition.fetched != nil else { return partition.start }
            guard partition.isFound else { return nil }
            if case .offset = partition.start { return .earliest }
            return partition.start
        }
        // It is not there either.
        if case .offset(let offset) = start, offset == partition.fetched { return nil }
        return start
    }

    /// Goes on elsewhere with a partition whose offset is not in the log.
    ///
    /// Without a setting or a group that says where, only when the log now begins behind it. In a log that ends before
    /// it, which has lost records or is another one, all that was read would come again.
    private func goOn(
        _ link: any LinkPort, _ partition: FetchedPartition, _ address: PartitionAddress, _ epoch: Int,
        _ offset: Int64?, _ start: Consumer.Position
    ) {
        guard membership == nil, configuration.offsetReset == nil, let offset else {
            return begin(link, partition, address, epoch, insteadOf: offset, start)
        }
        findOffset(link, address, -2) { [self] result in
            if case .failure(let error) = result, error.code == .connection { return }
            if case .success(let first) = result, first > offset {
                return begin(link, partition, address, epoch, insteadOf: offset, start)
            }
            let isStale = state.withLock { _ in partition.epoch != epoch || !partition.isWanted }
            if isStale { return settle(partition, .idle) }
            failed(Self.why(partition.name, .offsetOutOfRange, offset: offset))
        }
    }

    private func begin(
        _ link: any LinkPort, _ partition: FetchedPartition, _ address: PartitionAddress, _ epoch: Int,
        insteadOf offset: Int64?, _ start: Consumer.Position
    ) {
        let new = state.withLock { _ -> (epoch: Int, offset: Int64?)? in
            guard partition.epoch == epoch, partition.isWanted else { return nil }
            partition.restart(from: start)
            partition.phase = .subscribing(epoch: partition.epoch)
            return (partition.epoch, partition.fetched)
        }
        // A seek or a pause has come between.
        guard let new else { return settle(partition, .idle) }
        if let offset { tell(partition.name, offset) }
        streams[address] = partition
        subscribe(link, partition, address, new.epoch, new.offset, start)
    }

    /// Tells the application of a reset. It may want a lock that the one who runs the link holds: not in its turn.
    private func tell(_ name: TopicPartition, _ offset: Int64) {
        guard let handler = configuration.onOffsetReset else { return }
        toldOfReset = Task { [toldOfReset] in
            await toldOfReset?.value
            handler(name, offset)
        }
    }

    // MARK: What comes

    func advanced(_ immediate: UInt32) {
        guard let ring else { return }
        do throws(FrameError) {
            for (entry, start, _) in try ring.advance(immediate) { take(entry, at: start, ring) }
        } catch {
            failed(ClientError(.protocolViolation, "the broker wrote a malformed ring: \(error)"))
        }
    }

    private func take(_ entry: RingEntry, at place: UInt64, _ ring: ConsumerRing) {
        guard let partition = streams[entry.partition] else { return drop(place, ring) }
        let expected = state.withLock { _ -> (epoch: Int, first: Int64)? in
            guard partition.acceptsEntries else { return nil }
            // Entries may overtake the answer to the subscription, which says where it begins.
            return (partition.epoch, max(partition.fetched ?? entry.firstOffset, entry.firstOffset))
        }
        guard let expected else { return drop(place, ring) }
        let batches = ConsumedBatches(
            partition.name, entry: entry, start: place, firstOffset: expected.first, ring: ring,
            decompressors: decompressors,
            // The last reference may go under a lock that a round wants.
            onRelease: { [link] isMeant in isMeant ? link?.attend(wants: false) : link?.wake() })
        if configuration.checksCRCs {
            do throws(ClientError) { try batches.verify() } catch { return failed(error) }
        }
        typealias Waiter = CheckedContinuation<Result<ConsumedBatches?, ClientError>, Never>
        let (waiter, isAsleep) = state.withLock { state -> (Waiter?, Bool) in
            // A seek or a pause may have come between.
            guard partition.acceptsEntries, partition.epoch == expected.epoch else { return (nil, false) }
            partition.fetched = entry.nextOffset
            partition.highWatermark = entry.highWatermark
            guard let waiter = state.waiter else {
                state.queue.append((batches, partition))
                defer { state.isAsleep = false }
                return (nil, state.isAsleep)
            }
            state.waiter = nil
            Self.handOut(batches, of: partition)
            return (waiter, false)
        }
        // Not under the lock, which the one who wakes up wants.
        if isAsleep { signal() }
        waiter?.resume(returning: .success(batches))
    }

    /// Gives back what nobody wants any more; the broker learns of it in this turn.
    private func drop(_ place: UInt64, _ ring: ConsumerRing) { _ = ring.release(start: place) }

    func ended(_ address: PartitionAddress, _ error: ErrorCode, offset: Int64) {
        guard let partition = streams[address] else { return }
        // Whether it is of what is wanted now; when not, its end is what was asked for.
        let (isCurrent, isEnding) = state.withLock { _ in
            (partition.acceptsEntries, partition.phase == .unsubscribing)
        }
        guard !isEnding else { return }
        streams[address] = nil
        if isCurrent, !startAgain(partition, error) {
            return failed(Self.why(partition.name, error, offset: offset))
        }
        settle(partition, .idle)
        link.wake()
    }

    private static func why(_ partition: TopicPartition, _ error: ErrorCode, offset: Int64) -> ClientError {
        let name = "\(partition.topic) partition \(partition.partition)"
        return switch error {
        case .messageTooLarge:
            ClientError(.limit, "a batch of \(name) is larger than the ring: raise ringBytes", broker: error)
        case .corruptMessage:
            ClientError(
                .broker, "the log of \(name) is damaged at offset \(offset): see the broker's log", broker: error)
        case .unknownTopicOrPartition: ClientError(.broker, "\(name) was deleted", broker: error)
        default: .refused(name, error, "reading ended at offset \(offset)")
        }
    }
}
