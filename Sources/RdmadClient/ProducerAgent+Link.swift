internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

// On the link's thread: from the handshake to the announcement of batches.
extension ProducerAgent {
    func makeRegions() -> [(memory: MemoryBlock, access: PeerAccess)] { [(memory, .read)] }

    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {
        let isKnown = state.withLock { state in
            state.batchBytesMax = welcome.batchBytesMax
            state.inFlightMax = welcome.producesInFlightMax
            state.region = regions[0]
            return state.producerID >= 0
        }
        if isKnown { return describe(link) }
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
        let count = Int(description.partitionCount)
        let known = state.withLock { $0.partitions.count }
        guard count > 0, known == 0 || known == count else {
            throw ClientError(
                .broker, "topic \(topic) has \(count) partitions now, it had \(known): it is another topic")
        }
        let ready = state.withLock { state in
            if known == 0 {
                state.partitions = Array(repeating: ProducerPartition(), count: count)
                state.sticky = Int.random(in: 0..<count)
            }
            state.topicID = description.topicID
            defer { state.readyWaiter = nil }
            return state.readyWaiter
        }
        ready?.resume(returning: .success(count))
    }

    var hasWork: Bool { state.withLock { $0.hasNews } }

    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
        var expired: [ProducerBatch] = []
        var isStuck = false
        let next = state.withLock { state -> UInt64? in
            let isHurried = state.isStarved
            (state.hasNews, state.isStarved) = (false, false)
            var next: UInt64?
            func at(_ time: UInt64) { next = min(next ?? .max, time) }
            for index in state.partitions.indices {
                if let due = sealIfDue(index, isHurried ? .max : now, &state) { at(due) }
                expired += expire(index, now, &state)
                if let oldest = state.partitions[index].oldest {
                    let limit = oldest.created + deliveryNanoseconds
                    if now >= limit { isStuck = true } else { at(limit) }
                }
                if let retry = retryIfDue(index, now, &state) { at(retry) }
            }
            announce(link, &state)
            return next
        }
        let limit = "\(configuration.deliveryTimeoutSeconds) s"
        for batch in expired {
            let cause = state.withLock { $0.partitions[batch.partition].lastRefusal }
            let why =
                "a batch for \(topic) was not acknowledged in \(limit); it may or may not be in the log"
                + (cause.map { "; the broker's last answer was \($0): see its log" } ?? "")
            // The broker may still be reading what was announced to it: that memory is not used again.
            conclude(batch, .failure(ClientError(.timeout, why)), keepsMemory: batch.wasAnnounced)
        }
        if isStuck { link.drop(ClientError(.timeout, "the broker acknowledged nothing in \(limit)")) }
        return next
    }

    private var deliveryNanoseconds: UInt64 { LinkPatience.nanoseconds(configuration.deliveryTimeoutSeconds) }

    /// Seals a partition's batch whose linger is over. Returns when it will be.
    private func sealIfDue(_ index: Int, _ now: UInt64, _ state: inout State) -> UInt64? {
        guard let open = state.partitions[index].open else { return nil }
        let due = open.created + UInt64(max(configuration.lingerMilliseconds, 0)) * 1_000_000
        guard now >= due else { return due }
        seal(index, &state)
        return nil
    }

    /// Takes batches out that have waited too long, with everything behind them: a gap can never be closed. Batches in
    /// flight are taken out once their connection is gone.
    private func expire(_ index: Int, _ now: UInt64, _ state: inout State) -> [ProducerBatch] {
        let partition = state.partitions[index]
        guard partition.inFlight.isEmpty, let oldest = partition.refused.first ?? partition.sealed.first,
            now >= oldest.created + deliveryNanoseconds
        else { return [] }
        let all = partition.refused + partition.sealed
        state.partitions[index].refused = []
        state.partitions[index].sealed = []
        let cause = partition.lastRefusal.map { " (\($0))" } ?? ""
        state.partitions[index].failure = ClientError(
            .timeout, "partition \(index) of \(topic) gave up: a batch was not acknowledged in time\(cause)")
        state.concluding += all
        return all
    }

    /// Puts refused batches back in front once their wait is over and nothing else is in flight. Returns when it will
    /// be.
    private func retryIfDue(_ index: Int, _ now: UInt64, _ state: inout State) -> UInt64? {
        let partition = state.partitions[index]
        guard !partition.refused.isEmpty, partition.inFlight.isEmpty else { return nil }
        guard now >= partition.retryAt else { return partition.retryAt }
        state.partitions[index].sealed.insert(contentsOf: partition.refused, at: 0)
        state.partitions[index].refused = []
        return nil
    }

    private func announce(_ link: any LinkPort, _ state: inout State) {
        guard let topicID = state.topicID, let region = state.region else { return }
        let count = state.partitions.count
        let first = state.nextPartition
        for step in 0..<count {
            let index = (first + step) % count
            guard state.partitions[index].refused.isEmpty, !state.partitions[index].sealed.isEmpty else { continue }
            guard announce(index, link, topicID, region, &state) else {
                // No more room: this one begins next time, or the one behind it if it has had its turn.
                state.nextPartition = state.partitions[index].inFlight.isEmpty ? index : (index + 1) % count
                return
            }
        }
    }

    /// Announces a partition's batches in sequence. Returns false when the connection takes no more.
    private func announce(
        _ index: Int, _ link: any LinkPort, _ topicID: UInt32, _ region: RemoteRegion, _ state: inout State
    ) -> Bool {
        let address = PartitionAddress(topicID: topicID, partition: UInt32(index))
        let eagerMax = min(configuration.eagerBytesMax, link.messageBytesMax - FrameLimits.eagerHeaderBytes)
        var sent = 0
        defer { state.partitions[index].sealed.removeFirst(sent) }
        for batch in state.partitions[index].sealed {
            guard state.partitions[index].inFlight.count < configuration.batchesInFlightMax else { return true }
            guard state.byRequest.count < state.inFlightMax else { return false }
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
            batch.wasAnnounced = true
            state.byRequest[id] = batch
            state.partitions[index].inFlight.append(batch)
            sent += 1
        }
        return true
    }
}
