internal import CVerbs
import Glibc

/// Where finished work is reported, with a channel to sleep on. Verbs: `ibv_create_cq(3)`, `ibv_poll_cq(3)`,
/// `ibv_req_notify_cq(3)`, `ibv_get_cq_event(3)`.
///
/// - Threading: one thread polls.
@safe public final class CompletionQueue {
    let raw: UnsafeMutablePointer<ibv_cq>
    private let channel: UnsafeMutablePointer<ibv_comp_channel>
    private let context: DeviceContext
    private let batch: UnsafeMutableBufferPointer<ibv_wc>
    /// Entries that fit. More outstanding work than this may end the queue: count before posting.
    public let depth: Int
    private var unacknowledgedEvents: UInt32 = 0
    /// Completions taken by one ``poll()``.
    public static let batchMax = 32

    /// Makes a queue of at least `depth` entries, at most the device's ``DeviceAttributes/completionsMax``.
    public init(context: DeviceContext, depth: Int) throws(FabricError) {
        let detail = "cannot make a completion queue of \(depth) entries on \(context.name)"
        unsafe channel = try VerbsCall.nonNull("ibv_create_comp_channel", ibv_create_comp_channel(context.raw), detail)
        guard let queue = unsafe ibv_create_cq(context.raw, Int32(depth), nil, channel, 0) else {
            let number = errno
            unsafe ibv_destroy_comp_channel(channel)
            throw FabricError(.system, operation: "ibv_create_cq", errorNumber: number, detail)
        }
        unsafe raw = queue
        self.context = context
        // The device may round up; what was asked for is what is counted on.
        self.depth = depth
        unsafe batch = .allocate(capacity: Self.batchMax)
        unsafe batch.initialize(repeating: ibv_wc())
        let flags = unsafe fcntl(channel.pointee.fd, F_GETFL)
        _ = unsafe fcntl(channel.pointee.fd, F_SETFL, flags | O_NONBLOCK)
    }

    deinit {
        takeEvents()
        unsafe ibv_ack_cq_events(raw, unacknowledgedEvents)
        unsafe ibv_destroy_cq(raw)
        unsafe ibv_destroy_comp_channel(channel)
        unsafe batch.deallocate()
    }

    /// Readable when a completion came after ``arm()``.
    public var descriptor: Int32 { unsafe channel.pointee.fd }

    /// Takes up to ``batchMax`` completions without blocking; returns how many. Read them with the subscript.
    public func poll() -> Int {
        let count = unsafe ibv_poll_cq(raw, Int32(batch.count), batch.baseAddress)
        precondition(count >= 0, "ibv_poll_cq failed: the completion queue is broken")
        return Int(count)
    }

    /// The completions of the last ``poll()``.
    public subscript(index: Int) -> WorkCompletion { unsafe WorkCompletion(raw: batch[index]) }

    /// Asks for one event on ``descriptor``. Poll until empty afterwards: what came before it makes no event.
    public func arm() {
        let result = unsafe ibv_req_notify_cq(raw, 0)
        precondition(result == 0, "ibv_req_notify_cq failed")
    }

    /// Takes the events off the descriptor. Acknowledged in groups: each acknowledgement takes a lock.
    public func takeEvents() {
        var queue: UnsafeMutablePointer<ibv_cq>?
        var user: UnsafeMutableRawPointer?
        while unsafe ibv_get_cq_event(channel, &queue, &user) == 0 { unacknowledgedEvents += 1 }
        if unacknowledgedEvents >= 64 {
            unsafe ibv_ack_cq_events(raw, unacknowledgedEvents)
            unacknowledgedEvents = 0
        }
    }
}

/// One finished work request. On a failure only ``workID``, ``status``, ``queuePair`` and ``vendorError`` mean
/// anything: the others trap. Source: `ibv_poll_cq(3)`.
public struct WorkCompletion {
    let raw: ibv_wc

    /// The number that the work request was given.
    public var workID: UInt64 { raw.wr_id }
    /// The number of its queue pair.
    public var queuePair: UInt32 { raw.qp_num }
    /// The device's own error code; 0 on success.
    public var vendorError: UInt32 { raw.vendor_err }
    /// How it ended.
    public var status: Status { Status(rawValue: UInt32(raw.status.rawCode)) }

    /// Bytes received or read.
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
        /// A piece of ours lies outside a region, or the region does not allow the access.
        public static let localProtection = Status(rawValue: 4)
        /// The queue pair failed or was ended first; whether it was done is unknown.
        public static let flushed = Status(rawValue: 5)
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
