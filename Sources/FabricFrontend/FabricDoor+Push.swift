internal import BrokerCore
internal import Logging
internal import RDMATransport
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// From the log into a consumer's ring.
extension FabricDoor {
    /// Pushes what a session can read, as far as its ring, our memory and its queue have room. Partitions take turns.
    func push(_ session: Session) {
        session.mayPush = false
        guard session.ring != nil else { return }
        var idle = 0
        while idle < session.subscriptions.count {
            let index = session.nextSubscription % session.subscriptions.count
            switch pushOne(session, index) {
            case .pushed: idle = 0
            case .nothing: idle += 1
            case .ended:
                session.subscriptions.remove(at: index)
                continue
            case .blocked: return
            }
            session.nextSubscription = index + 1
        }
    }

    private enum Outcome {
        case pushed, nothing, ended
        /// Goes on when credit, memory or room comes back.
        case blocked
    }

    private func pushOne(_ session: Session, _ index: Int) -> Outcome {
        let subscription = session.subscriptions[index]
        let partition = subscription.partition
        if partition.isDeleted {
            return endSubscription(session, partition, .unknownTopicOrPartition, subscription.cursor.offset)
        }
        guard subscription.cursor.offset < partition.highWatermark else { return .nothing }
        let ring = session.ring!
        let room = min(ring.free, ring.contiguous) - RingEntry.headerBytes
        return room < RecordBatchHeader.byteCount
            ? wrap(session, needs: RecordBatchHeader.byteCount)
            : read(session, index, partition, byteCountMax: min(limits.pushBytes, room))
    }

    private func read(_ session: Session, _ index: Int, _ partition: Partition, byteCountMax: Int) -> Outcome {
        let reserved = RingEntry.headerBytes + byteCountMax
        guard let offset = pushing.allocate(reserved) else {
            session.mayPush = true
            return .blocked
        }
        let payload = offset + RingEntry.headerBytes
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[payload..<payload + byteCountMax])
        var cursor = session.subscriptions[index].cursor
        counters.fileReads += 1
        let outcome: LogRead
        do throws(LogError) {
            unsafe outcome = try partition.log.read(&cursor, below: partition.highWatermark, into: buffer)
        } catch {
            pushing.free(offset: offset, byteCount: reserved)
            log.error("cannot read a partition", metadata: ["topic": "\(partition.topic)", "why": "\(error)"])
            return endSubscription(session, partition, .storageError, cursor.offset)
        }
        guard case .batches(let byteCount, let firstBase, let nextOffset) = outcome else {
            pushing.free(offset: offset, byteCount: reserved)
            switch outcome {
            case .needs(let bytes): return wrap(session, needs: bytes, partition)
            case .corrupt(let at): return endSubscription(session, partition, .corruptMessage, at)
            case .outOfRange: return endSubscription(session, partition, .offsetOutOfRange, cursor.offset)
            default: return .nothing
            }
        }
        let entry = RingEntry(
            partition: partition.address, byteCount: byteCount, firstOffset: firstBase.rawValue,
            nextOffset: nextOffset.rawValue, highWatermark: partition.highWatermark.rawValue)
        unsafe entry.encode(into: .init(rebasing: memory.bytes[offset..<payload]))
        return write(session, index, cursor, offset: offset, reserved: reserved, byteCount: byteCount)
    }

    private func write(
        _ session: Session, _ index: Int, _ cursor: LogCursor, offset: Int, reserved: Int, byteCount: Int
    ) -> Outcome {
        var ring = session.ring!
        let target = ring.target
        ring.written += UInt64(RingEntry.footprint(byteCount))
        let token = nextToken
        let slice = LocalSlice(region: region, offset: offset, count: RingEntry.headerBytes + byteCount)
        let result = fabric.write(
            on: session.connection, slice, nil, to: target, immediate: ring.immediate, token: token)
        guard result == .posted else {
            pushing.free(offset: offset, byteCount: reserved)
            return .blocked
        }
        nextToken += 1
        transfers[token] = .push(session, offset: offset, byteCount: reserved)
        session.ring = ring
        session.subscriptions[index].cursor = cursor
        counters.pushedEntries += 1
        counters.pushedBytes += byteCount
        return .pushed
    }

    /// A batch is never split at the ring's end: begins again at its start, when that helps.
    private func wrap(_ session: Session, needs byteCount: Int, _ partition: Partition? = nil) -> Outcome {
        var ring = session.ring!
        let footprint = RingEntry.footprint(byteCount)
        guard footprint <= ring.byteCount else {
            guard let partition else { return .blocked }
            log.warning("a batch is larger than the consumer's ring", metadata: session.metadata(partition.topic))
            return endSubscription(session, partition, .messageTooLarge, 0)
        }
        if byteCount > limits.pushBytes, let partition, footprint <= min(ring.free, ring.contiguous) {
            let index = session.subscriptions.firstIndex { $0.partition === partition }!
            return read(session, index, partition, byteCountMax: byteCount)
        }
        // A ring that is empty and in the middle may be begun again even for its full length.
        guard ring.contiguous < footprint, ring.free >= ring.contiguous, ring.position != 0 else { return .blocked }
        let token = nextToken
        let skip = LocalSlice(region: region, offset: Self.skipOffset, count: RingEntry.headerBytes)
        let target = ring.target
        ring.written += UInt64(ring.contiguous)
        // With an immediate of its own, so that a consumer that waits gives the rest of the ring back.
        guard
            fabric.write(on: session.connection, skip, nil, to: target, immediate: ring.immediate, token: token)
                == .posted
        else { return .blocked }
        nextToken += 1
        transfers[token] = .skip
        session.ring = ring
        return .pushed
    }

    /// Tells a consumer that nothing more comes of a partition.
    private func endSubscription(
        _ session: Session, _ partition: Partition, _ error: ErrorCode, _ offset: Offset
    ) -> Outcome {
        endSubscription(session, partition, error, offset.rawValue)
    }

    private func endSubscription(
        _ session: Session, _ partition: Partition, _ error: ErrorCode, _ offset: Int64
    ) -> Outcome {
        unsafe post(session) {
            unsafe Response.encodeSubscriptionEnded(partition.address, error: error, offset: offset, into: $0)
        }
        return .ended
    }
}
