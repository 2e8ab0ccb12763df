internal import BrokerCore
internal import Logging
internal import RDMATransport
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// From the log into a consumer's ring.
extension FabricDoor {
    /// Pushes what a session can read, as far as its ring, our memory, its queue and its quota have room, and at most a
    /// turn's share. Partitions take turns.
    /// - Returns: Whether only the share was used up.
    func push(_ session: Session) -> Bool {
        session.mayPush = false
        guard let ring = session.ring else { return false }
        let shareEnd = ring.written + UInt64(limits.turnPushBytes)
        var idle = 0
        while idle < session.ready.count {
            let written = session.ring!.written
            if written >= shareEnd {
                session.mayPush = true
                return true
            }
            if let time = session.quota?.consume?.wait(now: now) {
                throttle(session, until: time)
                return false
            }
            let index = session.nextReady % session.ready.count
            let subscription = session.ready[index]
            counters.looks += 1
            switch pushOne(session, subscription) {
            case .pushed:
                idle = 0
                session.quota?.consume?.charge(Int(session.ring!.written - written), now: now)
            case .cut:
                session.mayPush = true
                session.nextReady = index + 1
                return true
            case .waits: idle += 1
            case .nothing:
                subscription.isReady = false
                session.ready.remove(at: index)
                continue
            case .ended:
                unsubscribe(session, subscription.partition.address)
                continue
            case .blocked: return false
            }
            session.nextReady = index + 1
        }
        return false
    }

    enum PushOutcome {
        case pushed, nothing, ended
        /// All that was read had been aborted.
        case cut
        /// For a window that is being prepared: others may have their turn.
        case waits
        /// Goes on when credit, memory or room comes back.
        case blocked
    }

    private func pushOne(_ session: Session, _ subscription: Subscription) -> PushOutcome {
        let partition = subscription.partition
        if partition.isDeleted {
            return endSubscription(session, partition, .unknownTopicOrPartition, subscription.cursor.offset)
        }
        do throws(LogError) {
            try look(subscription)
        } catch {
            return unreadable(session, subscription, error)
        }
        guard subscription.cursor.offset < subscription.end else { return .nothing }
        let ring = session.ring!
        let room = min(ring.free, ring.contiguous) - RingEntry.headerBytes
        if let (unit, batch) = hot.find(partition.address, at: subscription.cursor.offset),
            batch.next == subscription.end
                || (batch.next < subscription.end && batch.byteCount >= limits.hotBacklogBytesMin),
            !subscription.mustCut, batch.base >= partition.log.logStartOffset
        {
            return batch.byteCount <= room
                ? pushHot(session, subscription, unit, batch) : wrap(session, needs: batch.byteCount, partition)
        }
        if room < RecordBatchHeader.byteCount { return wrap(session, needs: RecordBatchHeader.byteCount) }
        return pushFromWindow(session, subscription, room: room)
            ?? read(session, subscription, byteCountMax: min(limits.pushBytes, room))
    }

    /// Finds out how far a subscription may read.
    private func look(_ subscription: Subscription) throws(LogError) {
        let partition = subscription.partition
        subscription.end = partition.highWatermark
        guard subscription.isReadCommitted else { return }
        subscription.end = try partition.log.lastStableOffset(below: partition.highWatermark)
        subscription.mustCut =
            try !partition.log.abortedTransactions(from: subscription.cursor.offset, below: subscription.end).isEmpty
    }

    private func unreadable(_ session: Session, _ subscription: Subscription, _ error: LogError) -> PushOutcome {
        let partition = subscription.partition
        log.error("cannot read a partition", metadata: ["topic": "\(partition.topic)", "why": "\(error)"])
        return endSubscription(session, partition, .storageError, subscription.cursor.offset)
    }

    /// All of our memory is in use: goes on when some comes back, with this session.
    func awaitMemory(_ session: Session) -> PushOutcome {
        session.mayPush = true
        if nextServed == nil { nextServed = session.number }
        return .blocked
    }

    private func read(_ session: Session, _ subscription: Subscription, byteCountMax: Int) -> PushOutcome {
        let partition = subscription.partition
        let reserved = RingEntry.headerBytes + byteCountMax
        guard let offset = pushing.allocate(reserved) else {
            return awaitMemory(session)
        }
        let payload = offset + RingEntry.headerBytes
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[payload..<payload + byteCountMax])
        var cursor = subscription.cursor
        var outcome: LogRead
        do throws(LogError) {
            unsafe outcome = try partition.log.read(&cursor, below: subscription.end, into: buffer)
            if subscription.mustCut { unsafe try cutAborted(&outcome, from: buffer, partition) }
        } catch {
            pushing.free(offset: offset, byteCount: reserved)
            return unreadable(session, subscription, error)
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
        guard byteCount > 0 else {
            pushing.free(offset: offset, byteCount: reserved)
            subscription.cursor = cursor
            return .cut
        }
        counters.fileReads += 1
        counters.fileReadBytes += byteCount
        encodeHeader(partition, byteCount, from: firstBase, to: nextOffset, at: offset)
        let slice = LocalSlice(region: region, offset: offset, count: RingEntry.headerBytes + byteCount)
        let transfer = Transfer.push(session, offset: offset, byteCount: reserved)
        guard write(session, subscription, cursor, slice, nil, byteCount, transfer) else {
            pushing.free(offset: offset, byteCount: reserved)
            return .blocked
        }
        return .pushed
    }

    private func cutAborted(
        _ outcome: inout LogRead, from buffer: UnsafeMutableRawBufferPointer, _ partition: Partition
    ) throws(LogError) {
        guard case .batches(let byteCount, let first, let next) = outcome else { return }
        let aborted = AbortedRanges(try partition.log.abortedTransactions(from: first, below: next))
        let left = unsafe aborted.cut(from: UnsafeMutableRawBufferPointer(rebasing: buffer[..<byteCount]))
        outcome = .batches(byteCount: left, firstBase: first, nextOffset: next)
    }

    /// From where the batch landed: header and batch are gathered by the device.
    private func pushHot(
        _ session: Session, _ subscription: Subscription, _ unit: Int, _ batch: HotCache.Batch
    ) -> PushOutcome {
        guard let header = headers.allocate(RingEntry.headerBytes) else {
            return awaitMemory(session)
        }
        encodeHeader(subscription.partition, batch.byteCount, from: batch.base, to: batch.next, at: header)
        var cursor = subscription.cursor
        cursor.skip(batch.byteCount, to: batch.next)
        let slice = LocalSlice(region: region, offset: header, count: RingEntry.headerBytes)
        let payload = LocalSlice(region: region, offset: batch.offset, count: batch.byteCount)
        let transfer = Transfer.hotPush(session, header: header, unit: unit)
        guard write(session, subscription, cursor, slice, payload, batch.byteCount, transfer) else {
            headers.free(offset: header, byteCount: RingEntry.headerBytes)
            return .blocked
        }
        hot.retain(unit)
        counters.hotPushes += 1
        return .pushed
    }

    func encodeHeader(
        _ partition: Partition, _ byteCount: Int, from first: Offset, to next: Offset, at offset: Int
    ) {
        let entry = RingEntry(
            partition: partition.address, byteCount: byteCount, firstOffset: first.rawValue,
            nextOffset: next.rawValue, highWatermark: partition.highWatermark.rawValue)
        unsafe entry.encode(into: .init(rebasing: memory.bytes[offset..<offset + RingEntry.headerBytes]))
    }

    /// Posts an entry and moves ring and cursor past it, or changes nothing when there is no room.
    func write(
        _ session: Session, _ subscription: Subscription, _ cursor: LogCursor, _ first: LocalSlice,
        _ second: LocalSlice?,
        _ byteCount: Int, _ transfer: Transfer
    ) -> Bool {
        var ring = session.ring!
        let target = ring.target
        ring.written += UInt64(RingEntry.footprint(byteCount))
        let token = nextToken
        let result = fabric.write(
            on: session.connection, first, second, to: target, immediate: ring.immediate, token: token)
        guard result == .posted else { return false }
        nextToken += 1
        transfers[token] = transfer
        session.ring = ring
        subscription.cursor = cursor
        counters.pushedEntries += 1
        counters.pushedBytes += byteCount
        return true
    }

    /// A batch is never split at the ring's end: begins again at its start, when that helps.
    func wrap(_ session: Session, needs byteCount: Int, _ partition: Partition? = nil) -> PushOutcome {
        var ring = session.ring!
        let footprint = RingEntry.footprint(byteCount)
        guard footprint <= ring.byteCount else {
            guard let partition else { return .blocked }
            say(.warning, "a batch is larger than the consumer's ring", session.metadata(partition.topic))
            return endSubscription(session, partition, .messageTooLarge, 0)
        }
        if byteCount > limits.pushBytes, let partition, footprint <= min(ring.free, ring.contiguous) {
            return read(session, session.subscriptions[partition.address]!, byteCountMax: byteCount)
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
    ) -> PushOutcome {
        endSubscription(session, partition, error, offset.rawValue)
    }

    private func endSubscription(
        _ session: Session, _ partition: Partition, _ error: ErrorCode, _ offset: Int64
    ) -> PushOutcome {
        unsafe post(session) {
            unsafe Response.encodeSubscriptionEnded(partition.address, error: error, offset: offset, into: $0)
        }
        return .ended
    }
}
