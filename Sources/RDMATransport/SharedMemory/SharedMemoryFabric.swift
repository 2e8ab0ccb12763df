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
    let configuration: FabricConfiguration
    var connections: ConnectionTable<SharedMemoryConnection>
    private var regions: [UInt32: (memory: MemoryBlock, access: PeerAccess)] = [:]
    private var nextRegion: UInt32 = 1
    /// Events that calls outside of `poll` caused.
    var pending: [FabricEvent] = []
    /// Reported as rejected; kept until the next poll, for their private data.
    var refused: [SharedMemoryConnection] = []
    var listener: Int32 = -1
    private var listenerPath: String?
    /// Given up for a moment when the descriptor table is full, so that the connection can be taken and closed.
    var spareDescriptor: Int32
    /// Polls until the sockets are looked at again: they matter less often than the rings.
    var pollsUntilSockets = 0
    static let listenerTag = UInt64.max

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
