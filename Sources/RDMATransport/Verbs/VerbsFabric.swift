internal import CLinux
internal import CVerbs
import Glibc

/// The fabric over libibverbs and librdmacm: any RDMA device, and Soft-RoCE.
///
/// One protection domain and one completion queue serve all connections. A work request's id is the connection's
/// index and generation with a sequence number or buffer slot, never a pointer: a late completion of an old
/// connection matches nothing.
/// - Threading: one thread. SeeAlso: ``Fabric``.
package final class VerbsFabric: Fabric {
    package let limits: FabricLimits
    package let pollDescriptor: Int32
    package let context: DeviceContext
    package let domain: ProtectionDomain
    private let configuration: FabricConfiguration
    private let channel: EventChannel
    private let completions: CompletionQueue
    private let readDepth: UInt8
    private var listener: ConnectionIdentifier?
    var connections: ConnectionTable<VerbsConnection>
    /// Generations by table index, for matching the 15 bits in a work request's id.
    private var byIndex: [UInt32: VerbsConnection] = [:]
    private var regions: RegionTable
    private var pending: [FabricEvent] = []
    private var draining: [VerbsConnection] = []
    private var reservedCompletions = 0
    private var pollsUntilEvents = 0
    package private(set) var lastError: FabricError?
    /// For tests that play a foreign client.
    var greetingOverride: [UInt8]?
    /// What was asked of the device, for figures and tests.
    package private(set) var statistics = VerbsStatistics()

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
        self.listener = consume listener
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
        completions = try CompletionQueue(context: context, depth: depth)
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        regions = RegionTable()
        pollDescriptor = clinux_epoll_create()
        guard pollDescriptor >= 0,
            clinux_epoll_add(pollDescriptor, channel.descriptor, 0, UInt32(EPOLLIN.rawValue)) == 0,
            clinux_epoll_add(pollDescriptor, completions.descriptor, 1, UInt32(EPOLLIN.rawValue)) == 0
        else {
            throw FabricError(.system, operation: "epoll_ctl", errorNumber: errno, "cannot watch the device")
        }
    }

    deinit {
        shutdown()
        close(pollDescriptor)
    }

    /// The device that an address belongs to; for a wildcard address the first there is.
    private static func context(of listener: borrowing ConnectionIdentifier) throws(FabricError) -> DeviceContext {
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

    /// Entries of the completion queue that are not promised to a connection.
    package var unreservedCompletions: Int { completions.depth - reservedCompletions }

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

    private func insert(
        _ identifier: consuming ConnectionIdentifier, state: VerbsConnection.State
    ) throws(FabricError) -> VerbsConnection {
        let needed = VerbsConnection.completionsNeeded(configuration)
        guard unreservedCompletions >= needed, !connections.isFull else {
            if state == .requested { identifier.reject(privateData: greeting([]).encoded) }
            throw FabricError(
                .limit, operation: "connect",
                "no room for another connection: \(connections.count) of \(configuration.connectionsMax) taken, "
                    + "\(unreservedCompletions) of \(completions.depth) completion queue entries left, \(needed) needed"
            )
        }
        var owned: ConnectionIdentifier? = consume identifier
        let connection = try connections.insert { id throws(FabricError) in
            let identifier = owned.take()!
            identifier.tag = UInt64(id.generation) << 32 | UInt64(id.index) + 1
            return VerbsConnection(id: id, identifier: identifier, state: state, configuration: configuration)
        }!
        reservedCompletions += needed
        byIndex[connection.id.index] = connection
        return connection
    }

    private func greeting(_ privateData: [UInt8]) -> TransportGreeting {
        TransportGreeting(
            messagesInFlight: configuration.messagesInFlight, messageBufferBytes: configuration.messageBufferBytes,
            privateData: privateData)
    }

    package func accept(_ id: ConnectionID, privateData: [UInt8]) throws(FabricError) {
        guard let connection = connections[id], connection.state == .requested else {
            throw FabricError(.state, operation: "accept", "\(id) is not waiting to be accepted")
        }
        do throws(FabricError) {
            connection.identifier!.setAcknowledgementTimeout(code: 14)
            try connection.prepare(completions: completions, domain: domain)
            try connection.identifier!.accept(privateData: greeting(privateData).encoded, readDepth: readDepth)
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
        return regions.insert(try MemoryRegion(memory, access: rights, in: domain))
    }

    package func unregister(_ region: RegionID) { regions.remove(region) }

    package func share(_ region: RegionID, on connection: ConnectionID) throws(FabricError) -> RemoteRegion {
        regions.remote(region)
    }

    // MARK: Data

    package func send(on id: ConnectionID, _ encode: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult {
        unsafe connections[id]?.send(isCreditsOnly: false, encode) ?? .closed
    }

    package func read(
        on id: ConnectionID, from remote: RemoteSlice, into local: LocalSlice, token: UInt64
    ) -> PostResult {
        connections[id]?.transfer(.read(remote), regions.piece(local), nil, token: token) ?? .closed
    }

    package func write(
        on id: ConnectionID, _ first: LocalSlice, _ second: LocalSlice?, to remote: RemoteSlice, immediate: UInt32?,
        token: UInt64
    ) -> PostResult {
        let operation: SendChain.Operation =
            if let immediate { .writeWithImmediate(remote, immediate) } else { .write(remote) }
        return connections[id]?.transfer(
            operation, regions.piece(first), second.map { regions.piece($0) }, token: token) ?? .closed
    }

    /// Atomically replaces eight bytes of the peer's memory if they equal `compare`; the old ones land in `local`.
    package func compareAndSwap(
        on id: ConnectionID, _ remote: RemoteSlice, compare: UInt64, swap: UInt64, into local: LocalSlice, token: UInt64
    ) -> PostResult {
        precondition(local.count == 8)
        return connections[id]?.transfer(
            .compareAndSwap(remote, compare: compare, swap: swap), regions.piece(local), nil, token: token) ?? .closed
    }

    package func flush() {
        connections.forEach { connection in
            if !connection.flush(&statistics) { failed.append(connection) }
        }
        guard !failed.isEmpty else { return }
        for connection in failed { drain(connection, .transportError) }
        failed.removeAll()
    }
    private var failed: [VerbsConnection] = []
    /// Reported as rejected in the last poll; kept until the next one, for their private data.
    private var refused: [VerbsConnection] = []

    // MARK: Events

    package func poll(into events: inout [FabricEvent]) -> Int {
        let before = events.count
        if !refused.isEmpty {
            for connection in refused { finish(connection) }
            refused.removeAll()
        }
        if !pending.isEmpty {
            events.append(contentsOf: pending)
            pending.removeAll(keepingCapacity: true)
        }
        if pollsUntilEvents == 0 {
            pollsUntilEvents = 64
            while let event = channel.next() { handle(event, into: &events) }
        }
        pollsUntilEvents -= 1
        pollCompletions(into: &events)
        connections.forEach { if $0.takeWritable() { events.append(.writable($0.id)) } }
        if !draining.isEmpty { finishDrained(into: &events) }
        return events.count - before
    }

    package func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        guard let connection = connections[message.connection] else { preconditionFailure("message already released") }
        return unsafe connection.bytes(of: message)
    }

    package func release(_ message: ReceivedMessage) {
        guard let connection = connections[message.connection] else { preconditionFailure("message already released") }
        connection.release(message)
        if connection.state == .dead, !connection.holdsMessages { finish(connection) }
    }

    package func prepareToSleep() -> Bool {
        flush()
        pollsUntilEvents = 0
        completions.takeEvents()
        completions.arm()
        guard pending.isEmpty, draining.isEmpty else { return false }
        // What came before the queue was armed makes no event.
        pollCompletions(into: &pending)
        connections.forEach { if $0.takeWritable() { pending.append(.writable($0.id)) } }
        return pending.isEmpty && draining.isEmpty
    }

    package func shutdown() {
        listener = nil
        for connection in connections.all where connection.state != .dead { drain(connection, .closed) }
        let deadline = monotonicNanoseconds() + 1_000_000_000
        var events: [FabricEvent] = []
        while !draining.isEmpty, monotonicNanoseconds() < deadline { _ = poll(into: &events) }
        for connection in connections.all { connection.destroy(into: &events) }
        connections = ConnectionTable(capacity: configuration.connectionsMax)
        byIndex = [:]
        draining = []
        regions.removeAll()
    }
}

// MARK: - What the device and the connection manager report

extension VerbsFabric {
    private func pollCompletions(into events: inout [FabricEvent]) {
        // Bounded, so that one busy peer cannot keep the caller here.
        for _ in 0..<4 {
            let count = completions.poll()
            statistics.completions += count
            for index in 0..<count { handle(completions[index], into: &events) }
            if count < CompletionQueue.batchMax { return }
        }
    }

    private func handle(_ completion: WorkCompletion, into events: inout [FabricEvent]) {
        let id = completion.workID
        let index = UInt32(id >> 32 & 0xffff)
        guard let connection = byIndex[index], connection.id.generation & 0x7fff == UInt32(id >> 48 & 0x7fff),
            connection.state != .dead
        else { return }
        let number = UInt32(truncatingIfNeeded: id)
        if connection.state == .accepting, completion.status == .success { establish(connection, into: &events) }
        if id >> 63 == 1 {
            if !connection.received(slot: number, completion, into: &events) { drain(connection, .protocolViolation) }
        } else {
            connection.completed(sequence: number, TransferStatus(completion.status), into: &events)
        }
        if completion.status != .success, connection.state == .established || connection.state == .accepting {
            // The queue pair is in the error state already; a flush without a cause is the peer's hang-up.
            let reason: DisconnectReason =
                switch completion.status {
                case .flushed: .closed
                case .retryExceeded: .peerDead
                default: .transportError
                }
            drain(connection, reason)
        }
    }

    private func establish(_ connection: VerbsConnection, into events: inout [FabricEvent]) {
        connection.established()
        events.append(.established(connection.id))
    }

    private func handle(_ event: ConnectionEvent, into events: inout [FabricEvent]) {
        if event.kind == RDMA_CM_EVENT_CONNECT_REQUEST { return requested(event, into: &events) }
        guard event.tag != 0 else { return }
        let id = ConnectionID(
            index: UInt32(truncatingIfNeeded: event.tag) - 1, generation: UInt32(event.tag >> 32))
        guard let connection = connections[id], connection.state != .dead else { return }
        do throws(FabricError) {
            switch (event.kind, connection.state) {
            case (RDMA_CM_EVENT_ADDR_RESOLVED, .resolvingAddress):
                connection.state = .resolvingRoute
                connection.identifier!.setAcknowledgementTimeout(code: 14)
                try connection.identifier!.resolveRoute(timeoutMilliseconds: 5000)
            case (RDMA_CM_EVENT_ROUTE_RESOLVED, .resolvingRoute):
                connection.peer = connection.identifier!.describePeer()
                connection.state = .connecting
                try connection.prepare(completions: completions, domain: domain)
                let hello = greetingOverride ?? greeting(connection.privateData).encoded
                try connection.identifier!.connect(privateData: hello, readDepth: readDepth)
            case (RDMA_CM_EVENT_ESTABLISHED, .connecting):
                guard case .greeting(let greeting) = TransportGreeting.parse(event.privateData) else {
                    return refuse(connection, .versionMismatch, into: &events)
                }
                connection.adopt(greeting)
                establish(connection, into: &events)
            case (RDMA_CM_EVENT_ESTABLISHED, .accepting):
                establish(connection, into: &events)
            case (RDMA_CM_EVENT_REJECTED, .connecting):
                var failure = ConnectFailure.nobodyListens
                switch TransportGreeting.parse(event.privateData) {
                case .greeting(let greeting):
                    connection.privateData = greeting.privateData
                    failure = .rejectedByPeer
                case .versionMismatch: failure = .versionMismatch
                case .garbage: break
                }
                refuse(connection, failure, into: &events)
            case (RDMA_CM_EVENT_REJECTED, .accepting):
                drain(connection, .closed)
            case (RDMA_CM_EVENT_ADDR_ERROR, _), (RDMA_CM_EVENT_ROUTE_ERROR, _), (RDMA_CM_EVENT_UNREACHABLE, _),
                (RDMA_CM_EVENT_CONNECT_ERROR, _):
                refuse(connection, .unreachable, into: &events)
            case (RDMA_CM_EVENT_DISCONNECTED, _), (RDMA_CM_EVENT_DEVICE_REMOVAL, _):
                // What arrived before the hang-up is still in the completion queue.
                pollCompletions(into: &events)
                if connection.state == .established || connection.state == .accepting { drain(connection, .closed) }
            default: break
            }
        } catch {
            lastError = error
            refuse(connection, .localError, into: &events)
        }
    }

    private func requested(_ event: ConnectionEvent, into events: inout [FabricEvent]) {
        let identifier = unsafe ConnectionIdentifier(adopting: event.identifier, channel: channel)
        guard case .greeting(let greeting) = TransportGreeting.parse(event.privateData),
            unsafe identifier.raw.pointee.verbs == context.raw
        else { return identifier.reject(privateData: self.greeting([]).encoded) }
        let peer = identifier.describePeer()
        guard let connection = try? insert(identifier, state: .requested) else { return }
        connection.adopt(greeting)
        connection.peer = peer
        events.append(.requested(connection.id))
    }

    /// A connect that came to nothing.
    private func refuse(_ connection: VerbsConnection, _ failure: ConnectFailure, into events: inout [FabricEvent]) {
        guard connection.state != .accepting, connection.state != .established else {
            return drain(connection, .transportError)
        }
        var flushed: [FabricEvent] = []
        connection.destroy(into: &flushed)
        events.append(.rejected(connection.id, failure))
        refused.append(connection)
    }

    /// Begins a connection's end; `.disconnected` follows when everything posted has come back.
    private func drain(_ connection: VerbsConnection, _ reason: DisconnectReason) {
        guard connection.state != .draining, connection.state != .dead else { return }
        connection.reason = reason
        connection.beginDrain()
        connection.drainDeadline = monotonicNanoseconds() + 2_000_000_000
        draining.append(connection)
    }

    private func finishDrained(into events: inout [FabricEvent]) {
        let now = monotonicNanoseconds()
        draining.removeAll { connection in
            guard connection.isDrained || now >= connection.drainDeadline else { return false }
            connection.destroy(into: &events)
            events.append(.disconnected(connection.id, connection.reason))
            if !connection.holdsMessages { finish(connection) }
            return true
        }
    }

    private func finish(_ connection: VerbsConnection) {
        reservedCompletions -= VerbsConnection.completionsNeeded(configuration)
        connections.remove(connection.id)
        byIndex[connection.id.index] = nil
    }
}

/// Counts since a fabric was made.
package struct VerbsStatistics: Sendable {
    /// Sends, READs and WRITEs posted.
    package internal(set) var requestsPosted = 0
    /// Calls that posted them.
    package internal(set) var doorbells = 0
    /// Completions taken, receives included.
    package internal(set) var completions = 0
}

extension TransferStatus {
    init(_ status: WorkCompletion.Status) {
        switch status {
        case .success: self = .success
        case .flushed: self = .flushed
        case .remoteAccess, .remoteInvalidRequest, .remoteOperation: self = .remoteAccessError
        default: self = .failed(status.rawValue)
        }
    }
}

/// Nanoseconds of the monotonic clock.
package func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
