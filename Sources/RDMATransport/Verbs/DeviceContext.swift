internal import CVerbs
import Glibc

/// An open RDMA device. Everything made from it keeps it open.
///
/// - Threading: thread-safe, as libibverbs is.
@safe public final class DeviceContext: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_context>
    /// librdmacm opens devices for itself and never closes them; ours are closed.
    private let isOwned: Bool

    /// Opens a device by name, such as `rxe0`. Verb: `ibv_open_device(3)`.
    public init(name: String) throws(FabricError) {
        var count: Int32 = 0
        guard let list = unsafe cverbs_get_device_list(&count) else {
            throw FabricError(.noDevice, operation: "ibv_get_device_list", "this kernel has no RDMA support")
        }
        defer { unsafe ibv_free_device_list(list) }
        for index in 0..<Int(count) where unsafe String(cString: ibv_get_device_name(list[index]!)) == name {
            unsafe raw = try VerbsCall.nonNull("ibv_open_device", ibv_open_device(list[index]), "cannot open \(name)")
            isOwned = true
            unsafe Self.neverBlock(raw)
            return
        }
        throw FabricError(.noDevice, operation: "ibv_open_device", "there is no RDMA device named \(name)")
    }

    init(borrowing raw: UnsafeMutablePointer<ibv_context>) {
        unsafe self.raw = raw
        isOwned = false
        unsafe Self.neverBlock(raw)
    }

    private static func neverBlock(_ raw: UnsafeMutablePointer<ibv_context>) {
        let flags = unsafe fcntl(raw.pointee.async_fd, F_GETFL)
        _ = unsafe fcntl(raw.pointee.async_fd, F_SETFL, flags | O_NONBLOCK)
    }

    deinit { if isOwned { unsafe ibv_close_device(raw) } }

    /// The device's name, such as `mlx5_0`.
    public var name: String { unsafe String(cString: ibv_get_device_name(raw.pointee.device)) }

    /// Names of the devices that this kernel knows, in its order. Empty when there is none or no RDMA support.
    /// Verb: `ibv_get_device_list(3)`.
    public static func deviceNames() -> [String] {
        var count: Int32 = 0
        guard let list = unsafe cverbs_get_device_list(&count) else { return [] }
        defer { unsafe ibv_free_device_list(list) }
        return (0..<Int(count)).map { unsafe String(cString: ibv_get_device_name(list[$0]!)) }
    }

    /// Lets the process fork while it has registered memory: a child then does not see it, and the parent keeps it.
    /// Before anything else of this library, when at all; where ``forkSafety`` is ``ForkSafety/unneeded`` (kernels from
    /// 5.12 on) it does nothing, at any time. Verb: `ibv_fork_init(3)`.
    public static func prepareForFork() throws(FabricError) {
        // libibverbs would refuse a call that comes late even where it has nothing to do.
        guard forkSafety != .unneeded else { return }
        try VerbsCall.check("ibv_fork_init", ibv_fork_init(), "cannot prepare for forks")
    }

    /// What a fork does to registered memory. Verb: `ibv_is_fork_initialized(3)`.
    public static var forkSafety: ForkSafety {
        switch ibv_is_fork_initialized() {
        case IBV_FORK_UNNEEDED: .unneeded
        case IBV_FORK_ENABLED: .prepared
        default: .unsafe
        }
    }

    /// What a fork does to registered memory.
    public enum ForkSafety: Sendable {
        /// The kernel copies pinned pages for the child: nothing to do.
        case unneeded
        /// ``DeviceContext/prepareForFork()`` was called.
        case prepared
        /// A fork may part the device from the parent's memory.
        case `unsafe`
    }

    // MARK: Events

    /// Readable when ``nextEvent()`` has something.
    public var eventDescriptor: Int32 { unsafe raw.pointee.async_fd }

    /// The next event of the device or of something made on it, or nil; never blocks.
    /// Acknowledged before it is returned, so that nothing waits for it. Verb: `ibv_get_async_event(3)`.
    public func nextEvent() -> DeviceEvent? {
        var event = unsafe ibv_async_event()
        guard unsafe ibv_get_async_event(raw, &event) == 0 else { return nil }
        defer { unsafe ibv_ack_async_event(&event) }
        return unsafe DeviceEvent(
            kind: DeviceEvent.Kind(rawValue: UInt32(event.event_type.rawCode)), element: cverbs_event_element(&event))
    }
}

/// Something that happened to a device, a port, a queue pair or a queue. Source: `ibv_get_async_event(3)`.
public struct DeviceEvent: Sendable, Hashable {
    /// What happened.
    public let kind: Kind
    /// The queue pair's number, the port's, or 0.
    public let element: UInt32

    /// What happened: verbs' own numbers.
    public struct Kind: Hashable, Sendable, CustomStringConvertible {
        /// The number of `enum ibv_event_type`.
        public let rawValue: UInt32
        /// A kind of any number: devices may report ones that are not named here.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// A completion queue overflowed: it is dead.
        public static let completionQueueError = Kind(rawValue: 0)
        /// A queue pair failed in a way that no completion could tell.
        public static let queuePairFatal = Kind(rawValue: 1)
        /// A peer's request was invalid.
        public static let queuePairRequestError = Kind(rawValue: 2)
        /// A peer's request named memory that it may not.
        public static let queuePairAccessError = Kind(rawValue: 3)
        /// The first message came before the connection manager knew that the peer is connected.
        public static let connectionEstablished = Kind(rawValue: 4)
        /// Everything posted before ``QueuePair/drainSendQueue()`` is done.
        public static let sendQueueDrained = Kind(rawValue: 5)
        /// The device failed or was removed: close everything of it.
        public static let deviceFatal = Kind(rawValue: 8)
        /// A port can send.
        public static let portActive = Kind(rawValue: 9)
        /// A port cannot send any more.
        public static let portError = Kind(rawValue: 10)
        /// A shared receive queue is dead.
        public static let sharedReceiveQueueError = Kind(rawValue: 14)
        /// A shared receive queue has fewer receives than ``SharedReceiveQueue/arm(limit:)`` said.
        public static let sharedReceiveLimitReached = Kind(rawValue: 15)
        /// A failed queue pair will take nothing more from its shared receive queue.
        public static let lastWorkReached = Kind(rawValue: 16)
        /// A port's table of addresses changed.
        public static let addressesChanged = Kind(rawValue: 18)
        /// libibverbs' words for it.
        public var description: String {
            unsafe String(cString: ibv_event_type_str(ibv_event_type(numericCast(rawValue))))
        }
    }
}

extension RawRepresentable where RawValue: BinaryInteger {
    /// C enums and C constants arrive with different integer types.
    var rawCode: Int32 { Int32(rawValue) }
}
extension BinaryInteger {
    var rawCode: Int32 { Int32(self) }
}
