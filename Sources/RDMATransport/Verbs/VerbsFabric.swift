internal import CLinux
internal import CVerbs
import Glibc

/// The fabric over libibverbs and librdmacm: any RDMA device, and Soft-RoCE.
///
/// One protection domain and one completion queue serve all connections. A work request's id is the connection's
/// index and generation with a sequence number or buffer slot, never a pointer: a late completion of an old
/// connection matches nothing.
/// - Threading: one thread. SeeAlso: ``Fabric``.
@safe package final class VerbsFabric: Fabric {
    package let limits: FabricLimits
    package let pollDescriptor: Int32
    package let context: DeviceContext
    package let domain: ProtectionDomain
    let configuration: FabricConfiguration
    let channel: EventChannel
    /// Completions of what was received, and of what was sent. Two queues, so that one can sleep for messages and not
    /// be woken to learn that its own have arrived.
    let receives: CompletionQueue
    let sends: CompletionQueue
    let readDepth: UInt8
    let peerTimeout: PeerTimeout
    /// Ends a sleep when the idle connections must be probed.
    let probeTimer: Int32
    var nextProbe: UInt64
    private var listener: ConnectionIdentifier?
    var connections: ConnectionTable<VerbsConnection>
    /// What the hot path touches, at a fixed place.
    let lanes: UnsafeMutablePointer<VerbsLanes>
    private var regions = RegionTable()
    var draining: [VerbsConnection] = []
    /// Reported as rejected in the last poll; kept until the next one, for their private data.
    var refused: [VerbsConnection] = []
    var reservedCompletions = 0
    package internal(set) var lastError: FabricError?
    /// For tests that play a foreign client.
    var greetingOverride: [UInt8]?
    /// What was asked of the device, for figures and tests.
    package var statistics: VerbsStatistics { unsafe lanes.pointee.statistics }

    /// A fabric that listens at an address of a local device.
    package convenience init(
        listening host: String, port: UInt16, configuration: FabricConfiguration
    ) throws(FabricError) {
        let channel = try EventChannel()
        let listener = try ConnectionIdentifier(channel: channel)
        try listener.bind(host: host, port: port)
        let context = try Self.context(of: listener)
        try self.init(context: context, channel: channel, configuration: configuration)
        listener.tag = 0
        try listener.listen(backlog: 128)
        self.listener = listener
    }

    /// A fabric on the device that reaches an address.
    package convenience init(
        towards host: String, port: UInt16, configuration: FabricConfiguration
    ) throws(FabricError) {
        let channel = try EventChannel()
        let probe = try ConnectionIdentifier(channel: nil)
        try probe.resolveAddress(host: host, port: port, timeoutMilliseconds: 5000)
        guard let context = probe.context else {
            throw FabricError(.noDevice, operation: "rdma_resolve_addr", "no RDMA device reaches \(host)")
        }
        try self.init(context: context, channel: channel, configuration: configuration)
    }

    private init(context: DeviceContext, channel: EventChannel, configuration: FabricConfiguration) throws(FabricError)
    {
        precondition(configuration.connectionsMax <= 1 << 16, "a work request's id carries 16 bits of the connection")
        self.context = context
        self.channel = channel
        self.configuration = configuration
        let attributes = try context.attributes()
        var limits = configuration.limits
        limits.transferBytesMax = try context.port(1).messageBytesMax
        self.limits = limits
        readDepth = UInt8(clamping: min(attributes.readsInFlightMax, attributes.readsAsInitiatorMax, 16))
        domain = try ProtectionDomain(context: context)
        let depthMax = min(attributes.completionsMax, 32_767)
        let depth =
            configuration.completionQueueDepth == 0 ? depthMax : min(configuration.completionQueueDepth, depthMax)
        receives = try CompletionQueue(context: context, depth: depth)
        sends = try CompletionQueue(context: context, depth: depth)
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        peerTimeout = PeerTimeout(milliseconds: configuration.peerTimeoutMilliseconds)
        nextProbe = monotonicNanoseconds() + peerTimeout.probeNanoseconds
        probeTimer = clinux_timer(peerTimeout.probeNanoseconds)
        pollDescriptor = clinux_epoll_create()
        unsafe lanes = .allocate(capacity: 1)
        unsafe lanes.initialize(to: VerbsLanes(capacity: configuration.connectionsMax))
        guard pollDescriptor >= 0, probeTimer >= 0,
            clinux_epoll_add(pollDescriptor, channel.descriptor, 0, UInt32(EPOLLIN.rawValue)) == 0,
            clinux_epoll_add(pollDescriptor, receives.descriptor, 1, UInt32(EPOLLIN.rawValue)) == 0,
            clinux_epoll_add(pollDescriptor, sends.descriptor, 3, UInt32(EPOLLIN.rawValue)) == 0,
            clinux_epoll_add(pollDescriptor, probeTimer, 2, UInt32(EPOLLIN.rawValue)) == 0
        else {
            throw FabricError(.system, operation: "epoll_ctl", errorNumber: errno, "cannot watch the device")
        }
    }

    deinit {
        shutdown()
        close(pollDescriptor)
        close(probeTimer)
        unsafe lanes.pointee.deallocate()
        unsafe lanes.deinitialize(count: 1)
        unsafe lanes.deallocate()
    }

    /// The device that an address belongs to; for a wildcard address the first there is.
    private static func context(of listener: ConnectionIdentifier) throws(FabricError) -> DeviceContext {
        if let context = listener.context { return context }
        var count: Int32 = 0
        guard let list = unsafe rdma_get_devices(&count), count > 0, let first = unsafe list[0] else {
            throw FabricError(.noDevice, operation: "rdma_get_devices", "there is no RDMA device (see rdmad doctor)")
        }
        defer { unsafe rdma_free_devices(list) }
        return unsafe DeviceContext(borrowing: first)
    }

    /// The port of the listener.
    package var localPort: UInt16 { listener?.localPort ?? 0 }

    /// Entries of each completion queue that are not promised to a connection.
    package var unreservedCompletions: Int { receives.depth - reservedCompletions }

    // MARK: Connecting

    /// Asks a listener for a connection; `.established` or `.rejected` follows.
    package func connect(host: String, port: UInt16, privateData: [UInt8]) throws(FabricError) -> ConnectionID {
        precondition(privateData.count <= limits.privateDataBytesMax)
        let identifier = try ConnectionIdentifier(channel: channel)
        try identifier.resolveAddress(host: host, port: port, timeoutMilliseconds: 5000)
        let connection = try insert(identifier, state: .resolvingAddress)
        connection.privateData = privateData
        return connection.id
    }

    func insert(
        _ identifier: ConnectionIdentifier, state: VerbsConnection.State
    ) throws(FabricError) -> VerbsConnection {
        let needed = VerbsConnection.completionsNeeded(configuration)
        guard unreservedCompletions >= needed, !connections.isFull else {
            if state == .requested { identifier.reject(privateData: greeting([]).encoded) }
            throw FabricError(
                .limit, operation: "connect",
                "no room for another connection: \(connections.count) of \(configuration.connectionsMax) taken, "
                    + "\(unreservedCompletions) of \(receives.depth) completion queue entries left, \(needed) needed"
            )
        }
        let awaited = unsafe lanes.pointee.awaited
        let connection = try connections.insert { id throws(FabricError) in
            identifier.tag = UInt64(id.generation) << 32 | UInt64(id.index) + 1
            return unsafe VerbsConnection(
                id: id, identifier: identifier, state: state, configuration: configuration, awaited: awaited)
        }!
        reservedCompletions += needed
        unsafe lanes.pointee.table.add(connection.lane)
        return connection
    }

    func greeting(_ privateData: [UInt8]) -> TransportGreeting {
        TransportGreeting(
            messagesInFlight: configuration.messagesInFlight, messageBufferBytes: configuration.messageBufferBytes,
            privateData: privateData)
    }

    func parameters(_ privateData: [UInt8]) -> ConnectionParameters {
        var parameters = ConnectionParameters()
        parameters.privateData = privateData
        parameters.readsServedMax = readDepth
        parameters.readsInFlightMax = readDepth
        parameters.retryCount = PeerTimeout.retryCount
        return parameters
    }

    package func accept(_ id: ConnectionID, privateData: [UInt8]) throws(FabricError) {
        guard let connection = connections[id], connection.state == .requested else {
            throw FabricError(.state, operation: "accept", "\(id) is not waiting to be accepted")
        }
        do throws(FabricError) {
            try connection.identifier!.setAcknowledgementTimeout(code: peerTimeout.acknowledgementTimeoutCode)
            try connection.prepare(sends: sends, receives: receives, domain: domain)
            try connection.identifier!.accept(parameters(greeting(privateData).encoded))
            connection.state = .accepting
        } catch {
            connection.identifier?.reject(privateData: greeting([]).encoded)
            drain(connection, .transportError)
            throw error
        }
    }

    package func reject(_ id: ConnectionID, privateData: [UInt8]) {
        guard let connection = connections[id], connection.state == .requested else { return }
        connection.identifier!.reject(privateData: greeting(privateData).encoded)
        finish(connection)
    }

    package func privateData(of id: ConnectionID) -> [UInt8] { connections[id]?.privateData ?? [] }

    package func peerDescription(of id: ConnectionID) -> String { connections[id]?.peer ?? "gone" }

    package func disconnect(_ id: ConnectionID) {
        guard let connection = connections[id] else { return }
        drain(connection, .closed)
    }

    // MARK: Memory

    package func register(_ memory: MemoryBlock, access: PeerAccess) throws(FabricError) -> RegionID {
        let rights: MemoryAccess =
            switch access {
            case .none: .localWrite
            case .read: .remoteRead
            case .write: [.localWrite, .remoteWrite]
            }
        let region = try MemoryRegion(memory, access: rights, in: domain)
        guard let id = unsafe lanes.pointee.regions.add(memory.bytes, region.localKey) else {
            throw FabricError(.limit, operation: "register", "65,535 regions are registered already")
        }
        regions.insert(region, as: id)
        return id
    }

    package var pinningDomain: ProtectionDomain? { domain }

    package func register(_ file: PinnedFile) throws(FabricError) -> RegionID {
        guard let id = unsafe lanes.pointee.regions.add(file.bytes, file.localKey) else {
            throw FabricError(.limit, operation: "register", "65,535 regions are registered already")
        }
        return id
    }

    package func unregister(_ region: RegionID) {
        unsafe lanes.pointee.regions.remove(region)
        regions.remove(region)
    }

    package func share(_ region: RegionID, on connection: ConnectionID) throws(FabricError) -> RemoteRegion {
        regions.remote(region)
    }

    package func shutdown() {
        listener = nil
        for connection in connections.all where connection.state != .dead { drain(connection, .closed) }
        let deadline = monotonicNanoseconds() + 1_000_000_000
        var events: [FabricEvent] = []
        while !draining.isEmpty, monotonicNanoseconds() < deadline { _ = poll(into: &events) }
        for connection in connections.all {
            connection.destroy(into: &events)
            unsafe lanes.pointee.table.remove(connection.lane)
        }
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        draining = []
        regions.removeAll()
    }
}
