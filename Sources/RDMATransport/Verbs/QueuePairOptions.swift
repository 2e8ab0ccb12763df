internal import CVerbs

/// Depths of a queue pair.
public struct QueuePairDepths: Sendable {
    /// Work requests in the send queue.
    public var send: Int
    /// Receives posted.
    public var receive: Int
    /// Depths in work requests; both count against the completion queue.
    public init(send: Int, receive: Int) {
        self.send = send
        self.receive = receive
    }
}

/// The service a queue pair gives. Source: `ibv_create_qp(3)`.
public struct QueuePairKind: Hashable, Sendable, CustomStringConvertible {
    /// The number of `enum ibv_qp_type`.
    public let rawValue: UInt32
    /// The kind's usual abbreviation.
    public let description: String
    /// RC: one peer; messages arrive once and in order, or the queue pair fails. Every operation.
    public static let reliableConnection = QueuePairKind(rawValue: 2, description: "RC")
    /// UC: one peer; a lost packet loses its message, silently. Sends and RDMA writes.
    public static let unreliableConnection = QueuePairKind(rawValue: 3, description: "UC")
    /// UD: any peer; messages of one packet, each behind 40 bytes of header at the receiver. Sends only.
    public static let unreliableDatagram = QueuePairKind(rawValue: 4, description: "UD")
    /// XRC, the sending half: one connection to all shared receive queues of a peer's XRC domain.
    public static let extendedReliableSend = QueuePairKind(rawValue: 9, description: "XRC_SEND")
    /// XRC, the receiving half.
    public static let extendedReliableReceive = QueuePairKind(rawValue: 10, description: "XRC_RECV")
}

/// Operations that a ``WorkRequestWriter`` may use on a queue pair. Source: `ibv_create_qp_ex(3)`.
public struct ExtendedOperations: OptionSet, Sendable {
    /// Bits of `enum ibv_qp_create_send_ops_flags`.
    public let rawValue: UInt64
    /// Any bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// RDMA write.
    public static let write = ExtendedOperations(rawValue: 1)
    /// RDMA write with immediate.
    public static let writeWithImmediate = ExtendedOperations(rawValue: 1 << 1)
    /// Send.
    public static let send = ExtendedOperations(rawValue: 1 << 2)
    /// Send with immediate.
    public static let sendWithImmediate = ExtendedOperations(rawValue: 1 << 3)
    /// RDMA read.
    public static let read = ExtendedOperations(rawValue: 1 << 4)
    /// Atomic compare and swap.
    public static let compareAndSwap = ExtendedOperations(rawValue: 1 << 5)
    /// Atomic fetch and add.
    public static let fetchAndAdd = ExtendedOperations(rawValue: 1 << 6)
    /// Local invalidate.
    public static let localInvalidate = ExtendedOperations(rawValue: 1 << 7)
    /// Binding of memory windows.
    public static let bindWindow = ExtendedOperations(rawValue: 1 << 8)
    /// Send with invalidate.
    public static let sendWithInvalidate = ExtendedOperations(rawValue: 1 << 9)
    /// Atomic write of eight bytes.
    public static let atomicWrite = ExtendedOperations(rawValue: 1 << 12)
    /// What every reliable connection can do.
    public static let reliable: ExtendedOperations = [
        .write, .writeWithImmediate, .send, .sendWithImmediate, .read, .compareAndSwap, .fetchAndAdd,
    ]
}

/// How a queue pair is made.
public struct QueuePairOptions: Sendable {
    /// The service.
    public var kind: QueuePairKind
    /// Work requests that each queue holds.
    public var depths: QueuePairDepths
    /// Elements per work request of the send queue.
    public var sendElementsMax = 2
    /// Elements per receive.
    public var receiveElementsMax = 1
    /// Bytes that a request may carry itself; the device may allow more.
    public var inlineBytesMax = 0
    /// True: every request makes a completion, whatever its flags.
    public var signalsAll = false
    /// Operations for ``QueuePair/write(_:)``; empty: only chains are posted.
    public var extendedOperations: ExtendedOperations = []

    /// A kind and its depths; the rest has defaults.
    public init(_ kind: QueuePairKind = .reliableConnection, depths: QueuePairDepths) {
        self.kind = kind
        self.depths = depths
    }
}
