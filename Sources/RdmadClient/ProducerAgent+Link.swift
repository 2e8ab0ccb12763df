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
            state.batchBytesMax = welcome.batchBytesMax
            state.inFlightMax = welcome.producesInFlightMax
            state.region = regions[0]
            defer { state.spaceWaiters = [] }
            return (state.producerID >= 0, state.spaceWaiters)
        }
        for waiter in space { waiter.resume() }
        // Without acknowledgements nothing is sent twice, and so nothing needs to be told apart.
        if isKnown || configuration.acks == .none { return describe(link) }
        link.ask(.allocateProducerID) { [self] result in
            do throws(ClientError) {
                let (id, epoch) = try parseBody(try result.get()) { reader throws(FrameError) in
                    (try reader.integer(Int64.self), try reader.integer(Int16.self))
                }
                state.withLock { ($0.producerID, $0.producerEpoch) = (id, epoch) }
                describe(link)
            } catch {
                if error.code != .connection { link.fail(error) }
            }
        }
    }

    private func describe(_ link: any LinkPort) {
        link.ask(.describeTopic(name: topic, firstPartition: 0)) { [self] result in
            do throws(ClientError) {
                let topic = try parseBody(try result.get()) { reader throws(FrameError) in
                    try TopicDescription(from: &reader)
                }
                try adopt(topic)
            } catch {
                // A lost connection is made again; a missing topic is not.
                if error.code != .connection { link.fail(error) }
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
            state.partitions += Array(repeating: ProducerPartition(), count: count - known)
            if known == 0 { state.nextChoice = Int.random(in: 0..<count) }
            state.topicID = description.topicID
            state.topicBytesMax =
                description.configs.first { $0.name == "max.message.bytes" }.flatMap { Int($0.value) } ?? .max
            defer { state.readyWaiter = nil }
            return state.readyWaiter
        }
        ready?.resume(returning: .success(count))
    }

    /// Asks now and then whether the topic has grown.
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
                    let more = max(0, Int(description.partitionCount) - state.partitions.count)
                    state.partitions += Array(repeating: ProducerPartition(), count: more)
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
        var fates: [Fate] = []
        var (isStuck, isHurried) = (false, false)
        state.withLock { state in
            isHurried = state.isStarved
            state.isStarved = false
            for index in state.partitions.indices {
                sealIfDue(index, isHurried ? .max : now, &state)
                fates += expire(index, now, &state)
                if isSilent(index, now, &state) { isStuck = true }
                retryIfDue(index, now, &state)
            }
        }
        compress()
        fates += state.withLock { state in holdsBack(isHurried, now, state) ? [] : announce(link, &state) }
        if !fates.isEmpty { conclude(fates) }
        refresh(link, now: now)
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
    private var deliveryNanoseconds: UInt64 { LinkPatience.nanoseconds(configuration.deliveryTimeoutSeconds) }
    private var deliveryTimeout: String { "\(configuration.deliveryTimeoutSeconds) s" }

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

    /// Takes batches out that have waited too long.
    ///
    /// What was never announced has no place in the sequence yet: it goes, and the others follow. Behind one that was
    /// announced nothing can follow, for nobody knows whether it is in the log: the partition fails. Batches in flight
    /// are taken out once their connection is gone, and those announced before stay behind them.
    private func expire(_ index: Int, _ now: UInt64, _ state: inout State) -> [Fate] {
        var expired: [Fate] = []
        // The broker may still be reading what was announced to it.
        func lose(_ batch: ProducerBatch, _ why: ClientError) {
            expired.append(
                Fate(
                    batch: batch, result: .failure(fate(of: batch, why)), slot: batch.wasAnnounced ? .orphaned : .free))
        }
        let why = ClientError(.timeout, "not delivered in \(deliveryTimeout)")
        if !state.partitions[index].inFlight.isEmpty {
            let first = state.partitions[index].sealed.firstIndex { !$0.wasAnnounced } ?? .max
            while first < state.partitions[index].sealed.count,
                now >= state.partitions[index].sealed[first].created + deliveryNanoseconds
            {
                lose(state.partitions[index].sealed.remove(at: first), why)
            }
        } else {
            expireAll(index, now, why, &state, lose)
        }
        state.concluding += expired.map(\.batch)
        return expired
    }

    /// The same of a partition that has nothing in flight.
    private func expireAll(
        _ index: Int, _ now: UInt64, _ why: ClientError, _ state: inout State,
        _ lose: (ProducerBatch, ClientError) -> Void
    ) {
        while let oldest = state.partitions[index].firstWaiting, now >= oldest.created + deliveryNanoseconds {
            if oldest.wasAnnounced {
                let cause = state.partitions[index].lastRefusal.map { "; the broker's last answer was \($0)" } ?? ""
                let failure = ClientError(
                    .outcomeUnknown,
                    "partition \(index) of \(topic) gave up: a batch was not acknowledged in \(deliveryTimeout)\(cause)"
                )
                state.partitions[index].failure = failure
                for batch in state.partitions[index].takeUnannounced() { lose(batch, failure) }
            } else {
                lose(oldest, why)
                state.partitions[index].sealed.removeFirst()
            }
        }
    }

    /// Puts refused batches back in front once their wait is over and nothing else is in flight.
    private func retryIfDue(_ index: Int, _ now: UInt64, _ state: inout State) {
        let partition = state.partitions[index]
        guard !partition.refused.isEmpty, partition.inFlight.isEmpty else { return }
        guard now >= partition.retryAt else {
            nextTurn = min(nextTurn, partition.retryAt)
            return
        }
        state.partitions[index].sealed.insert(contentsOf: partition.refused, at: 0)
        state.partitions[index].refused = []
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
            guard state.partitions[index].refused.isEmpty, !state.partitions[index].sealed.isEmpty else { continue }
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
            if batch.announcements == 0 {
                state.partitions[index].nextSequence = RecordBatchHeader.sequence(
                    state.partitions[index].nextSequence, advancedBy: Int32(batch.builder.recordCount))
            }
            batch.announcements += 1
            if configuration.acks == .none {
                gone.append(Fate(batch: batch, result: .success(-1), slot: .reading))
            } else {
                state.partitions[index].inFlight.append(batch)
            }
        }
        return true
    }

    /// Gives a batch that is about to be announced for the first time its place in the sequence, its header and its
    /// checksum.
    private func finish(_ batch: ProducerBatch, _ state: State) {
        guard batch.byteCount == 0 else { return }
        batch.byteCount =
            configuration.acks == .none
            ? batch.builder.seal()
            : batch.builder.seal(
                producerID: state.producerID, epoch: state.producerEpoch,
                baseSequence: state.partitions[batch.partition].nextSequence)
    }
}
