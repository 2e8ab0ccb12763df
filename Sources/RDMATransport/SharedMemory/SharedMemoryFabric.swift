internal import CLinux
import Glibc

/// The fabric for processes on one node: a Unix socket to connect, sealed memfds passed across, rings in shared
/// memory. READ and WRITE are one memcpy done by the side that asks for them.
///
/// The socket carries the handshake, shared regions and wake-ups; its hang-up is the peer's death. A peer is woken
/// only when it announced that it sleeps, by a packet that never blocks: no descriptor that a peer holds too is ever
/// written in another way (a full eventfd would block us).
/// - Threading: one thread. SeeAlso: ``Fabric``.
package final class SharedMemoryFabric: Fabric {
    package let limits: FabricLimits
    package let pollDescriptor: Int32
    private let configuration: FabricConfiguration
    private var connections: ConnectionTable<SharedMemoryConnection>
    private var regions: [UInt32: (memory: MemoryBlock, access: PeerAccess)] = [:]
    private var nextRegion: UInt32 = 1
    /// Events that calls outside of `poll` caused.
    private var pending: [FabricEvent] = []
    /// Reported as rejected; kept until the next poll, for their private data.
    private var refused: [SharedMemoryConnection] = []
    private var listener: Int32 = -1
    private var listenerPath: String?
    /// Given up for a moment when the descriptor table is full, so that the connection can be taken and closed.
    private var spareDescriptor: Int32
    /// Polls until the sockets are looked at again: they matter less often than the rings.
    private var pollsUntilSockets = 0
    private static let listenerTag = UInt64.max

    package init(configuration: FabricConfiguration) throws(FabricError) {
        self.configuration = configuration
        limits = configuration.limits
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        pollDescriptor = clinux_epoll_create()
        guard pollDescriptor >= 0 else {
            throw FabricError(
                .system, operation: "epoll_create1", errorNumber: errno, "cannot create a poll descriptor")
        }
        spareDescriptor = unsafe clinux_open("/dev/null", O_RDONLY | O_CLOEXEC, 0)
    }

    deinit {
        shutdown()
        close(pollDescriptor)
        close(spareDescriptor)
    }

    // MARK: Connecting

    /// Listens on a Unix socket. A socket file that nobody listens on any more is replaced.
    package func listen(path: String) throws(FabricError) {
        precondition(listener < 0, "listens already")
        var address = sockaddr_un()
        let length = try Self.fill(&address, path: path)
        let descriptor = try Self.makeSocket()
        var outcome = unsafe Self.withSocketAddress(&address) { unsafe bind(descriptor, $0, length) }
        if outcome != 0, errno == EADDRINUSE {
            let probe = try Self.makeSocket()
            let isAlive = unsafe Self.withSocketAddress(&address) { unsafe Glibc.connect(probe, $0, length) } == 0
            let refused = errno == ECONNREFUSED
            close(probe)
            guard !isAlive, refused, unsafe unlink(path) == 0 else {
                close(descriptor)
                throw FabricError(.address, operation: "bind", "\(path) is in use by another process")
            }
            outcome = unsafe Self.withSocketAddress(&address) { unsafe bind(descriptor, $0, length) }
        }
        guard outcome == 0, Glibc.listen(descriptor, 128) == 0,
            clinux_epoll_add(pollDescriptor, descriptor, Self.listenerTag, UInt32(EPOLLIN.rawValue)) == 0
        else {
            let number = errno
            close(descriptor)
            throw FabricError(.address, operation: "bind", errorNumber: number, "cannot listen on \(path)")
        }
        listener = descriptor
        listenerPath = path
    }

    /// Asks the listener at `path` for a connection; `.established` or `.rejected` follows.
    package func connect(path: String, privateData: [UInt8]) throws(FabricError) -> ConnectionID {
        precondition(privateData.count <= limits.privateDataBytesMax)
        var address = sockaddr_un()
        let length = try Self.fill(&address, path: path)
        let descriptor = try Self.makeSocket()
        guard unsafe Self.withSocketAddress(&address, { unsafe Glibc.connect(descriptor, $0, length) }) == 0 else {
            let number = errno
            close(descriptor)
            throw FabricError(.address, operation: "connect", errorNumber: number, "cannot connect to \(path)")
        }
        let connection = try adopt(descriptor, state: .requested)
        guard let connection else {
            throw FabricError(.limit, operation: "connect", "\(configuration.connectionsMax) connections already")
        }
        _ = SocketPacket.hello(version: SocketPacket.version, privateData: privateData).send(to: descriptor)
        return connection.id
    }

    package func accept(_ id: ConnectionID, privateData: [UInt8]) throws(FabricError) {
        guard let connection = connections[id], connection.state == .requested else {
            throw FabricError(.state, operation: "accept", "\(id) is not waiting to be accepted")
        }
        let slotCount = UInt32(configuration.messagesInFlight)
        let slotBytes = configuration.messageBufferBytes + 64
        let memory: MemoryBlock
        do throws(FabricError) {
            memory = try MemoryBlock(
                byteCount: SharedMemoryConnection.ringBytes(slotCount: slotCount, slotBytes: slotBytes),
                name: "rdmad-rings")
        } catch {
            reject(id, privateData: [])
            throw error
        }
        connection.attach(rings: memory, slotCount: slotCount, slotBytes: slotBytes, isServer: true)
        connection.state = .established
        let packet = SocketPacket.accept(
            version: SocketPacket.version, slotCount: slotCount, slotBytes: UInt32(slotBytes), privateData: privateData)
        _ = packet.send(to: connection.socket, descriptor: memory.descriptor)
        pending.append(.established(id))
    }

    package func reject(_ id: ConnectionID, privateData: [UInt8]) {
        guard let connection = connections[id], connection.state == .requested else { return }
        _ = SocketPacket.reject(failure: 0, privateData: privateData).send(to: connection.socket)
        bury(connection)
    }

    package func privateData(of id: ConnectionID) -> [UInt8] { connections[id]?.privateData ?? [] }

    package func peerDescription(of id: ConnectionID) -> String { connections[id]?.peerDescription ?? "gone" }

    package func disconnect(_ id: ConnectionID) { end(id, .closed) }

    // MARK: Memory

    package func register(_ memory: MemoryBlock, access: PeerAccess) throws(FabricError) -> RegionID {
        defer { nextRegion += 1 }
        regions[nextRegion] = (memory, access)
        return RegionID(rawValue: nextRegion)
    }

    package func unregister(_ region: RegionID) { regions[region.rawValue] = nil }

    package func share(_ region: RegionID, on id: ConnectionID) throws(FabricError) -> RemoteRegion {
        guard let (memory, access) = regions[region.rawValue], access != .none else {
            throw FabricError(.state, operation: "share", "the region is not registered for a peer")
        }
        guard let connection = connections[id], connection.state == .established else {
            throw FabricError(.state, operation: "share", "\(id) is not established")
        }
        let byteCount = unsafe UInt64(memory.bytes.count)
        let packet = SocketPacket.share(access: access == .write ? 2 : 1, key: region.rawValue, byteCount: byteCount)
        let number = packet.send(to: connection.socket, descriptor: memory.descriptor)
        guard number == 0 else {
            throw FabricError(.system, operation: "sendmsg", errorNumber: number, "cannot share memory with the peer")
        }
        return RemoteRegion(key: region.rawValue, address: 0, byteCount: byteCount)
    }

    private func localBytes(_ slice: LocalSlice) -> UnsafeMutableRawBufferPointer {
        guard let memory = regions[slice.region.rawValue]?.memory else { preconditionFailure("region not registered") }
        return unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[slice.offset..<slice.offset + slice.count])
    }

    // MARK: Data

    package func send(on id: ConnectionID, _ encode: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult {
        guard let connection = connections[id] else { return .closed }
        return unsafe connection.produce(kind: SharedRing.messageKind, immediate: 0) { payload in
            let count = unsafe encode(.init(rebasing: payload[..<limits.messageBytesMax]))
            precondition(count <= limits.messageBytesMax)
            return count
        }
    }

    package func read(
        on id: ConnectionID, from remote: RemoteSlice, into local: LocalSlice, token: UInt64
    ) -> PostResult {
        guard let connection = connections[id], connection.state == .established else { return .closed }
        if connection.peerRegions[remote.key] == nil { receivePackets(connection) }
        guard let source = unsafe connection.peerBytes(remote, count: local.count, access: .read) else {
            pending.append(.completed(id, token: token, .remoteAccessError))
            return .posted
        }
        unsafe localBytes(local).copyMemory(from: UnsafeRawBufferPointer(source))
        pending.append(.completed(id, token: token, .success))
        return .posted
    }

    package func write(
        on id: ConnectionID, _ first: LocalSlice, _ second: LocalSlice?, to remote: RemoteSlice, immediate: UInt32?,
        token: UInt64
    ) -> PostResult {
        guard let connection = connections[id], connection.state == .established else { return .closed }
        if connection.peerRegions[remote.key] == nil { receivePackets(connection) }
        let count = first.count + (second?.count ?? 0)
        guard let sink = unsafe connection.peerBytes(remote, count: count, access: .write) else {
            pending.append(.completed(id, token: token, .remoteAccessError))
            return .posted
        }
        if let immediate {
            // The ring is published in flush(), after the copy below.
            let result = unsafe connection.produce(kind: SharedRing.immediateKind, immediate: immediate) { _ in 0 }
            guard result == .posted else { return result }
        }
        unsafe sink.copyMemory(from: UnsafeRawBufferPointer(localBytes(first)))
        if let second {
            unsafe UnsafeMutableRawBufferPointer(rebasing: sink[first.count...])
                .copyMemory(from: UnsafeRawBufferPointer(localBytes(second)))
        }
        pending.append(.completed(id, token: token, .success))
        return .posted
    }

    package func flush() {
        connections.forEach { connection in
            guard connection.isDirty else { return }
            connection.isDirty = false
            connection.publish()
        }
    }

    // MARK: Events

    package func poll(into events: inout [FabricEvent]) -> Int {
        let before = events.count
        if pollsUntilSockets == 0 { pollSockets() }
        pollsUntilSockets -= 1
        if !refused.isEmpty, pending.isEmpty {
            for connection in refused { bury(connection) }
            refused.removeAll()
        }
        // Before the rings: a message must not overtake its connection's `.established`.
        if !pending.isEmpty {
            events.append(contentsOf: pending)
            pending.removeAll(keepingCapacity: true)
        }
        var violators: [ConnectionID] = []
        connections.forEach { connection in
            guard connection.state == .established else { return }
            if !connection.drain(into: &events) { violators.append(connection.id) }
            if connection.owesWritable, connection.hasSpace() {
                connection.owesWritable = false
                events.append(.writable(connection.id))
            }
        }
        for id in violators { end(id, .protocolViolation) }
        return events.count - before
    }

    package func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        guard let connection = connections[message.connection] else { preconditionFailure("message already released") }
        return unsafe connection.bytes(of: message)
    }

    package func release(_ message: ReceivedMessage) {
        guard let connection = connections[message.connection] else { preconditionFailure("message already released") }
        connection.release(message)
        if connection.state == .dead, !connection.holdsMessages { connections.remove(connection.id) }
    }

    package func prepareToSleep() -> Bool {
        flush()
        pollsUntilSockets = 0
        guard pending.isEmpty else { return false }
        var isQuiet = true
        connections.forEach { if $0.state == .established, !$0.prepareToSleep() { isQuiet = false } }
        if !isQuiet { connections.forEach { $0.awake() } }
        return isQuiet
    }

    package func shutdown() {
        for connection in connections.all where connection.state != .dead { end(connection.id, .closed) }
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        if listener >= 0 {
            close(listener)
            listener = -1
            if let listenerPath { unsafe unlink(listenerPath) }
        }
        regions = [:]
    }
}

// MARK: - The sockets

extension SharedMemoryFabric {
    private func pollSockets() {
        pollsUntilSockets = 64
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { ready in
            let count = unsafe epoll_wait(pollDescriptor, ready.baseAddress, 64, 0)
            guard count > 0 else { return }
            pollsUntilSockets = 1
            for index in 0..<Int(count) {
                let tag = unsafe clinux_epoll_tag(ready.baseAddress! + index)
                if tag == Self.listenerTag {
                    acceptSockets()
                    continue
                }
                let id = ConnectionID(index: UInt32(truncatingIfNeeded: tag), generation: UInt32(tag >> 32))
                if let connection = connections[id], connection.state != .dead { receivePackets(connection) }
            }
        }
    }

    private func acceptSockets() {
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
            // Those that never said hello make room for those that may.
            if connections.isFull, let silent = connections.first(where: { $0.state == .greeting }) { bury(silent) }
            if case .some(.some) = try? adopt(descriptor, state: .greeting) { continue }
            _ = SocketPacket.reject(failure: 1, privateData: []).send(to: descriptor)
            close(descriptor)
        }
    }

    /// Makes a connection of a socket; nil (the socket still open) when the table is full.
    private func adopt(
        _ descriptor: Int32, state: SharedMemoryConnection.State
    ) throws(FabricError) -> SharedMemoryConnection? {
        let connection = try connections.insert { id in
            SharedMemoryConnection(id: id, socket: descriptor, state: state, configuration: configuration)
        }
        guard let connection else {
            if state == .requested { close(descriptor) }
            return nil
        }
        let tag = UInt64(connection.id.generation) << 32 | UInt64(connection.id.index)
        _ = clinux_epoll_add(pollDescriptor, descriptor, tag, UInt32(EPOLLIN.rawValue))
        return connection
    }

    /// Takes every packet that is there.
    private func receivePackets(_ connection: SharedMemoryConnection) {
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
                _ = connection.drain(into: &pending)
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
            pending.append(.requested(connection.id))
        case (.accept(let version, let slotCount, let slotBytes, let privateData), .requested) where descriptor >= 0:
            completeConnect(connection, version, slotCount, slotBytes, privateData, descriptor)
            return
        case (.reject(let failure, let privateData), .requested):
            connection.privateData = privateData
            pending.append(.rejected(connection.id, failure == 2 ? .versionMismatch : .rejectedByPeer))
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
            _ = connection.drain(into: &pending)
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
            slotBytes % 64 == 0, slotBytes <= 1 << 20, Int(slotBytes) >= payloadMin
        else {
            close(descriptor)
            return end(connection.id, .protocolViolation)
        }
        let ringBytes = SharedMemoryConnection.ringBytes(slotCount: slotCount, slotBytes: Int(slotBytes))
        do throws(FabricError) {
            let rounded = UInt64((ringBytes + 4095) & ~4095)
            let memory = try MemoryBlock(fromPeer: descriptor, byteCount: rounded, writable: true)
            connection.attach(rings: memory, slotCount: slotCount, slotBytes: Int(slotBytes), isServer: false)
        } catch {
            return end(connection.id, .memoryRefused)
        }
        connection.privateData = privateData
        connection.state = .established
        pending.append(.established(connection.id))
    }

    /// Ends a connection: tells the peer why, closes the socket, queues `.disconnected` (or `.rejected`).
    private func end(_ id: ConnectionID, _ reason: DisconnectReason) {
        guard let connection = connections[id], connection.state != .dead else { return }
        connection.publish()
        if reason == .memoryRefused || reason == .protocolViolation {
            _ = SocketPacket.end(reason: reason == .memoryRefused ? 1 : 2).send(to: connection.socket)
        }
        switch connection.state {
        case .established: pending.append(.disconnected(id, reason))
        case .requested where listener < 0: pending.append(.rejected(id, .unreachable))
        case .requested: pending.append(.disconnected(id, reason))
        default: break
        }
        bury(connection)
    }

    /// Closes the socket; the object stays while messages of it are held.
    private func bury(_ connection: SharedMemoryConnection) {
        connection.state = .dead
        Glibc.shutdown(connection.socket, Int32(SHUT_RDWR))
        _ = epoll_ctl(pollDescriptor, EPOLL_CTL_DEL, connection.socket, nil)
        let isReported = pending.contains { event in
            if case .received(let message) = event { message.connection == connection.id } else { false }
        }
        if !connection.holdsMessages, !isReported { connections.remove(connection.id) }
    }

    private static func makeSocket() throws(FabricError) -> Int32 {
        let descriptor = clinux_packet_socket()
        guard descriptor >= 0 else {
            throw FabricError(.system, operation: "socket", errorNumber: errno, "cannot create a Unix socket")
        }
        return descriptor
    }

    private static func fill(_ address: inout sockaddr_un, path: String) throws(FabricError) -> socklen_t {
        let length = unsafe clinux_unix_address(&address, path)
        guard length > 0 else {
            throw FabricError(.address, operation: "bind", "the socket path \(path) is longer than 107 bytes")
        }
        return length
    }

    private static func withSocketAddress<T>(
        _ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>) -> T
    ) -> T {
        unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) }
        }
    }
}
