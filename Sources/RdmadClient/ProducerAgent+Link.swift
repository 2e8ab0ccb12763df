internal import Compression
internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

// On the link's thread: from the handshake to the announcement of batches.
extension ProducerAgent {
    func makeRegions() -> [(memory: MemoryBlock, access: PeerAccess)] { [(memory, .read)] }

    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {
        let (isKnown, space) = state.withLock { state in
            state.freeSlots += state.orphanedSlots
            state.orphanedSlots = []
            state.connections += 1
            state.batchBytesMax = welcome.batchBytesMax
            state.inFlightMax = welcome.producesInFlightMax
            state.region = regions[0]
            defer { state.spaceWaiters = [] }
            return (state.identity.id >= 0, state.spaceWaiters)
        }
        for waiter in space { waiter.resume() }
        // Without acknowledgements nothing is sent twice, and so nothing needs to be told apart.
        if isKnown || configuration.acks == .none { return describe(link) }
        link.ask(.allocateProducerID) { [self] result in
            do throws(ClientError) {
                let identity = try Self.identity(result)
                state.withLock { $0.identity = identity }
                describe(link)
            } catch {
                leave(link, error)
            }
        }
    }

    static func identity(_ answer: Result<[UInt8], ClientError>) throws(ClientError) -> ProducerIdentity {
        try parseBody(try answer.get()) { reader throws(FrameError) in
            ProducerIdentity(id: try reader.integer(), epoch: try reader.integer())
        }
    }

    /// The connection is of no use: another one is made, if that may help.
    private func leave(_ link: any LinkPort, _ error: ClientError) {
        switch error.code {
        // It is gone already.
        case .connection: break
        // What has worked before may do so again.
        case .timeout where isReady, .broker where isReady && error.broker.isRetriable: link.drop(error)
        // A missing topic, for instance.
        default: link.fail(error)
        }
    }

    var isReady: Bool { state.withLock { !$0.partitions.isEmpty } }

    private func describe(_ link: any LinkPort) {
        link.ask(.describeTopic(name: topic, firstPartition: 0)) { [self] result in
            do throws(ClientError) {
                let topic = try parseBody(try result.get()) { reader throws(FrameError) in
                    try TopicDescription(from: &reader)
                }
                try adopt(topic)
            } catch {
                leave(link, error)
            }
        }
    }

    private func adopt(_ description: TopicDescription) throws(ClientError) {
        metadataAt = monotonicNanoseconds() + metadataAgeNanoseconds
        let count = Int(description.partitionCount)
        let known = state.withLock { $0.partitions.count }
        // A topic grows, but never shrinks.
        guard count > 0, count >= known else {
            throw ClientError(
                .broker, "topic \(topic) has \(count) partitions now, it had \(known): it is another topic")
        }
        let ready = state.withLock { state in
            state.grow(to: count)
            if known == 0 { state.nextChoice = Int.random(in: 0..<count) }
            state.topicID = description.topicID
            state.learn(description.configs)
            defer { state.readyWaiter = nil }
            return state.readyWaiter
        }
        ready?.resume(returning: .success(count))
    }

    /// Asks now and then whether the topic has grown, or has another limit.
    private func refresh(_ link: any LinkPort, now: UInt64) {
        if now >= metadataAt {
            metadataAt = now + metadataAgeNanoseconds
            link.ask(.describeTopic(name: topic, firstPartition: .max)) { [self] result in
                let description = try? parseBody(result.get()) { reader throws(FrameError) in
                    try TopicDescription(from: &reader)
                }
                guard let description else { return }
                state.withLock { state in
                    // Another topic of the same name is not this one, whose batches will be refused.
                    guard state.topicID == description.topicID else { return }
                    state.grow(to: Int(description.partitionCount))
                    state.learn(description.configs)
                }
            }
        }
        nextTurn = min(nextTurn, metadataAt)
    }

    private var metadataAgeNanoseconds: UInt64 { UInt64(configuration.metadataMaxAgeMilliseconds) * 1_000_000 }

    var hasWaiters: Bool { state.withLock { $0.awaited > 0 || !$0.spaceWaiters.isEmpty } }

    var hasWork: Bool { hasNews.load(ordering: .sequentiallyConsistent) }

    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
        hasNews.store(false, ordering: .sequentiallyConsistent)
        nextTurn = .max
        turnTime = now
        needsIdentity = false
        var fates: [Fate] = []
        var (isStuck, isHurried, tired) = (false, false, [SpaceWaiter]())
        state.withLock { state in
            isHurried = state.isStarved
            state.isStarved = false
            for index in state.partitions.indices {
                sealIfDue(index, isHurried ? .max : now, &state)
                fates += expire(index, now, link, &state)
                if isSilent(index, now, &state) { isStuck = true }
                fates += retryIfDue(index, now, &state)
            }
            tired = takeTiredWaiters(now, &state)
        }
        compress()
        fates += state.withLock { state in holdsBack(isHurried, now, state) ? [] : announce(link, &state) }
        if !fates.isEmpty { conclude(fates) }
        for waiter in tired { waiter.resume(.noConnection(link.trouble)) }
        refresh(link, now: now)
        if needsIdentity { askForIdentity(link) }
        if isStuck { link.drop(ClientError(.timeout, "the broker acknowledged nothing in \(deliveryTimeout)")) }
        return nextTurn == .max ? nil : nextTurn
    }

    /// Whether a batch in flight is overdue and the broker answers nothing else of its partition either: it may just be
    /// slow, or made so by a quota.
    private func isSilent(_ index: Int, _ now: UInt64, _ state: inout State) -> Bool {
        if state.partitions[index].isAnswered {
            state.partitions[index].isAnswered = false
            state.partitions[index].answeredAt = now
        }
        let partition = state.partitions[index]
        if let waiting = partition.firstWaiting, waiting.created + deliveryNanoseconds > now {
            nextTurn = min(nextTurn, waiting.created + deliveryNanoseconds)
        }
        let silence = min(deliveryNanoseconds, Self.silenceNanoseconds)
        guard let limit = partition.isSilentAt(delivery: deliveryNanoseconds, silence: silence) else { return false }
        if now < limit { nextTurn = min(nextTurn, limit) }
        return now >= limit
    }

    /// How long a broker may answer nothing while a batch is overdue, in nanoseconds (Kafka's request.timeout.ms).
    private static var silenceNanoseconds: UInt64 { 30_000_000_000 }
    var deliveryNanoseconds: UInt64 { LinkPatience.nanoseconds(configuration.deliveryTimeoutSeconds) }
    var deliveryTimeout: String { "\(configuration.deliveryTimeoutSeconds) s" }

    /// Seals a partition's batch whose linger is over.
    private func sealIfDue(_ index: Int, _ now: UInt64, _ state: inout State) {
        guard let open = state.partitions[index].open else { return }
        let due = open.created + UInt64(configuration.lingerMilliseconds) * 1_000_000
        if now >= due { seal(index, &state) } else { nextTurn = min(nextTurn, due) }
    }

    /// On one processor the broker cannot work beside the caller: each announcement is a switch there and back. So full
    /// batches wait for company, as records do, while their linger lasts, nobody waits, and there is memory.
    private func holdsBack(_ isHurried: Bool, _ now: UInt64, _ state: State) -> Bool {
        guard isOnOneProcessor, !isHurried, state.awaited == 0, state.spaceWaiters.isEmpty, state.blocked == 0
        else { return false }
        var (count, due) = (0, UInt64.max)
        for partition in state.partitions where partition.refused.isEmpty {
            guard let first = partition.sealed.first else { continue }
            count += min(partition.sealed.count, configuration.batchesInFlightMax - partition.inFlight.count)
            due = min(due, first.created + UInt64(configuration.lingerMilliseconds) * 1_000_000)
        }
        guard count < min(configuration.batchesInFlightMax, slotCount / 4), now < due else { return false }
        nextTurn = min(nextTurn, due)
        return true
    }

    /// Compresses what can be announced now: outside of the lock, for it takes a while. Callers only append to what is
    /// sealed, and do not touch what is in it.
    private func compress() {
        guard let compressor else { return }
        let batches = state.withLock { state in
            guard state.topicID != nil else { return [ProducerBatch]() }
            let room = max(state.inFlightMax - state.byRequest.count, 0)
            return state.partitions.flatMap { partition in
                let places = max(configuration.batchesInFlightMax - partition.inFlight.count, 0)
                return partition.sealed.prefix(min(room, places)).filter { !$0.isCompressed }
            }
        }
        for batch in batches {
            batch.isCompressed = true
            // What a codec cannot make smaller is sent as it is: so do librdkafka and kafka-python.
            guard let smaller = unsafe try? compressor.compress(batch.builder.records),
                unsafe smaller.count < batch.builder.records.count
            else { continue }
            unsafe batch.builder.replaceRecords(with: smaller, compressor.type)
        }
    }

    /// Announces what the connection takes. Returns the batches whose fate is not waited for.
    private func announce(_ link: any LinkPort, _ state: inout State) -> [Fate] {
        guard let topicID = state.topicID, let region = state.region else { return [] }
        var gone: [Fate] = []
        let count = state.partitions.count
        let first = state.nextPartition
        for step in 0..<count {
            let index = (first + step) % count
            guard state.partitions[index].refused.isEmpty, !state.partitions[index].hasGap,
                !state.partitions[index].sealed.isEmpty
            else { continue }
            guard announce(index, link, topicID, region, &gone, &state) else {
                // No more room: this one begins next time, or the one behind it if it has had its turn.
                state.nextPartition = state.partitions[index].inFlight.isEmpty ? index : (index + 1) % count
                break
            }
        }
        state.concluding += gone.map(\.batch)
        return gone
    }

    /// Announces a partition's batches in sequence. Returns false when the connection takes no more.
    private func announce(
        _ index: Int, _ link: any LinkPort, _ topicID: UInt32, _ region: RemoteRegion, _ gone: inout [Fate],
        _ state: inout State
    ) -> Bool {
        let address = PartitionAddress(topicID: topicID, partition: UInt32(index))
        let eagerMax = min(configuration.eagerBytesMax, link.messageBytesMax - FrameLimits.eagerHeaderBytes)
        var sent = 0
        defer { state.partitions[index].sealed.removeFirst(sent) }
        for batch in state.partitions[index].sealed {
            guard state.partitions[index].inFlight.count < configuration.batchesInFlightMax,
                compressor == nil || batch.isCompressed
            else { return true }
            guard state.byRequest.count < state.inFlightMax else { return false }
            finish(batch, state)
            let start = batch.slot * configuration.batchBytes
            let id = link.nextRequestID()
            let request: Request =
                if batch.byteCount <= eagerMax {
                    unsafe .produceEager(
                        address, batch: .init(rebasing: memory.bytes[start..<start + batch.byteCount]))
                } else {
                    .produce(
                        address, byteCount: UInt32(batch.byteCount), key: region.key,
                        address: region.address + UInt64(start))
                }
            guard link.post(request, id: id) == .posted else { return false }
            sent += 1
            state.byRequest[id] = batch
            if !batch.hasPlace {
                batch.hasPlace = true
                state.partitions[index].nextSequence = RecordBatchHeader.sequence(
                    state.partitions[index].nextSequence, advancedBy: Int32(batch.builder.recordCount))
            }
            batch.unansweredOn = state.connections
            if configuration.acks == .none {
                gone.append(Fate(batch: batch, result: .success(-1), slot: .reading))
            } else {
                // However long it has waited, the broker gets its time to answer.
                if state.partitions[index].inFlight.isEmpty { state.partitions[index].answeredAt = turnTime }
                state.partitions[index].inFlight.append(batch)
            }
        }
        return true
    }

    /// Gives a batch that is about to be announced for the first time, or with another identity, its header and its
    /// checksum.
    private func finish(_ batch: ProducerBatch, _ state: State) {
        guard batch.byteCount == 0 else { return }
        batch.byteCount =
            configuration.acks == .none
            ? batch.builder.seal()
            : batch.builder.seal(
                producerID: state.partitions[batch.partition].identity.id,
                epoch: state.partitions[batch.partition].identity.epoch,
                baseSequence: state.partitions[batch.partition].nextSequence)
    }
}
