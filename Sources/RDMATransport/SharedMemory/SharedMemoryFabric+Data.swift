internal import CLinux
import Glibc
internal import Synchronization

// The hot path: poll, send, release, flush. Nothing here may count references, allocate or hash per message.
extension SharedMemoryFabric {
    // MARK: Posting

    package func send(on id: ConnectionID, _ encode: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult {
        let lanes = unsafe self.lanes
        guard let lane = unsafe lanes.pointee.table[id], unsafe lane.pointee.isOpen else { return .closed }
        let result = unsafe lane.pointee.reserve()
        guard result == .posted else { return result }
        let longest = limits.messageBytesMax
        let payload = unsafe UnsafeMutableRawBufferPointer(rebasing: lane.pointee.nextPayload[..<longest])
        let count = unsafe encode(payload)
        precondition(count >= 0 && count <= longest)
        unsafe lane.pointee.publish(byteCount: count, kind: SharedRing.messageKind, immediate: 0)
        unsafe lanes.pointee.table.markDirty(lane)
        return .posted
    }

    package func read(
        on id: ConnectionID, from remote: RemoteSlice, into local: LocalSlice, token: UInt64
    ) -> PostResult {
        let lanes = unsafe self.lanes
        guard let lane = unsafe openLane(id, with: remote) else { return .closed }
        let sink = unsafe lanes.pointee.regions.locate(local).bytes
        guard let source = unsafe lane.pointee.peerBytes(remote, count: local.count, isWritable: false) else {
            unsafe lanes.pointee.pending.append(.completed(id, token: token, .remoteAccessError))
            return .posted
        }
        unsafe sink.copyMemory(from: source, byteCount: local.count)
        unsafe lanes.pointee.pending.append(.completed(id, token: token, .success))
        return .posted
    }

    package func write(
        on id: ConnectionID, _ first: LocalSlice, _ second: LocalSlice?, to remote: RemoteSlice, immediate: UInt32?,
        token: UInt64
    ) -> PostResult {
        let lanes = unsafe self.lanes
        guard let lane = unsafe openLane(id, with: remote) else { return .closed }
        let count = first.count + (second?.count ?? 0)
        guard let sink = unsafe lane.pointee.peerBytes(remote, count: count, isWritable: true) else {
            unsafe lanes.pointee.pending.append(.completed(id, token: token, .remoteAccessError))
            return .posted
        }
        if immediate != nil {
            let result = unsafe lane.pointee.reserve()
            guard result == .posted else { return result }
        }
        unsafe sink.copyMemory(from: lanes.pointee.regions.locate(first).bytes, byteCount: first.count)
        if let second {
            unsafe (sink + first.count)
                .copyMemory(from: lanes.pointee.regions.locate(second).bytes, byteCount: second.count)
        }
        if let immediate {
            unsafe lane.pointee.publish(byteCount: 0, kind: SharedRing.immediateKind, immediate: immediate)
            unsafe lanes.pointee.table.markDirty(lane)
        }
        unsafe lanes.pointee.pending.append(.completed(id, token: token, .success))
        return .posted
    }

    /// The lane of an open connection, when need be after taking the region that the peer may just have shared.
    @inline(__always)
    private func openLane(_ id: ConnectionID, with remote: RemoteSlice) -> UnsafeMutablePointer<SharedMemoryLane>? {
        guard let lane = unsafe lanes.pointee.table[id], unsafe lane.pointee.isOpen else { return nil }
        if unsafe lane.pointee.hasPeerRegion(remote.key) { return unsafe lane }
        return unsafe openLaneAfterPackets(id)
    }

    @inline(never)
    private func openLaneAfterPackets(_ id: ConnectionID) -> UnsafeMutablePointer<SharedMemoryLane>? {
        if let connection = connections[id] { receivePackets(connection) }
        // The packets may have ended the connection.
        guard let lane = unsafe lanes.pointee.table[id], unsafe lane.pointee.isOpen else { return nil }
        return unsafe lane
    }

    package func flush() {
        let lanes = unsafe self.lanes
        let count = unsafe lanes.pointee.table.dirtyCount
        guard count > 0 else { return }
        // Between what was published and the look at the sleepers' flags.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        for index in 0..<count {
            let lane = unsafe lanes.pointee.table.dirty[index]
            unsafe lane.pointee.isDirty = false
            if unsafe lane.pointee.takeWakeUp() { unsafe Self.wake(lane) }
        }
        unsafe lanes.pointee.table.clearDirty()
    }

    @inline(never) private static func wake(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        // EAGAIN: the socket is full of wake-ups already. Other errors: the hang-up is on its way.
        _ = unsafe SocketPacket.wake.send(to: lane.pointee.socket)
    }

    // MARK: Events

    package func poll(into events: inout [FabricEvent]) -> Int {
        let lanes = unsafe self.lanes
        let before = events.count
        if unsafe lanes.pointee.isAnnounced { withdrawSleep() }
        // Before the rings: a message must not overtake its connection's `.established`.
        if unsafe lanes.pointee.pending.count > 0 { unsafe lanes.pointee.pending.drain(into: &events) }
        let open = unsafe lanes.pointee.open
        let count = unsafe lanes.pointee.openCount
        var isAnyViolated = false
        for index in 0..<count {
            let lane = unsafe open[index]
            if unsafe lane.pointee.drain(into: &events) { unsafe lanes.pointee.table.markDirty(lane) }
            if unsafe lane.pointee.becameWritable() { unsafe events.append(.writable(lane.pointee.id)) }
            isAnyViolated = unsafe isAnyViolated || lane.pointee.isViolated
        }
        if isAnyViolated { endViolators() }
        // After the rings, and after what they brought has been served: after a sleep there is always a packet, but the
        // message that it woke us for is in a ring.
        if unsafe lanes.pointee.pollsUntilClock > 0 {
            unsafe lanes.pointee.pollsUntilClock -= 1
        } else if unsafe events.count == before || lanes.pointee.isLookLate {
            lookAtSockets()
            if unsafe lanes.pointee.pending.count > 0 { unsafe lanes.pointee.pending.drain(into: &events) }
        } else {
            unsafe lanes.pointee.isLookLate = true
        }
        return events.count - before
    }

    @inline(never) private func endViolators() {
        for connection in connections.all {
            if let lane = unsafe connection.lane, unsafe lane.pointee.isOpen && lane.pointee.isViolated {
                end(connection.id, .protocolViolation)
            }
        }
    }

    package func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        guard let lane = unsafe lanes.pointee.table[message.connection] else {
            preconditionFailure("message already released")
        }
        return unsafe lane.pointee.bytes(of: message)
    }

    package func release(_ message: ReceivedMessage) {
        guard let lane = unsafe lanes.pointee.table[message.connection] else {
            preconditionFailure("message already released")
        }
        unsafe lane.pointee.release(message)
        if unsafe !lane.pointee.isOpen && !lane.pointee.holdsMessages { removeReleased(message.connection) }
    }

    @inline(never) private func removeReleased(_ id: ConnectionID) {
        if let connection = connections[id] { remove(connection) }
    }

    // MARK: Sleeping

    package func prepareToSleep(awaitingWrites: Bool) -> Bool {
        flush()
        let lanes = unsafe self.lanes
        if unsafe lanes.pointee.isLookLate { lookAtSockets() }
        unsafe lanes.pointee.pollsUntilClock = 0
        unsafe lanes.pointee.socketsDue = 0
        guard unsafe lanes.pointee.pending.count == 0 else { return false }
        let open = unsafe lanes.pointee.open
        let count = unsafe lanes.pointee.openCount
        for index in 0..<count { unsafe open[index].pointee.announceSleep() }
        unsafe lanes.pointee.isAnnounced = true
        // Between our flags and the look at the rings: either we see the message, or its sender sees the flag.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        for index in 0..<count where unsafe open[index].pointee.mustStayAwake() {
            withdrawSleep()
            return false
        }
        return true
    }

    /// Spares the peers the system call of waking who is awake.
    @inline(never) private func withdrawSleep() {
        let lanes = unsafe self.lanes
        unsafe lanes.pointee.isAnnounced = false
        for index in unsafe 0..<lanes.pointee.openCount { unsafe lanes.pointee.open[index].pointee.withdrawSleep() }
    }
}
