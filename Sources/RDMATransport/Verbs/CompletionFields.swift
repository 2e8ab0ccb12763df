internal import CVerbs
import Glibc

/// What an extended completion queue reports beside work id and status. Source: `ibv_create_cq_ex(3)`.
public struct CompletionFields: OptionSet, Sendable {
    /// Bits of `enum ibv_create_cq_wc_flags`.
    public let rawValue: UInt64
    /// Any bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// Bytes received or read.
    public static let byteCount = CompletionFields(rawValue: 1)
    /// The immediate value.
    public static let immediate = CompletionFields(rawValue: 1 << 1)
    /// The queue pair.
    public static let queuePair = CompletionFields(rawValue: 1 << 2)
    /// The sender of a datagram.
    public static let sourceQueuePair = CompletionFields(rawValue: 1 << 3)
    /// The device's clock when it completed, in its own ticks.
    public static let timestamp = CompletionFields(rawValue: 1 << 7)
    /// Nanoseconds of the wall clock when it completed.
    public static let wallClock = CompletionFields(rawValue: 1 << 11)
}

/// The completion that an extended queue is at; read in place, within ``CompletionQueue/pollEach(_:)`` only.
///
/// Only the fields that the queue was made with may be read: others trap or mean nothing.
@safe public struct CompletionCursor: ~Copyable {
    private let raw: UnsafeMutablePointer<ibv_cq_ex>

    init(_ raw: UnsafeMutablePointer<ibv_cq_ex>) { unsafe self.raw = raw }

    /// The number that the work request was given.
    public var workID: UInt64 { unsafe raw.pointee.wr_id }
    /// How it ended. On a failure only this, ``workID`` and ``vendorError`` mean anything.
    public var status: WorkCompletion.Status { unsafe .init(rawValue: UInt32(raw.pointee.status.rawCode)) }
    /// The device's own error code.
    public var vendorError: UInt32 { unsafe ibv_wc_read_vendor_err(raw) }
    /// What was done.
    public var operation: WorkCompletion.Operation { unsafe .init(rawValue: UInt32(ibv_wc_read_opcode(raw).rawCode)) }
    /// Bytes received or read.
    public var byteCount: Int { unsafe Int(ibv_wc_read_byte_len(raw)) }
    /// The immediate value.
    public var immediate: UInt32? {
        unsafe ibv_wc_read_wc_flags(raw) & 2 != 0 ? UInt32(bigEndian: ibv_wc_read_imm_data(raw)) : nil
    }
    /// The queue pair.
    public var queuePair: UInt32 { unsafe ibv_wc_read_qp_num(raw) }
    /// The sender of a datagram.
    public var sourceQueuePair: UInt32 { unsafe ibv_wc_read_src_qp(raw) }
    /// The device's clock when it completed, in ticks of ``DeviceAttributes/clockKilohertz``.
    public var timestamp: UInt64 { unsafe ibv_wc_read_completion_ts(raw) }
    /// Nanoseconds of the wall clock when it completed.
    public var wallClockNanoseconds: UInt64 { unsafe ibv_wc_read_completion_wallclock_ns(raw) }
}

extension CompletionQueue {
    /// Takes up to ``batchMax`` completions without blocking, and hands each to `body`. Only for a queue made with
    /// ``CompletionFields``. Verbs: `ibv_start_poll(3)`, `ibv_end_poll(3)`.
    /// - Returns: How many there were.
    public func pollEach(_ body: (borrowing CompletionCursor) -> Void) -> Int {
        guard let queue = unsafe extended else {
            preconditionFailure("the queue was made without fields: use poll()")
        }
        let cursor = unsafe CompletionCursor(queue)
        // One at a time, without ibv_next_poll: when that finds nothing, rxe's (rdma-core 44) has already ended the
        // poll, and ending it as the manual says would skip an entry. The price is one uncontended lock each.
        for count in 0..<Self.batchMax {
            var attributes = ibv_poll_cq_attr()
            let begun = unsafe ibv_start_poll(queue, &attributes)
            guard begun != ENOENT else { return count }
            precondition(begun == 0, "ibv_start_poll failed: the completion queue is broken")
            body(cursor)
            unsafe ibv_end_poll(queue)
        }
        return Self.batchMax
    }
}
