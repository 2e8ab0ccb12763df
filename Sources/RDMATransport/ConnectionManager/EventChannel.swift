internal import CVerbs
import Glibc

/// Reports what happens to connections. Verbs: `rdma_create_event_channel(3)`, `rdma_get_cm_event(3)`.
///
/// - Threading: one thread takes the events.
@safe public final class EventChannel {
    let raw: UnsafeMutablePointer<rdma_event_channel>

    /// Opens one; taking events from it never blocks.
    public init() throws(FabricError) {
        guard let raw = unsafe rdma_create_event_channel() else {
            throw FabricError(
                .noDevice, operation: "rdma_create_event_channel", errorNumber: errno,
                "no RDMA connection manager here (/dev/infiniband/rdma_cm): is an RDMA driver loaded?")
        }
        unsafe self.raw = raw
        let flags = unsafe fcntl(raw.pointee.fd, F_GETFL)
        _ = unsafe fcntl(raw.pointee.fd, F_SETFL, flags | O_NONBLOCK)
    }

    deinit { unsafe rdma_destroy_event_channel(raw) }

    /// Readable when ``next()`` has something.
    public var descriptor: Int32 { unsafe raw.pointee.fd }

    /// The next event, or nil. It is acknowledged before it is returned, so that destroying its id never blocks.
    public func next() -> ConnectionEvent? {
        var event: UnsafeMutablePointer<rdma_cm_event>?
        guard unsafe rdma_get_cm_event(raw, &event) == 0, let event = unsafe event else { return nil }
        defer { unsafe rdma_ack_cm_event(event) }
        let kind = unsafe ConnectionEvent.Kind(rawValue: UInt32(event.pointee.event.rawCode))
        var privateData: [UInt8] = []
        var count: UInt8 = 0
        let carriesData: [ConnectionEvent.Kind] = [.connectRequest, .established, .rejected]
        if carriesData.contains(kind), let data = unsafe cverbs_private_data(event, &count) {
            privateData = unsafe Array(UnsafeRawBufferPointer(start: data, count: Int(count)))
        }
        let id = unsafe event.pointee.id!
        let request = kind == .connectRequest ? unsafe ConnectionIdentifier(adopting: id, channel: self) : nil
        var datagrams: ConnectionEvent.DatagramPeer?
        let isDatagram = unsafe id.pointee.ps == RDMA_PS_UDP
        if isDatagram, kind == .established || kind == .multicastJoined {
            let parameters = unsafe cverbs_datagram_parameters(event).pointee
            datagrams = unsafe .init(
                vector: parameters.ah_attr, queuePair: parameters.qp_num, queueKey: parameters.qkey)
        }
        return unsafe ConnectionEvent(
            kind: kind, tag: UInt64(UInt(bitPattern: id.pointee.context)), status: event.pointee.status,
            privateData: privateData, request: request, datagramPeer: datagrams)
    }
}

extension EventChannel {
    /// Waits for one kind of event; for programs that do one thing at a time. Blocks the thread.
    /// - Throws: ``FabricError`` with code `state` when another event comes first (a rejection says what the peer
    ///   said), or none within `seconds`.
    public func wait(for kind: ConnectionEvent.Kind, seconds: Int = 10) throws(FabricError) -> ConnectionEvent {
        let deadline = monotonicNanoseconds() + UInt64(seconds) * 1_000_000_000
        while true {
            if let event = next() {
                if event.kind == kind { return event }
                if event.kind == .timeWaitEnded { continue }
                let said = String(decoding: event.privateData.prefix { $0 != 0 }, as: UTF8.self)
                throw FabricError(
                    .state, operation: "rdma_get_cm_event",
                    "waited for \(kind), got \(event.kind)"
                        + (event.kind == .rejected && !said.isEmpty ? ": \(said)" : ""))
            }
            let now = monotonicNanoseconds()
            guard now < deadline else {
                throw FabricError(.state, operation: "rdma_get_cm_event", "no \(kind) within \(seconds) s")
            }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&entry, 1, Int32((deadline - now) / 1_000_000 + 1))
        }
    }
}

/// Something that happened to a connection. Source: `rdma_get_cm_event(3)`.
public struct ConnectionEvent {
    /// What happened.
    public let kind: Kind
    /// The number that the identifier was given; for a request that of the listener.
    public let tag: UInt64
    /// A negative errno value, or the peer's reason for rejecting.
    public let status: Int32
    /// What the peer said, perhaps with zeros behind it.
    public let privateData: [UInt8]
    /// The new identifier of a ``Kind/connectRequest``: dropping it refuses the request.
    public let request: ConnectionIdentifier?
    /// Where to send datagrams, after a datagram connect or a multicast join.
    public let datagramPeer: DatagramPeer?

    /// Somebody to send datagrams to.
    public struct DatagramPeer: Sendable {
        let vector: ibv_ah_attr
        /// The queue pair; 0xffffff for a multicast group.
        public let queuePair: UInt32
        /// The queue key that its messages must carry.
        public let queueKey: UInt32

        /// The way there.
        public func addressHandle(in domain: ProtectionDomain) throws(FabricError) -> AddressHandle {
            try AddressHandle(vector, in: domain)
        }
    }

    /// What happened: librdmacm's own numbers.
    public struct Kind: Hashable, Sendable, CustomStringConvertible {
        /// The number of `enum rdma_cm_event_type`.
        public let rawValue: UInt32
        /// A kind of any number.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// The device that reaches the peer is known.
        public static let addressResolved = Kind(rawValue: 0)
        /// No device reaches the peer.
        public static let addressError = Kind(rawValue: 1)
        /// The way to the peer is known.
        public static let routeResolved = Kind(rawValue: 2)
        /// There is no way to the peer.
        public static let routeError = Kind(rawValue: 3)
        /// A peer asks to connect.
        public static let connectRequest = Kind(rawValue: 4)
        /// The peer answered something unexpected, or the queue pair could not be made ready.
        public static let connectError = Kind(rawValue: 6)
        /// The peer does not answer.
        public static let unreachable = Kind(rawValue: 7)
        /// The peer said no.
        public static let rejected = Kind(rawValue: 8)
        /// Both ends agreed.
        public static let established = Kind(rawValue: 9)
        /// The connection has ended.
        public static let disconnected = Kind(rawValue: 10)
        /// The device is going: close everything of it.
        public static let deviceRemoval = Kind(rawValue: 11)
        /// The multicast group is joined.
        public static let multicastJoined = Kind(rawValue: 12)
        /// The multicast group could not be joined, or was left.
        public static let multicastError = Kind(rawValue: 13)
        /// The device's address changed below the connection.
        public static let addressChanged = Kind(rawValue: 14)
        /// The connection's numbers may be used again.
        public static let timeWaitEnded = Kind(rawValue: 15)
        /// librdmacm's words for it.
        public var description: String {
            unsafe String(cString: rdma_event_str(rdma_cm_event_type(numericCast(rawValue))))
        }
    }
}
