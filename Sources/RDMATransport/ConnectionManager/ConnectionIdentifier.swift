internal import CVerbs
import Glibc

/// One end of a connection as librdmacm knows it (`rdma_cm_id`). Destroyed with the value; destroy its queue pair
/// first. Keeps its event channel open.
@safe struct ConnectionIdentifier: ~Copyable {
    let raw: UnsafeMutablePointer<rdma_cm_id>
    private let channel: EventChannel?

    /// A new one, reporting to `channel` (nil: its calls block instead).
    init(channel: EventChannel?) throws(FabricError) {
        var raw: UnsafeMutablePointer<rdma_cm_id>?
        let result = unsafe rdma_create_id(channel?.raw, &raw, nil, RDMA_PS_TCP)
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

    /// The user's number, which comes back with each event.
    var tag: UInt64 {
        get { unsafe UInt64(UInt(bitPattern: raw.pointee.context)) }
        nonmutating set { unsafe raw.pointee.context = unsafe UnsafeMutableRawPointer(bitPattern: UInt(newValue)) }
    }

    /// The device, once the address is bound or resolved.
    var context: DeviceContext? { unsafe raw.pointee.verbs.map { unsafe DeviceContext(borrowing: $0) } }

    var localPort: UInt16 { unsafe cverbs_local_port(raw) }

    /// The peer's address as text.
    func describePeer() -> String {
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

    func bind(host: String, port: UInt16) throws(FabricError) {
        unsafe try withAddress(host, port, passive: true) { address throws(FabricError) in
            try VerbsCall.checkMinusOne(
                "rdma_bind_addr", unsafe rdma_bind_addr(raw, address),
                "cannot bind \(host):\(port) to an RDMA device (does the address belong to one? see rdmad doctor)")
        }
    }

    func listen(backlog: Int32) throws(FabricError) {
        try VerbsCall.checkMinusOne("rdma_listen", unsafe rdma_listen(raw, backlog), "cannot listen")
    }

    func resolveAddress(host: String, port: UInt16, timeoutMilliseconds: Int32) throws(FabricError) {
        unsafe try withAddress(host, port, passive: false) { address throws(FabricError) in
            try VerbsCall.checkMinusOne(
                "rdma_resolve_addr", unsafe rdma_resolve_addr(raw, nil, address, timeoutMilliseconds),
                "no RDMA device reaches \(host):\(port)")
        }
    }

    func resolveRoute(timeoutMilliseconds: Int32) throws(FabricError) {
        try VerbsCall.checkMinusOne(
            "rdma_resolve_route", unsafe rdma_resolve_route(raw, timeoutMilliseconds), "no route")
    }

    /// Sets the time without an acknowledgement after which a packet is sent again: 4.096 µs × 2^code.
    func setAcknowledgementTimeout(code: UInt8) {
        var code = code
        _ = unsafe rdma_set_option(
            raw, Int32(RDMA_OPTION_ID.rawCode), Int32(RDMA_OPTION_ID_ACK_TIMEOUT.rawCode), &code, 1)
    }

    func connect(privateData: [UInt8], readDepth: UInt8) throws(FabricError) {
        unsafe try withParameters(privateData, readDepth) { parameters throws(FabricError) in
            try VerbsCall.checkMinusOne("rdma_connect", unsafe rdma_connect(raw, parameters), "cannot connect")
        }
    }

    func accept(privateData: [UInt8], readDepth: UInt8) throws(FabricError) {
        unsafe try withParameters(privateData, readDepth) { parameters throws(FabricError) in
            try VerbsCall.checkMinusOne("rdma_accept", unsafe rdma_accept(raw, parameters), "cannot accept")
        }
    }

    func reject(privateData: [UInt8]) {
        _ = unsafe privateData.withUnsafeBytes { unsafe rdma_reject(raw, $0.baseAddress, UInt8($0.count)) }
    }

    func disconnect() { _ = unsafe rdma_disconnect(raw) }

    /// Zeroed parameters would allow no RDMA READ at all; retry counts must be given as well.
    private func withParameters(
        _ privateData: [UInt8], _ readDepth: UInt8,
        _ body: (UnsafeMutablePointer<rdma_conn_param>) throws(FabricError) -> Void
    ) throws(FabricError) {
        var failure: FabricError?
        unsafe privateData.withUnsafeBytes { data in
            var parameters = unsafe rdma_conn_param()
            unsafe parameters.private_data = data.baseAddress
            unsafe parameters.private_data_len = UInt8(data.count)
            unsafe parameters.responder_resources = readDepth
            unsafe parameters.initiator_depth = readDepth
            unsafe parameters.retry_count = 7
            // Finite: 7 would wait for ever and turn a credit bug into a hang.
            unsafe parameters.rnr_retry_count = 6
            do throws(FabricError) { unsafe try body(&parameters) } catch { failure = error }
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
