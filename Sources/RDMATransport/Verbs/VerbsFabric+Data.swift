internal import CVerbs

// The hot path: post, flush, poll, release. Nothing here may count references, allocate or hash per message.
extension VerbsFabric {
    // MARK: Posting

    package func send(on id: ConnectionID, _ encode: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult {
        let lanes = unsafe self.lanes
        guard let lane = unsafe lanes.pointee.table[id] else { return .closed }
        let result = unsafe lane.pointee.reserveMessage()
        guard result == .posted else { return result }
        let payload = unsafe lane.pointee.nextPayload
        let count = unsafe encode(payload)
        precondition(count >= 0 && count <= payload.count)
        unsafe lane.pointee.publish(byteCount: count)
        unsafe lanes.pointee.table.markDirty(lane)
        return .posted
    }

    package func read(
        on id: ConnectionID, from remote: RemoteSlice, into local: LocalSlice, token: UInt64
    ) -> PostResult {
        transfer(.read(remote), on: id, local, nil, token)
    }

    package func write(
        on id: ConnectionID, _ first: LocalSlice, _ second: LocalSlice?, to remote: RemoteSlice, immediate: UInt32?,
        token: UInt64
    ) -> PostResult {
        guard let immediate else { return transfer(.write(remote), on: id, first, second, token) }
        return transfer(.writeWithImmediate(remote, immediate), on: id, first, second, token)
    }

    /// Atomically replaces eight bytes of the peer's memory if they equal `compare`; the old ones land in `local`.
    package func compareAndSwap(
        on id: ConnectionID, _ remote: RemoteSlice, compare: UInt64, swap: UInt64, into local: LocalSlice, token: UInt64
    ) -> PostResult {
        precondition(local.count == 8)
        return transfer(.compareAndSwap(remote, compare: compare, swap: swap), on: id, local, nil, token)
    }

    @inline(__always)
    private func transfer(
        _ operation: SendOperation, on id: ConnectionID, _ first: LocalSlice, _ second: LocalSlice?, _ token: UInt64
    ) -> PostResult {
        let lanes = unsafe self.lanes
        guard let lane = unsafe lanes.pointee.table[id] else { return .closed }
        let firstPiece = piece(first)
        let result =
            if let second {
                unsafe lane.pointee.transfer(operation, firstPiece, piece(second), token: token)
            } else {
                unsafe lane.pointee.transfer(operation, firstPiece, nil, token: token)
            }
        if result == .posted { unsafe lanes.pointee.table.markDirty(lane) }
        return result
    }

    @inline(__always) private func piece(_ slice: LocalSlice) -> ScatterGatherElement {
        let (bytes, localKey) = unsafe lanes.pointee.regions.locate(slice)
        return ScatterGatherElement(
            address: UInt64(UInt(bitPattern: bytes)), byteCount: slice.count, localKey: localKey)
    }

    package func flush() {
        let lanes = unsafe self.lanes
        guard unsafe lanes.pointee.table.dirtyCount > 0 else { return }
        for index in unsafe 0..<lanes.pointee.table.dirtyCount {
            let lane = unsafe lanes.pointee.table.dirty[index]
            unsafe lane.pointee.isDirty = false
            if unsafe !lane.pointee.flush(&lanes.pointee.statistics) { unsafe end(lane.pointee.id, .transportError) }
        }
        unsafe lanes.pointee.table.clearDirty()
    }

    // MARK: Events

    package func poll(into events: inout [FabricEvent]) -> Int {
        let lanes = unsafe self.lanes
        let before = events.count
        if unsafe lanes.pointee.isAnyEnding { finishRefused() }
        if unsafe !lanes.pointee.pending.isEmpty { takePending(into: &events) }
        if unsafe lanes.pointee.pollsUntilEvents == 0 { lookAtChannel(into: &events) }
        unsafe lanes.pointee.pollsUntilEvents -= 1
        let found = events.count
        pollCompletions(into: &events)
        // What ended a sleep was a completion, or else something of the connection manager's.
        if unsafe lanes.pointee.hasSlept {
            unsafe lanes.pointee.hasSlept = false
            if events.count == found { lookAtChannel(into: &events) }
        }
        if unsafe lanes.pointee.isAnyEnding { finishDrained(into: &events) }
        return events.count - before
    }

    @inline(never) private func takePending(into events: inout [FabricEvent]) {
        unsafe events.append(contentsOf: lanes.pointee.pending)
        unsafe lanes.pointee.pending.removeAll(keepingCapacity: true)
    }

    @inline(never) private func lookAtChannel(into events: inout [FabricEvent]) {
        unsafe lanes.pointee.pollsUntilEvents = 64
        while let event = channel.next() { handle(event, into: &events) }
        probeWhenDue()
    }

    func pollCompletions(into events: inout [FabricEvent]) {
        poll(sends, into: &events)
        poll(receives, into: &events)
    }

    private func poll(_ queue: CompletionQueue, into events: inout [FabricEvent]) {
        // Bounded, so that one busy peer cannot keep the caller here.
        for _ in 0..<4 {
            let count = queue.poll()
            unsafe lanes.pointee.statistics.completions += count
            for index in 0..<count { handle(queue[index], into: &events) }
            if count < CompletionQueue.batchMax { return }
        }
    }

    @inline(__always) private func handle(_ completion: WorkCompletion, into events: inout [FabricEvent]) {
        let lanes = unsafe self.lanes
        let workID = completion.workID
        guard let lane = unsafe lanes.pointee.table[index: UInt32(workID >> 32 & 0xffff)],
            unsafe lane.pointee.id.generation & 0x7fff == UInt32(workID >> 48 & 0x7fff),
            unsafe lane.pointee.state != .dead
        else { return }
        let id = unsafe lane.pointee.id
        let number = UInt32(truncatingIfNeeded: workID)
        let isSuccess = completion.isSuccess
        if isSuccess, unsafe lane.pointee.state == .accepting { establish(id, into: &events) }
        if workID >> 63 == 1 {
            if unsafe !lane.pointee.received(slot: number, completion, into: &events) { end(id, .protocolViolation) }
        } else {
            let status = isSuccess ? .success : TransferStatus(completion.status)
            unsafe lane.pointee.completed(sequence: number, status, into: &events)
        }
        guard isSuccess else {
            // Why a receive was flushed stands in the other queue, if this side knows it.
            if workID >> 63 == 1, completion.status == .flushed { poll(sends, into: &events) }
            return endAfterFailure(id, completion.status)
        }
        if unsafe lane.pointee.becameWritable() { events.append(.writable(id)) }
        if unsafe lane.pointee.needsFlush { unsafe lanes.pointee.table.markDirty(lane) }
    }

    @inline(never) private func establish(_ id: ConnectionID, into events: inout [FabricEvent]) {
        establish(connections[id]!, into: &events)
    }

    @inline(never) private func end(_ id: ConnectionID, _ reason: DisconnectReason) { drain(connections[id]!, reason) }

    @inline(never) private func endAfterFailure(_ id: ConnectionID, _ status: WorkCompletion.Status) {
        guard let connection = connections[id], connection.state == .established || connection.state == .accepting
        else { return }
        // The queue pair is in the error state already; a flush without a cause is the peer's hang-up.
        let reason: DisconnectReason =
            switch status {
            case .flushed: .closed
            case .retryExceeded: .peerDead
            default: .transportError
            }
        drain(connection, reason)
    }

    package func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        guard let lane = unsafe lanes.pointee.table[message.connection] else {
            preconditionFailure("message already released")
        }
        return unsafe lane.pointee.bytes(of: message)
    }

    package func release(_ message: ReceivedMessage) {
        let lanes = unsafe self.lanes
        guard let lane = unsafe lanes.pointee.table[message.connection] else {
            preconditionFailure("message already released")
        }
        unsafe lane.pointee.release(message)
        if unsafe lane.pointee.isFlowing {
            unsafe lanes.pointee.table.markDirty(lane)
        } else if unsafe lane.pointee.state == .dead && !lane.pointee.holdsMessages {
            finishReleased(message.connection)
        }
    }

    @inline(never) private func finishReleased(_ id: ConnectionID) { finish(connections[id]!) }

    // MARK: Sleeping

    package func prepareToSleep(awaitingWrites: Bool) -> Bool {
        flush()
        unsafe lanes.pointee.hasSlept = true
        arm(receives)
        // Events of what is not awaited any more would end every sleep.
        if unsafe awaitingWrites || lanes.pointee.awaited.pointee > 0 { arm(sends) } else { sends.takeEvents() }
        guard unsafe lanes.pointee.pending.isEmpty, draining.isEmpty else { return false }
        // What came before the queue was armed makes no event.
        unsafe pollCompletions(into: &lanes.pointee.pending)
        // Receives and credits that this gave back: the peer may wait for them.
        flush()
        return unsafe lanes.pointee.pending.isEmpty && draining.isEmpty
    }

    /// One that is armed stays so until it has made its event.
    private func arm(_ queue: CompletionQueue) {
        if queue.takeEvents() > 0 || !queue.isArmed { queue.arm() }
    }
}
