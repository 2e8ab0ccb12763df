internal import CVerbs
import Glibc

/// The service that a connection identifier asks for. Source: `rdma_create_id(3)`.
public enum ConnectionService: Sendable {
    /// Reliable connections (`RDMA_PS_TCP`).
    case connected
    /// Datagrams, and multicast groups (`RDMA_PS_UDP`).
    case datagram
}

/// One end of a connection as librdmacm knows it (`rdma_cm_id`).
///
/// Life of an active end: ``resolveAddress(host:port:timeoutMilliseconds:)``,
/// ``resolveRoute(timeoutMilliseconds:)``, a ``QueuePair``, ``connect(_:)``, each answered by an event on the channel.
/// Of a passive one: ``bind(host:port:)``, ``listen(backlog:)``, then each request brings an identifier of its own, for
/// a ``QueuePair`` and ``accept(_:)`` or ``reject(privateData:)``.
/// - Ownership: destroyed with the last reference. Keeps its event channel open; kept alive by its queue pair.
/// - Threading: one thread.
@safe public final class ConnectionIdentifier {
    let raw: UnsafeMutablePointer<rdma_cm_id>
    private let channel: EventChannel?

    /// A new one, reporting to `channel` (nil: its calls block instead).
    public init(channel: EventChannel?, service: ConnectionService = .connected) throws(FabricError) {
        var raw: UnsafeMutablePointer<rdma_cm_id>?
        let space = service == .connected ? RDMA_PS_TCP : RDMA_PS_UDP
        let result = unsafe rdma_create_id(channel?.raw, &raw, nil, space)
        guard result == 0, let raw = unsafe raw else {
            if errno == ENOENT || errno == ENODEV {
                throw FabricError(
                    .noDevice, operation: "rdma_create_id",
                    "no RDMA connection manager: /dev/infiniband/rdma_cm is missing")
            }
            throw FabricError(
                .system, operation: "rdma_create_id", errorNumber: errno, "cannot reach the RDMA connection manager")
        }
        unsafe self.raw = raw
        self.channel = channel
    }

    /// One that a connection request brought.
    init(adopting raw: UnsafeMutablePointer<rdma_cm_id>, channel: EventChannel) {
        unsafe self.raw = raw
        self.channel = channel
    }

    deinit { unsafe rdma_destroy_id(raw) }

    /// A number of yours, which comes back with each event.
    public var tag: UInt64 {
        get { unsafe UInt64(UInt(bitPattern: raw.pointee.context)) }
        set { unsafe raw.pointee.context = unsafe UnsafeMutableRawPointer(bitPattern: UInt(newValue)) }
    }

    /// The device, once the address is bound or resolved.
    public var context: DeviceContext? { unsafe raw.pointee.verbs.map { unsafe DeviceContext(borrowing: $0) } }

    /// The port it is bound to.
    public var localPort: UInt16 { unsafe cverbs_local_port(raw) }

    /// The peer's address as text.
    public func describePeer() -> String {
        var host = [CChar](repeating: 0, count: 64)
        var port = [CChar](repeating: 0, count: 16)
        guard let address = unsafe cverbs_peer_address(raw) else { return "unknown peer" }
        let length = unsafe socklen_t(
            Int32(address.pointee.sa_family) == AF_INET6
                ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
        let result = unsafe getnameinfo(address, length, &host, 64, &port, 16, NI_NUMERICHOST | NI_NUMERICSERV)
        guard result == 0 else { return "unknown peer" }
        func text(_ chars: [CChar]) -> String {
            String(decoding: chars.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        return "\(text(host)):\(text(port))"
    }

    /// Binds it to an address of a local device; port 0 takes a free one. `rdma_bind_addr(3)`.
    public func bind(host: String, port: UInt16) throws(FabricError) {
        unsafe try withAddress(host, port, passive: true) { address throws(FabricError) in
            try VerbsCall.checkMinusOne(
                "rdma_bind_addr", unsafe rdma_bind_addr(raw, address),
                "cannot bind \(host):\(port) to an RDMA device (does the address belong to one? see rdmad doctor)")
        }
    }

    /// Takes connection requests: ``ConnectionEvent/Kind/connectRequest`` events. `rdma_listen(3)`.
    public func listen(backlog: Int32) throws(FabricError) {
        try VerbsCall.checkMinusOne("rdma_listen", unsafe rdma_listen(raw, backlog), "cannot listen")
    }

    /// Finds the device that reaches an address; ``ConnectionEvent/Kind/addressResolved`` follows.
    /// `rdma_resolve_addr(3)`.
    public func resolveAddress(host: String, port: UInt16, timeoutMilliseconds: Int32) throws(FabricError) {
        unsafe try withAddress(host, port, passive: false) { address throws(FabricError) in
            try VerbsCall.checkMinusOne(
                "rdma_resolve_addr", unsafe rdma_resolve_addr(raw, nil, address, timeoutMilliseconds),
                "no RDMA device reaches \(host):\(port)")
        }
    }

    /// Finds the way; ``ConnectionEvent/Kind/routeResolved`` follows. `rdma_resolve_route(3)`.
    public func resolveRoute(timeoutMilliseconds: Int32) throws(FabricError) {
        try needDevice("rdma_resolve_route")
        try VerbsCall.checkMinusOne(
            "rdma_resolve_route", unsafe rdma_resolve_route(raw, timeoutMilliseconds), "no route")
    }

    /// Sets the time without an acknowledgement after which a packet is sent again: 4.096 µs × 2^code. Before
    /// connecting. `rdma_set_option(3)`.
    public func setAcknowledgementTimeout(code: UInt8) throws(FabricError) {
        var code = code
        let result = unsafe rdma_set_option(
            raw, Int32(RDMA_OPTION_ID.rawCode), Int32(RDMA_OPTION_ID_ACK_TIMEOUT.rawCode), &code, 1)
        try VerbsCall.checkMinusOne("rdma_set_option", result, "cannot set the acknowledgement timeout")
    }

    /// Lets an address be bound again while an old connection of it lingers. Before binding.
    public func setReuseAddress(_ isOn: Bool) throws(FabricError) {
        var value: Int32 = isOn ? 1 : 0
        let result = unsafe rdma_set_option(
            raw, Int32(RDMA_OPTION_ID.rawCode), Int32(RDMA_OPTION_ID_REUSEADDR.rawCode), &value, 4)
        try VerbsCall.checkMinusOne("rdma_set_option", result, "cannot reuse the address")
    }

    /// Asks the peer; ``ConnectionEvent/Kind/established`` or ``ConnectionEvent/Kind/rejected`` follows.
    /// `rdma_connect(3)`.
    public func connect(_ parameters: ConnectionParameters = ConnectionParameters()) throws(FabricError) {
        try needDevice("rdma_connect")
        unsafe try with(parameters) { raw throws(FabricError) in
            try VerbsCall.checkMinusOne("rdma_connect", unsafe rdma_connect(self.raw, raw), "cannot connect")
        }
    }

    /// Agrees to a request; ``ConnectionEvent/Kind/established`` follows. `rdma_accept(3)`.
    public func accept(_ parameters: ConnectionParameters = ConnectionParameters()) throws(FabricError) {
        try needDevice("rdma_accept")
        unsafe try with(parameters) { raw throws(FabricError) in
            try VerbsCall.checkMinusOne("rdma_accept", unsafe rdma_accept(self.raw, raw), "cannot accept")
        }
    }

    /// Agrees to a datagram request: tells the peer which queue pair to send to.
    public func accept(datagrams queuePair: UInt32, privateData: [UInt8] = []) throws(FabricError) {
        var parameters = ConnectionParameters()
        parameters.privateData = privateData
        parameters.queuePair = queuePair
        try accept(parameters)
    }

    /// Refuses a request. `rdma_reject(3)`.
    public func reject(privateData: [UInt8]) {
        _ = unsafe privateData.withUnsafeBytes { unsafe rdma_reject(raw, $0.baseAddress, UInt8($0.count)) }
    }

    /// Ends the connection: what is posted comes back flushed, and the peer gets ``ConnectionEvent/Kind/disconnected``.
    /// It must answer with a `disconnect()` of its own; then this end gets the event too. `rdma_disconnect(3)`.
    public func disconnect() { _ = unsafe rdma_disconnect(raw) }

    /// Joins a multicast group with the identifier's queue pair; ``ConnectionEvent/Kind/multicastJoined`` follows and
    /// says where to send. `rdma_join_multicast(3)`.
    public func joinMulticast(_ group: String) throws(FabricError) {
        try needDevice("rdma_join_multicast")
        unsafe try withAddress(group, 0, passive: false) { address throws(FabricError) in
            try VerbsCall.checkMinusOne(
                "rdma_join_multicast", unsafe rdma_join_multicast(raw, address, nil), "cannot join \(group)")
        }
    }

    /// Leaves a multicast group. `rdma_leave_multicast(3)`.
    public func leaveMulticast(_ group: String) throws(FabricError) {
        unsafe try withAddress(group, 0, passive: false) { address throws(FabricError) in
            try VerbsCall.checkMinusOne(
                "rdma_leave_multicast", unsafe rdma_leave_multicast(raw, address), "cannot leave \(group)")
        }
    }

    /// librdmacm reads through a null pointer where there is no device yet.
    private func needDevice(_ operation: String) throws(FabricError) {
        guard unsafe raw.pointee.verbs != nil else {
            throw FabricError(
                .state, operation: operation, "the identifier has no device yet: bind it or resolve an address first")
        }
    }

    private func with(
        _ parameters: ConnectionParameters,
        _ body: (UnsafeMutablePointer<rdma_conn_param>) throws(FabricError) -> Void
    ) throws(FabricError) {
        precondition(parameters.privateData.count <= 255)
        var failure: FabricError?
        unsafe parameters.privateData.withUnsafeBytes { data in
            var raw = unsafe rdma_conn_param()
            unsafe raw.private_data = data.baseAddress
            unsafe raw.private_data_len = UInt8(data.count)
            unsafe raw.responder_resources = parameters.readsServedMax
            unsafe raw.initiator_depth = parameters.readsInFlightMax
            unsafe raw.retry_count = parameters.retryCount
            unsafe raw.rnr_retry_count = parameters.receiverNotReadyRetryCount
            unsafe raw.qp_num = parameters.queuePair
            do throws(FabricError) { unsafe try body(&raw) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func withAddress(
        _ host: String, _ port: UInt16, passive: Bool,
        _ body: (UnsafeMutablePointer<sockaddr>) throws(FabricError) -> Void
    ) throws(FabricError) {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, String(port), &hints, &list)
        guard result == 0, let first = unsafe list else {
            throw FabricError(
                .address, operation: "getaddrinfo",
                "cannot resolve \(host): \(unsafe String(cString: gai_strerror(result)))")
        }
        defer { unsafe freeaddrinfo(list) }
        unsafe try body(first.pointee.ai_addr)
    }
}

/// What the two ends of a connection agree on. librdmacm's own zeros would allow no RDMA READ at all. Source:
/// `rdma_connect(3)`.
public struct ConnectionParameters: Sendable {
    /// Bytes for the peer to see: 56 with a connect, 196 with an accept; it may see zeros behind them.
    public var privateData: [UInt8] = []
    /// RDMA READs and atomics of the peer's served at once.
    public var readsServedMax: UInt8 = 16
    /// RDMA READs and atomics of ours under way at once.
    public var readsInFlightMax: UInt8 = 16
    /// How often a packet is sent again before the connection fails: 0...7. Soft-RoCE takes 7 for "for ever".
    public var retryCount: UInt8 = 6
    /// How often a packet is sent again that met no receive: 0...6. 7 would wait for ever and turn a bug into a hang.
    public var receiverNotReadyRetryCount: UInt8 = 6
    /// The queue pair, where the identifier has none of its own (datagrams).
    public var queuePair: UInt32 = 0

    /// The defaults.
    public init() {}
}
