internal import CLinux
import Glibc

// What comes over the Unix sockets: connections, handshakes, shared regions, wake-ups, hang-ups.
extension SharedMemoryFabric {
    /// Polls between two looks at the clock, and nanoseconds between two looks at the sockets of a side that is awake:
    /// they matter less often than the rings, and each look is a system call.
    private static var pollsPerClock: UInt32 { 64 }
    private static var socketsNanoseconds: UInt64 { 50_000 }

    /// Looks at the sockets when they are due.
    @inline(never) func lookAtSockets() {
        unsafe lanes.pointee.pollsUntilClock = Self.pollsPerClock
        unsafe lanes.pointee.isLookLate = false
        buryRefused()
        let now = monotonicNanoseconds()
        guard unsafe now >= lanes.pointee.socketsDue else { return }
        unsafe lanes.pointee.socketsDue = now + Self.socketsNanoseconds
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { ready in
            let count = unsafe epoll_wait(pollDescriptor, ready.baseAddress, 64, 0)
            guard count > 0 else { return }
            for index in 0..<Int(count) {
                let tag = unsafe clinux_epoll_tag(ready.baseAddress! + index)
                if tag > Self.listenerTag(listeners.count) {
                    acceptSockets(Int(.max - tag))
                    continue
                }
                let id = ConnectionID(index: UInt32(truncatingIfNeeded: tag), generation: UInt32(tag >> 32))
                if let connection = connections[id], connection.state != .dead { receivePackets(connection) }
            }
            // Of a handshake more may follow at once. Not so of wake-ups.
            if unsafe count == 64 || lanes.pointee.pending.count > 0 {
                unsafe lanes.pointee.pollsUntilClock = 0
                unsafe lanes.pointee.socketsDue = 0
            }
        }
    }

    /// Their `.rejected` has been taken, and the user had a poll's time to read their private data.
    private func buryRefused() {
        guard !refused.isEmpty, unsafe lanes.pointee.pending.count == 0 else { return }
        for connection in refused { bury(connection) }
        refused.removeAll()
    }

    private func acceptSockets(_ number: Int) {
        let listener = listeners[number].descriptor
        for _ in 0..<64 {
            let descriptor = clinux_accept(listener)
            guard descriptor >= 0 else {
                guard errno == EMFILE || errno == ENFILE, spareDescriptor >= 0 else { return }
                close(spareDescriptor)
                let refused = clinux_accept(listener)
                if refused >= 0 { close(refused) }
                spareDescriptor = unsafe clinux_open("/dev/null", O_RDONLY | O_CLOEXEC, 0)
                continue
            }
            // Those that never said hello make room for those that may. A listener with its full share takes it from
            // its own.
            let hasItsShare = hasItsShare(number)
            if hasItsShare || connections.isFull,
                let silent = connections.first(where: {
                    $0.state == .greeting && (!hasItsShare || $0.listener == number)
                })
            {
                bury(silent)
            }
            if !self.hasItsShare(number),
                case .some(.some) = try? adopt(descriptor, state: .greeting, listener: number)
            {
                continue
            }
            _ = SocketPacket.reject(failure: 1, privateData: []).send(to: descriptor)
            close(descriptor)
        }
    }

    private func hasItsShare(_ number: Int) -> Bool {
        listeners[number].connectionCount >= configuration.connectionsPerListenerMax
    }

    /// Makes a connection of a socket; nil (the socket still open) when the table is full.
    func adopt(
        _ descriptor: Int32, state: SharedMemoryConnection.State, listener: Int? = nil
    ) throws(FabricError) -> SharedMemoryConnection? {
        let connection = try connections.insert { id in
            SharedMemoryConnection(id: id, socket: descriptor, state: state, listener: listener)
        }
        guard let connection else {
            if state == .requested { close(descriptor) }
            return nil
        }
        if let listener { listeners[listener].connectionCount += 1 }
        let tag = UInt64(connection.id.generation) << 32 | UInt64(connection.id.index)
        _ = clinux_epoll_add(pollDescriptor, descriptor, tag, UInt32(EPOLLIN.rawValue))
        return connection
    }

    /// Takes every packet that is there.
    func receivePackets(_ connection: SharedMemoryConnection) {
        while connection.state != .dead {
            var descriptor: Int32 = -1
            var isTruncated: Int32 = 0
            var bytes = [UInt8](repeating: 0, count: SocketPacket.bytesMax)
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe clinux_receive_packet(
                    connection.socket, $0.baseAddress, $0.count, &descriptor, &isTruncated, clinux_dontwait)
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { end(connection.id, .closed) }
                return
            }
            guard count > 0 else {
                drain(connection)
                return end(connection.id, .closed)
            }
            let packet = isTruncated == 0 ? SocketPacket(bytes[..<count]) : nil
            handle(packet, descriptor: descriptor, from: connection)
        }
    }

    private func handle(_ packet: SocketPacket?, descriptor: Int32, from connection: SharedMemoryConnection) {
        switch (packet, connection.state) {
        case (.wake, .established):
            break
        case (.hello(let version, let privateData), .greeting):
            guard version == SocketPacket.version, privateData.count <= limits.privateDataBytesMax else {
                _ = SocketPacket.reject(failure: 2, privateData: []).send(to: connection.socket)
                bury(connection)
                break
            }
            connection.privateData = privateData
            connection.state = .requested
            unsafe lanes.pointee.pending.append(.requested(connection.id))
        case (.accept(let version, let slotCount, let slotBytes, let privateData), .requested) where descriptor >= 0:
            completeConnect(connection, version, slotCount, slotBytes, privateData, descriptor)
            return
        case (.reject(let failure, let privateData), .requested):
            connection.privateData = privateData
            unsafe lanes.pointee.pending.append(
                .rejected(connection.id, failure == 2 ? .versionMismatch : .rejectedByPeer))
            connection.state = .dead
            refused.append(connection)
        case (.share(let access, let key, let byteCount), .established) where descriptor >= 0:
            do throws(FabricError) {
                try connection.addPeerRegion(
                    key: key, access: access, byteCount: byteCount, descriptor: descriptor, limits: configuration)
            } catch {
                end(connection.id, .memoryRefused)
            }
            return
        case (.end(let reason), .established):
            drain(connection)
            end(connection.id, reason == 1 ? .memoryRefused : reason == 2 ? .protocolViolation : .closed)
        default:
            end(connection.id, .protocolViolation)
        }
        if descriptor >= 0 { close(descriptor) }
    }

    private func completeConnect(
        _ connection: SharedMemoryConnection, _ version: UInt8, _ slotCount: UInt32, _ slotBytes: UInt32,
        _ privateData: [UInt8], _ descriptor: Int32
    ) {
        let payloadMin = unsafe limits.messageBytesMax + SharedRing.slotHeaderBytes
        guard version == SocketPacket.version, slotCount.nonzeroBitCount == 1, slotCount <= 4096,
            unsafe Int(slotBytes) % SharedRing.slotAlignment == 0, slotBytes <= 1 << 20, Int(slotBytes) >= payloadMin
        else {
            close(descriptor)
            return end(connection.id, .protocolViolation)
        }
        let ringBytes = SharedMemoryConnection.ringBytes(slotCount: slotCount, slotBytes: Int(slotBytes))
        do throws(FabricError) {
            let rounded = UInt64((ringBytes + 4095) & ~4095)
            let memory = try MemoryBlock(fromPeer: descriptor, byteCount: rounded, writable: true)
            connection.privateData = privateData
            establish(connection, rings: memory, slotCount: slotCount, slotBytes: Int(slotBytes), isServer: false)
        } catch {
            end(connection.id, .memoryRefused)
        }
    }

    /// Takes what a connection that ends has sent.
    private func drain(_ connection: SharedMemoryConnection) {
        guard let lane = unsafe connection.lane, unsafe lane.pointee.isOpen else { return }
        var events: [FabricEvent] = []
        _ = unsafe lane.pointee.drain(into: &events)
        for event in events { unsafe lanes.pointee.pending.append(event) }
    }

    /// Ends a connection: tells the peer why, closes the socket, queues `.disconnected` (or `.rejected`).
    func end(_ id: ConnectionID, _ reason: DisconnectReason) {
        guard let connection = connections[id], connection.state != .dead else { return }
        flush()
        if reason == .memoryRefused || reason == .protocolViolation {
            _ = SocketPacket.end(reason: reason == .memoryRefused ? 1 : 2).send(to: connection.socket)
        }
        switch connection.state {
        case .established: unsafe lanes.pointee.pending.append(.disconnected(id, reason))
        case .requested where connection.listener == nil:
            unsafe lanes.pointee.pending.append(.rejected(id, .unreachable))
        case .requested: unsafe lanes.pointee.pending.append(.disconnected(id, reason))
        default: break
        }
        bury(connection)
    }

    /// Closes the socket and unmaps what was shared; the object stays while messages of it are held.
    func bury(_ connection: SharedMemoryConnection) {
        connection.state = .dead
        Glibc.shutdown(connection.socket, Int32(SHUT_RDWR))
        discardPackets(connection.socket)
        _ = epoll_ctl(pollDescriptor, EPOLL_CTL_DEL, connection.socket, nil)
        if let lane = unsafe connection.lane { unsafe lanes.pointee.close(lane) }
        connection.unmap()
        if !connection.holdsMessages { remove(connection) }
    }

    /// Takes what the peer still sent. A socket closed with packets unread is reset, and the peer would then find an
    /// error instead of the packet that says why. Nothing comes after: the socket is shut down.
    private func discardPackets(_ socket: Int32) {
        var bytes: UInt64 = 0
        var descriptor: Int32 = -1
        var isTruncated: Int32 = 0
        while unsafe clinux_receive_packet(socket, &bytes, 8, &descriptor, &isTruncated, clinux_dontwait) > 0 {
            if descriptor >= 0 { close(descriptor) }
        }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Forgets a dead connection.
    func remove(_ connection: SharedMemoryConnection) {
        if let lane = unsafe connection.lane { unsafe lanes.pointee.table.remove(lane) }
        guard connections[connection.id] != nil else { return }
        connections.remove(connection.id)
        if let listener = connection.listener { listeners[listener].connectionCount -= 1 }
    }

    static func makeSocket() throws(FabricError) -> Int32 {
        let descriptor = clinux_packet_socket()
        guard descriptor >= 0 else {
            throw FabricError(.system, operation: "socket", errorNumber: errno, "cannot create a Unix socket")
        }
        return descriptor
    }

    static func fill(_ address: inout sockaddr_un, path: String) throws(FabricError) -> socklen_t {
        let length = unsafe clinux_unix_address(&address, path)
        guard length > 0 else {
            throw FabricError(.address, operation: "bind", "the socket path \(path) is longer than 107 bytes")
        }
        return length
    }

    static func withSocketAddress<T>(
        _ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>) -> T
    ) -> T {
        unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) }
        }
    }
}
