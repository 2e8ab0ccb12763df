internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

// On the link's thread: what became of announced batches.
extension ProducerAgent {
    /// How long a partition waits after a refusal, in nanoseconds (Kafka's retry.backoff.ms).
    static var retryNanoseconds: UInt64 { 100_000_000 }

    func received(_ acks: [ProduceAck]) {
        if configuration.acks == .none { return release(acks) }
        // The lock is taken once for all of them: a caller that adds records mostly holds it, and waiting for that one
        // is two system calls and two switches.
        conclude(
            state.withLock { state in
                var fates = acks.compactMap { settle($0, &state) }
                fates += takeFollowers(&state)
                return fates
            })
    }

    /// What was read of batches whose fate nobody waited for.
    private func release(_ acks: [ProduceAck]) {
        let space = state.withLock { state in
            for ack in acks {
                if let batch = state.byRequest.removeValue(forKey: ack.requestID) { state.freeSlots.append(batch.slot) }
            }
            return takeSpaceWaiters(&state)
        }
        for waiter in space { waiter.resume() }
    }

    /// What a batch's error says of its records.
    func fate(of batch: ProducerBatch, _ cause: ClientError) -> ClientError {
        let (code, text): (ClientError.Code, String) =
            batch.isUncertain
            ? (.outcomeUnknown, "its records may or may not be in the log")
            : (.notDelivered, "its records are not in the log")
        return ClientError(
            code, "a batch for partition \(batch.partition) of \(topic) was given up, \(text): \(cause)",
            broker: cause.broker)
    }

    /// Takes an acknowledged batch out, or puts it among the refused ones.
    private func settle(_ ack: ProduceAck, _ state: inout State) -> Fate? {
        // One that is not there belonged to a lost connection.
        guard let batch = state.byRequest.removeValue(forKey: ack.requestID) else { return nil }
        let index = batch.partition
        state.partitions[index].inFlight.removeAll { $0 === batch }
        state.partitions[index].isAnswered = true
        batch.unansweredOn = nil
        if ack.error == .none {
            state.partitions[index].lastRefusal = nil
            state.partitions[index].isUnproven = false
            state.concluding.append(batch)
            return Fate(batch: batch, result: .success(ack.baseOffset))
        }
        // Behind a batch that failed for good none can follow, and the first failure is the reason.
        if let failure = state.partitions[index].failure {
            state.concluding.append(batch)
            return Fate(batch: batch, result: .failure(refusal(of: batch, failure)))
        }
        let isOutOfOrder = ack.error == .outOfOrderSequence
        if ack.error.isRetriable || isOutOfOrder {
            // Behind a refused batch the next ones are out of order: not their fault.
            let isFirst = state.partitions[index].hasNothingBefore(batch)
            if isOutOfOrder, isFirst { state.partitions[index].hasGap = true }
            if !isOutOfOrder || isFirst { state.partitions[index].lastRefusal = ack.error }
            // What was not appended now may have been half.
            if !isOutOfOrder { batch.isUncertain = true }
            state.partitions[index].refused.append(batch)
            state.partitions[index].refused.sort { $0.number < $1.number }
            // A new sequence need not wait, unless that did not help just now.
            if !state.partitions[index].hasGap || state.partitions[index].isUnproven {
                state.partitions[index].retryAt = monotonicNanoseconds() + Self.retryNanoseconds
            }
            return nil
        }
        let why = ClientError.refused(
            "produce to \(topic) partition \(index)", ack.error, Self.reason(ack.error, batch, state))
        // The topic takes less than it did when it was asked about.
        if ack.error == .messageTooLarge { metadataAt = 0 }
        if !Self.refusalsOfOneBatch.contains(ack.error) {
            state.partitions[index].failure = why
        } else if !batch.isUncertain, state.partitions[index].hasNothingBefore(batch) {
            // It is missing for certain. Otherwise the next one finds that out.
            state.partitions[index].hasGap = true
        }
        state.concluding.append(batch)
        return Fate(batch: batch, result: .failure(refusal(of: batch, why)))
    }

    /// What is wrong with one batch, and need not be with the next.
    private static let refusalsOfOneBatch: Set<ErrorCode> = [
        .messageTooLarge, .invalidRecord, .unsupportedCompressionType,
    ]

    /// What an acknowledgement has no room to say.
    private static func reason(_ error: ErrorCode, _ batch: ProducerBatch, _ state: State) -> String {
        switch error {
        case .messageTooLarge:
            "a batch of \(batch.byteCount) bytes is too large, the longest had \(state.longestBatch.bytes) when "
                + "the topic was last asked about: \(state.longestBatch.setting)"
        case .invalidRecord: "a record without a key, of which a compacted topic takes none, or one that is malformed"
        case .corruptMessage: "the batch did not reach the broker as it was"
        case .unknownTopicOrPartition: "the topic was deleted"
        case .invalidProducerEpoch: "a newer instance of this producer has taken over"
        default: ""
        }
    }

    /// A refusal is the last word on a batch, unless an earlier announcement, on another connection for instance, may
    /// have come through.
    private func refusal(of batch: ProducerBatch, _ why: ClientError) -> ClientError {
        batch.isUncertain ? fate(of: batch, why) : why
    }

    /// Batches behind one that failed for good, and not in flight, fail too.
    private func takeFollowers(_ state: inout State) -> [Fate] {
        var fates: [Fate] = []
        for index in state.partitions.indices {
            guard let why = state.partitions[index].failure else { continue }
            for batch in state.partitions[index].takeUnannounced() {
                fates.append(givenUp(batch, why, state))
                state.concluding.append(batch)
            }
        }
        return fates
    }

    /// What became of a batch that is out of its partition's lists, and among `concluding` since then.
    struct Fate {
        let batch: ProducerBatch
        let result: Result<Int64, ClientError>
        var slot = Slot.free

        /// What becomes of its memory: `.reading` when the broker will say that it has read it, `.orphaned` when it may
        /// be reading and will say nothing.
        enum Slot { case free, reading, orphaned }
    }

    /// Tells everybody what became of batches, and frees their memory; resumes who waits for that.
    func conclude(_ fates: [Fate]) {
        for fate in fates { tell(fate) }
        typealias Waiters = (space: [SpaceWaiter], flushed: [ProducerFlush])
        let (space, flushed) = state.withLock { state -> Waiters in
            var flushed: [ProducerFlush] = []
            for fate in fates { end(fate, &flushed, &state) }
            return (takeSpaceWaiters(&state), flushed)
        }
        for waiter in space { waiter.resume() }
        for flush in flushed { flush.answer.give(.some(flush.error)) }
    }

    private func tell(_ fate: Fate) {
        let batch = fate.batch
        let count = batch.builder.recordCount
        switch fate.result {
        case .success(let base): onAcknowledged?(batch.partition, base, count, nil)
        case .failure(let error): onAcknowledged?(batch.partition, -1, count, error)
        }
        for (index, waiter) in batch.waiters {
            waiter.give(
                fate.result.map { .init(partition: batch.partition, offset: $0 < 0 ? -1 : $0 + Int64(index)) })
        }
    }

    /// - Parameter flushed: Gets the flushes that waited for nothing else.
    private func end(_ fate: Fate, _ flushed: inout [ProducerFlush], _ state: inout State) {
        let batch = fate.batch
        state.concluding.removeAll { $0 === batch }
        switch fate.slot {
        case .free: state.freeSlots.append(batch.slot)
        case .orphaned: state.orphanedSlots.append(batch.slot)
        case .reading: break
        }
        if case .failure(let error) = fate.result {
            if batch.flushes.isEmpty { state.firstError = state.firstError ?? error }
            for flush in batch.flushes { flush.error = flush.error ?? error }
        }
        state.awaited -= batch.waiters.count + batch.flushes.count
        for flush in batch.flushes {
            flush.remaining -= 1
            if flush.remaining == 0 { flushed.append(flush) }
        }
    }

    func disconnected() {
        metadataAt = .max
        isAskingForIdentity = false
        state.withLock { state in
            // Nothing of what was not waited for is sent again.
            if configuration.acks == .none { state.orphanedSlots += state.byRequest.values.map(\.slot) }
            state.topicID = nil
            state.region = nil
            state.byRequest = [:]
            for index in state.partitions.indices {
                // Unanswered ones first: they stand earlier in the sequence than what was never announced.
                for batch in state.partitions[index].inFlight { batch.isUncertain = true }
                var again = state.partitions[index].inFlight + state.partitions[index].refused
                again.sort { $0.number < $1.number }
                state.partitions[index].inFlight = []
                state.partitions[index].refused = []
                state.partitions[index].hasGap = false
                state.partitions[index].sealed.insert(contentsOf: again, at: 0)
            }
        }
        // Those that were in flight behind a failed one can follow it now.
        conclude(state.withLock { takeFollowers(&$0) })
    }

    func failed(_ error: ClientError) {
        let (ready, space, batches) = state.withLock { state in
            state.failure = state.failure ?? error
            state.byRequest = [:]
            var batches: [ProducerBatch] = []
            for index in state.partitions.indices {
                for batch in state.partitions[index].inFlight { batch.isUncertain = true }
                batches += state.partitions[index].inFlight + state.partitions[index].takeUnannounced()
                state.partitions[index].inFlight = []
            }
            state.concluding += batches
            defer { (state.readyWaiter, state.spaceWaiters) = (nil, []) }
            return (state.readyWaiter, state.spaceWaiters, batches)
        }
        ready?.resume(returning: .failure(error))
        conclude(batches.map { Fate(batch: $0, result: .failure(fate(of: $0, error))) })
        for waiter in space { waiter.resume() }
    }

    func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64) {}
    func advanced(_ immediate: UInt32) {}
}
