internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

// On the link's thread: what became of announced batches.
extension ProducerAgent {
    /// How long a partition waits after a refusal, in nanoseconds (Kafka's retry.backoff.ms).
    private static var retryNanoseconds: UInt64 { 100_000_000 }

    func received(_ acks: [ProduceAck]) {
        if configuration.acks == .none { return release(acks) }
        for ack in acks {
            let done = state.withLock { settle(ack, &$0) }
            if let (batch, result) = done { conclude(batch, result) }
        }
        failFollowers()
        wakeForRoom()
    }

    /// Resumes those who wait for memory, after what concludes no batch: a refusal may have been the last answer.
    private func wakeForRoom() {
        let waiters = state.withLock { takeSpaceWaiters(&$0) }
        for continuation in waiters { continuation.resume() }
    }

    /// Who waits for room fills a quarter of it at once, instead of being woken for every batch; less when no answer is
    /// to come.
    private func takeSpaceWaiters(_ state: inout State) -> [CheckedContinuation<Void, Never>] {
        let enough = state.byRequest.isEmpty ? 1 : max(slotCount / 4, 1)
        guard state.freeSlots.count >= enough else { return [] }
        defer { state.spaceWaiters = [] }
        return state.spaceWaiters
    }

    /// What was read of batches whose fate nobody waited for.
    private func release(_ acks: [ProduceAck]) {
        let space = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            for ack in acks {
                if let batch = state.byRequest.removeValue(forKey: ack.requestID) { state.freeSlots.append(batch.slot) }
            }
            defer { state.spaceWaiters = [] }
            return state.spaceWaiters
        }
        for continuation in space { continuation.resume() }
    }

    /// What a batch's error says of its records.
    func fate(of batch: ProducerBatch, _ cause: ClientError) -> ClientError {
        let (code, text): (ClientError.Code, String) =
            batch.wasAnnounced
            ? (.outcomeUnknown, "its records may or may not be in the log")
            : (.notDelivered, "its records are not in the log")
        return ClientError(
            code, "a batch for partition \(batch.partition) of \(topic) was given up, \(text): \(cause)",
            broker: cause.broker)
    }

    /// Takes an acknowledged batch out, or puts it among the refused ones.
    private func settle(_ ack: ProduceAck, _ state: inout State) -> (ProducerBatch, Result<Int64, ClientError>)? {
        // One that is not there belonged to a lost connection.
        guard let batch = state.byRequest.removeValue(forKey: ack.requestID) else { return nil }
        let index = batch.partition
        state.partitions[index].inFlight.removeAll { $0 === batch }
        if ack.error == .none {
            state.partitions[index].lastRefusal = nil
            state.concluding.append(batch)
            return (batch, .success(ack.baseOffset))
        }
        // Behind a batch that failed for good none can follow, and the first failure is the reason.
        if let failure = state.partitions[index].failure {
            state.concluding.append(batch)
            return (batch, .failure(refusal(of: batch, failure)))
        }
        // Behind a refused batch the next ones are out of order: not their fault.
        let isFollower = ack.error == .outOfOrderSequence && !state.partitions[index].refused.isEmpty
        if ack.error.isRetriable || isFollower {
            if !isFollower { state.partitions[index].lastRefusal = ack.error }
            state.partitions[index].refused.append(batch)
            state.partitions[index].refused.sort { $0.number < $1.number }
            state.partitions[index].retryAt = monotonicNanoseconds() + Self.retryNanoseconds
            return nil
        }
        let why = ClientError.refused(
            "produce to \(topic) partition \(index)", ack.error, Self.reason(ack.error, batch, state))
        state.partitions[index].failure = why
        state.concluding.append(batch)
        return (batch, .failure(refusal(of: batch, why)))
    }

    /// What an acknowledgement has no room to say.
    private static func reason(_ error: ErrorCode, _ batch: ProducerBatch, _ state: State) -> String {
        switch error {
        case .messageTooLarge:
            "a batch of \(batch.byteCount) bytes is too large, the longest has \(state.batchBytesMax): \(brokersLimit)"
        case .corruptMessage: "the batch did not reach the broker as it was"
        case .unknownTopicOrPartition: "the topic was deleted"
        case .outOfOrderSequence: "a batch before this one is missing in the log"
        case .invalidProducerEpoch: "a newer instance of this producer has taken over"
        default: ""
        }
    }

    /// A refusal is the last word on a batch that was announced once. An earlier announcement, on another connection,
    /// may have come through.
    private func refusal(of batch: ProducerBatch, _ why: ClientError) -> ClientError {
        batch.announcements > 1 ? fate(of: batch, why) : why
    }

    /// Batches behind one that failed for good, and not announced, fail too.
    private func failFollowers() {
        let lost = state.withLock { state in
            var lost: [(ProducerBatch, ClientError)] = []
            for index in state.partitions.indices {
                guard let why = state.partitions[index].failure else { continue }
                lost += state.partitions[index].takeUnannounced().map { ($0, fate(of: $0, why)) }
            }
            state.concluding += lost.map(\.0)
            return lost
        }
        for (batch, why) in lost { conclude(batch, .failure(why)) }
    }

    /// What becomes of a batch's memory.
    enum Slot { case free, reading, orphaned }

    /// A batch's fate is known: tells everybody, and frees its memory.
    /// - Parameters:
    ///   - batch: Out of its partition's lists, and among `concluding` since then.
    ///   - slot: `.reading` when the broker will say that it has read it, `.orphaned` when it may be reading and will
    ///     say nothing.
    func conclude(_ batch: ProducerBatch, _ result: Result<Int64, ClientError>, slot: Slot = .free) {
        let count = batch.builder.recordCount
        switch result {
        case .success(let base): onAcknowledged?(batch.partition, base, count, nil)
        case .failure(let error): onAcknowledged?(batch.partition, -1, count, error)
        }
        for (index, waiter) in batch.waiters {
            waiter.resume(
                returning: result.map { .init(partition: batch.partition, offset: $0 < 0 ? -1 : $0 + Int64(index)) })
        }
        typealias Waiters = (space: [CheckedContinuation<Void, Never>], flushed: [ProducerFlush])
        let (space, flushed) = state.withLock { state -> Waiters in
            state.concluding.removeAll { $0 === batch }
            switch slot {
            case .free: state.freeSlots.append(batch.slot)
            case .orphaned: state.orphanedSlots.append(batch.slot)
            case .reading: break
            }
            if case .failure(let error) = result {
                if batch.flushes.isEmpty { state.firstError = state.firstError ?? error }
                for flush in batch.flushes { flush.error = flush.error ?? error }
            }
            state.awaited -= batch.waiters.count + batch.flushes.count
            for flush in batch.flushes { flush.remaining -= 1 }
            let flushed = batch.flushes.filter { $0.remaining == 0 }
            return (takeSpaceWaiters(&state), flushed)
        }
        for continuation in space { continuation.resume() }
        for flush in flushed { flush.continuation.resume(returning: flush.error) }
    }

    func disconnected() {
        state.withLock { state in
            // Nothing of what was not waited for is sent again.
            if configuration.acks == .none { state.orphanedSlots += state.byRequest.values.map(\.slot) }
            state.topicID = nil
            state.region = nil
            state.byRequest = [:]
            for index in state.partitions.indices {
                // Unanswered ones first: they stand earlier in the sequence than what was never announced.
                var again = state.partitions[index].inFlight + state.partitions[index].refused
                again.sort { $0.number < $1.number }
                state.partitions[index].inFlight = []
                state.partitions[index].refused = []
                state.partitions[index].sealed.insert(contentsOf: again, at: 0)
            }
        }
        // Those that were in flight behind a failed one can follow it now.
        failFollowers()
        wakeForRoom()
    }

    func failed(_ error: ClientError) {
        let (ready, space, batches) = state.withLock { state in
            state.failure = state.failure ?? error
            state.byRequest = [:]
            var batches: [ProducerBatch] = []
            for index in state.partitions.indices {
                batches += state.partitions[index].inFlight + state.partitions[index].takeUnannounced()
                state.partitions[index].inFlight = []
            }
            state.concluding += batches
            defer { (state.readyWaiter, state.spaceWaiters) = (nil, []) }
            return (state.readyWaiter, state.spaceWaiters, batches)
        }
        ready?.resume(returning: .failure(error))
        for batch in batches { conclude(batch, .failure(fate(of: batch, error))) }
        for continuation in space { continuation.resume() }
    }

    func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64) {}
    func advanced(_ immediate: UInt32) {}
}
