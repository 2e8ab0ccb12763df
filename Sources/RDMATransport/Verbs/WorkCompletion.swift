internal import CVerbs

/// One finished work request. On a failure only ``workID``, ``status``, ``queuePair`` and ``vendorError`` mean
/// anything: the others trap. Source: `ibv_poll_cq(3)`.
public struct WorkCompletion: Sendable {
    let raw: ibv_wc

    /// The number that the work request was given.
    public var workID: UInt64 { raw.wr_id }
    /// The number of its queue pair.
    public var queuePair: UInt32 { raw.qp_num }
    /// The device's own error code; 0 on success.
    public var vendorError: UInt32 { raw.vendor_err }
    /// How it ended.
    public var status: Status { Status(rawValue: UInt32(raw.status.rawCode)) }
    /// True when it is done: the same as ``status`` of ``Status/success``, for hot loops.
    public var isSuccess: Bool { raw.status.rawCode == 0 }

    /// What was done.
    public var operation: Operation {
        precondition(status == .success)
        return Operation(rawValue: UInt32(raw.opcode.rawCode))
    }
    /// Bytes received or read; of a datagram the ``datagramHeaderBytes`` included.
    public var byteCount: Int {
        precondition(status == .success)
        return Int(raw.byte_len)
    }
    /// The immediate value, if the peer gave one.
    public var immediate: UInt32? {
        precondition(status == .success)
        guard raw.wc_flags & 2 /* IBV_WC_WITH_IMM */ != 0 else { return nil }
        return unsafe withUnsafePointer(to: raw) { unsafe cverbs_immediate($0) }
    }
    /// The key of ours that the peer invalidated with its message, if it did.
    public var invalidatedKey: UInt32? {
        precondition(status == .success)
        guard raw.wc_flags & 8 /* IBV_WC_WITH_INV */ != 0 else { return nil }
        return unsafe withUnsafePointer(to: raw) { unsafe cverbs_invalidated($0) }
    }
    /// True when the receive begins with ``datagramHeaderBytes`` of header.
    public var hasDatagramHeader: Bool {
        precondition(status == .success)
        return raw.wc_flags & 1 /* IBV_WC_GRH */ != 0
    }
    /// The queue pair that sent a datagram.
    public var sourceQueuePair: UInt32 {
        precondition(status == .success)
        return raw.src_qp
    }

    /// What a work request did: verbs' own numbers.
    public struct Operation: Hashable, Sendable {
        /// The number of `enum ibv_wc_opcode`.
        public let rawValue: UInt32
        /// An operation of any number.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// A send of any form.
        public static let send = Operation(rawValue: 0)
        /// An RDMA write of any form.
        public static let write = Operation(rawValue: 1)
        /// An RDMA read.
        public static let read = Operation(rawValue: 2)
        /// An atomic compare and swap.
        public static let compareAndSwap = Operation(rawValue: 3)
        /// An atomic fetch and add.
        public static let fetchAndAdd = Operation(rawValue: 4)
        /// The binding of a memory window.
        public static let bindWindow = Operation(rawValue: 5)
        /// A local invalidate.
        public static let localInvalidate = Operation(rawValue: 6)
        /// An atomic write of eight bytes.
        public static let atomicWrite = Operation(rawValue: 9)
        /// A receive of a message.
        public static let receive = Operation(rawValue: 128)
        /// A receive that a write with immediate took.
        public static let receiveOfWrite = Operation(rawValue: 129)
    }

    /// How a work request ended: verbs' own numbers.
    public struct Status: Hashable, Sendable, CustomStringConvertible {
        /// The number of `enum ibv_wc_status`.
        public let rawValue: UInt32
        /// A status of any number: devices may report ones that are not named here.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// It is done.
        public static let success = Status(rawValue: 0)
        /// A message was longer than the receive, or than the device allows.
        public static let localLength = Status(rawValue: 1)
        /// The queue pair was not in order.
        public static let localQueuePair = Status(rawValue: 2)
        /// A piece of ours lies outside a region, or the region does not allow the access.
        public static let localProtection = Status(rawValue: 4)
        /// The queue pair failed or was ended first; whether it was done is unknown.
        public static let flushed = Status(rawValue: 5)
        /// A memory window could not be bound.
        public static let windowBind = Status(rawValue: 6)
        /// The peer answered something that was not asked.
        public static let badResponse = Status(rawValue: 7)
        /// A write with immediate found our receive unusable.
        public static let localAccess = Status(rawValue: 8)
        /// The peer's device refused the request as invalid.
        public static let remoteInvalidRequest = Status(rawValue: 9)
        /// The peer's memory refused the access: wrong key, range or rights.
        public static let remoteAccess = Status(rawValue: 10)
        /// The peer's device could not complete it.
        public static let remoteOperation = Status(rawValue: 11)
        /// The peer did not acknowledge in time, however often it was sent.
        public static let retryExceeded = Status(rawValue: 12)
        /// The peer had no receive posted, however often it was sent.
        public static let receiverNotReadyRetryExceeded = Status(rawValue: 13)
        /// libibverbs' words for it.
        public var description: String {
            unsafe String(cString: ibv_wc_status_str(ibv_wc_status(numericCast(rawValue))))
        }
    }
}
