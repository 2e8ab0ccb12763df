internal import CLinux
import Glibc

/// The fabric for processes on one node: a Unix socket to connect, sealed memfds passed across, rings in shared
/// memory. READ and WRITE are one memcpy done by the side that asks for them.
///
/// The socket carries the handshake, shared regions and wake-ups; its hang-up is the peer's death. A peer is woken
/// only when it announced that it sleeps, by a packet that never blocks: no descriptor that a peer holds too is ever
/// written in another way (a full eventfd would block us).
/// - Threading: one thread. SeeAlso: ``Fabric``.
@safe package final class SharedMemoryFabric: Fabric {
    package let limits: FabricLimits
    package let pollDescriptor: Int32
    let configuration: FabricConfiguration
    var connections: ConnectionTable<SharedMemoryConnection>
    /// What the hot path touches, at a fixed place.
    let lanes: UnsafeMutablePointer<SharedMemoryLanes>
    /// Keeps registered memory alive.
    private var registered: [RegionID: MemoryBlock] = [:]
    /// Reported as rejected; kept until the next poll, for their private data.
    var refused: [SharedMemoryConnection] = []
    var listeners: [Listener] = []
    /// Given up for a moment when the descriptor table is full, so that the connection can be taken and closed.
    var spareDescriptor: Int32

    /// A socket that peers connect to. All are in one poll set: idle ones cost nothing.
    struct Listener {
        let descriptor: Int32
        let path: String
        /// Connections that came by it and are not gone, in any state.
        var connectionCount = 0
    }

    package init(configuration: FabricConfiguration) throws(FabricError) {
        self.configuration = configuration
        limits = configuration.limits
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        unsafe lanes = .allocate(capacity: 1)
        unsafe lanes.initialize(to: SharedMemoryLanes(capacity: configuration.connectionsMax))
        pollDescriptor = clinux_epoll_create()
        guard pollDescriptor >= 0 else {
            unsafe lanes.pointee.deallocate()
            unsafe lanes.deallocate()
            throw FabricError(
                .system, operation: "epoll_create1", errorNumber: errno, "cannot create a poll descriptor")
        }
        spareDescriptor = unsafe clinux_open("/dev/null", O_RDONLY | O_CLOEXEC, 0)
    }

    deinit {
        shutdown()
        close(pollDescriptor)
        close(spareDescriptor)
        unsafe lanes.pointee.deallocate()
        unsafe lanes.deallocate()
    }

    // MARK: Connecting

    /// Listens on a Unix socket, one more with each call. A socket file that nobody listens on any more is replaced.
    /// - Parameter mode: Permissions of the socket file; nil for what the umask leaves.
    package func listen(path: String, mode: UInt32? = nil) throws(FabricError) {
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
        let tag = Self.listenerTag(listeners.count)
        guard outcome == 0, Glibc.listen(descriptor, 128) == 0,
            unsafe mode == nil || chmod(path, mode_t(mode!)) == 0,
            clinux_epoll_add(pollDescriptor, descriptor, tag, UInt32(EPOLLIN.rawValue)) == 0
        else {
            let number = errno
            close(descriptor)
            throw FabricError(.address, operation: "bind", errorNumber: number, "cannot listen on \(path)")
        }
        listeners.append(Listener(descriptor: descriptor, path: path))
    }

    /// What epoll gives back for a listener: no connection has such a large index.
    static func listenerTag(_ number: Int) -> UInt64 { .max - UInt64(number) }

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
        let slotBytes = unsafe SharedRing.slotBytes(forMessages: limits.messageBytesMax)
        let memory: MemoryBlock
        do throws(FabricError) {
            memory = try MemoryBlock(
                byteCount: SharedMemoryConnection.ringBytes(slotCount: slotCount, slotBytes: slotBytes),
                name: "rdmad-rings")
        } catch {
            reject(id, privateData: [])
            throw error
        }
        establish(connection, rings: memory, slotCount: slotCount, slotBytes: slotBytes, isServer: true)
        let packet = SocketPacket.accept(
            version: SocketPacket.version, slotCount: slotCount, slotBytes: UInt32(slotBytes), privateData: privateData)
        _ = packet.send(to: connection.socket, descriptor: memory.descriptor)
    }

    /// Opens the lane of a connection that both sides want, and reports it.
    func establish(
        _ connection: SharedMemoryConnection, rings memory: MemoryBlock, slotCount: UInt32, slotBytes: Int,
        isServer: Bool
    ) {
        unsafe lanes.pointee.add(
            connection.attach(
                rings: memory, slotCount: slotCount, slotBytes: slotBytes, isServer: isServer,
                configuration: configuration))
        connection.state = .established
        unsafe lanes.pointee.pending.append(.established(connection.id))
    }

    package func reject(_ id: ConnectionID, privateData: [UInt8]) {
        guard let connection = connections[id], connection.state == .requested else { return }
        _ = SocketPacket.reject(failure: 0, privateData: privateData).send(to: connection.socket)
        bury(connection)
    }

    package func privateData(of id: ConnectionID) -> [UInt8] { connections[id]?.privateData ?? [] }

    package func listener(of id: ConnectionID) -> Int { connections[id]?.listener ?? 0 }

    package func peerDescription(of id: ConnectionID) -> String { connections[id]?.peerDescription ?? "gone" }

    /// Connections in any state, those included whose messages are still held.
    package var connectionCount: Int { connections.count }

    package func disconnect(_ id: ConnectionID) { end(id, .closed) }

    // MARK: Memory

    package func register(_ memory: MemoryBlock, access: PeerAccess) throws(FabricError) -> RegionID {
        guard let region = unsafe lanes.pointee.regions.add(memory.bytes, access) else {
            throw FabricError(.limit, operation: "register", "65,535 regions are registered already")
        }
        registered[region] = memory
        return region
    }

    package var pinningDomain: ProtectionDomain? { nil }

    package func register(_ file: PinnedFile) throws(FabricError) -> RegionID {
        guard let region = unsafe lanes.pointee.regions.add(file.bytes, .none) else {
            throw FabricError(.limit, operation: "register", "65,535 regions are registered already")
        }
        return region
    }

    package func unregister(_ region: RegionID) {
        unsafe lanes.pointee.regions.remove(region)
        registered[region] = nil
    }

    package func share(_ region: RegionID, on id: ConnectionID) throws(FabricError) -> RemoteRegion {
        guard let memory = registered[region], let access = unsafe lanes.pointee.regions.detail(of: region),
            access != .none
        else {
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

    package func shutdown() {
        for connection in connections.all where connection.state != .dead { end(connection.id, .closed) }
        for connection in connections.all { remove(connection) }
        for listener in listeners {
            close(listener.descriptor)
            unsafe unlink(listener.path)
        }
        listeners = []
        for region in registered.keys { unsafe lanes.pointee.regions.remove(region) }
        registered = [:]
    }
}
