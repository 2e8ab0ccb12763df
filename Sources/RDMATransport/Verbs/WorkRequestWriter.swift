internal import CVerbs

/// Work requests written straight into the send queue: the extended calls (`ibv_wr_start(3)`), for queue pairs made
/// with ``QueuePairOptions/extendedOperations``. Each request is an operation followed by what it carries.
///
/// Lives within ``QueuePair/write(_:)`` only.
/// - Threading: the thread that posts.
@safe public struct WorkRequestWriter: ~Copyable {
    private let raw: UnsafeMutablePointer<ibv_qp_ex>
    private let allowed: ExtendedOperations
    private let inlineBytesMax: Int

    init(_ raw: UnsafeMutablePointer<ibv_qp_ex>, _ options: QueuePairOptions) {
        unsafe self.raw = raw
        allowed = options.extendedOperations
        inlineBytesMax = options.inlineBytesMax
    }

    /// Begins a send.
    public func send(workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .send)
        unsafe ibv_wr_send(raw)
    }
    /// Begins a send with an immediate value.
    public func send(immediate: UInt32, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .sendWithImmediate)
        unsafe ibv_wr_send_imm(raw, immediate.bigEndian)
    }
    /// Begins a send that invalidates a key of the peer's.
    public func send(invalidating remoteKey: UInt32, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .sendWithInvalidate)
        unsafe ibv_wr_send_inv(raw, remoteKey)
    }
    /// Begins an RDMA write.
    public func write(to remote: RemoteSlice, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .write)
        unsafe ibv_wr_rdma_write(raw, remote.key, remote.address)
    }
    /// Begins an RDMA write with an immediate value.
    public func write(to remote: RemoteSlice, immediate: UInt32, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .writeWithImmediate)
        unsafe ibv_wr_rdma_write_imm(raw, remote.key, remote.address, immediate.bigEndian)
    }
    /// Begins an RDMA read.
    public func read(from remote: RemoteSlice, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .read)
        unsafe ibv_wr_rdma_read(raw, remote.key, remote.address)
    }
    /// Begins an atomic compare and swap of eight bytes.
    public func compareAndSwap(
        _ remote: RemoteSlice, compare: UInt64, swap: UInt64, workID: UInt64, flags: SendFlags
    ) {
        begin(workID, flags, .compareAndSwap)
        unsafe ibv_wr_atomic_cmp_swp(raw, remote.key, remote.address, compare, swap)
    }
    /// Begins an atomic addition to eight bytes.
    public func fetchAndAdd(_ remote: RemoteSlice, _ amount: UInt64, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .fetchAndAdd)
        unsafe ibv_wr_atomic_fetch_add(raw, remote.key, remote.address, amount)
    }
    /// Writes eight bytes of the peer's at once: nobody sees a part of them. Complete in itself.
    public func atomicWrite(_ remote: RemoteSlice, _ value: UInt64, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .atomicWrite)
        var value = value
        unsafe ibv_wr_atomic_write(raw, remote.key, remote.address, &value)
    }
    /// Invalidates a key of our own. Complete in itself.
    public func invalidate(remoteKey: UInt32, workID: UInt64, flags: SendFlags) {
        begin(workID, flags, .localInvalidate)
        unsafe ibv_wr_local_inv(raw, remoteKey)
    }

    /// Ends a request with one run of memory. Unsafe as ``SendChain`` is.
    @unsafe public func set(_ element: ScatterGatherElement) {
        unsafe ibv_wr_set_sge(raw, element.localKey, element.address, UInt32(element.byteCount))
    }
    /// Ends a request with several runs of memory. Unsafe as ``SendChain`` is.
    @unsafe public func set(elements: Span<ScatterGatherElement>) {
        unsafe withUnsafeTemporaryAllocation(of: ibv_sge.self, capacity: elements.count) { list in
            for index in 0..<elements.count { unsafe list[index] = elements[index].raw }
            unsafe ibv_wr_set_sge_list(raw, list.count, list.baseAddress)
        }
    }
    /// Ends a request with bytes that are copied now: at most ``QueuePairOptions/inlineBytesMax``. The request must
    /// have begun with ``SendFlags/inline``.
    public func set(inline bytes: RawSpan) {
        precondition(bytes.byteCount <= inlineBytesMax, "the queue pair takes \(inlineBytesMax) inline bytes")
        precondition(unsafe raw.pointee.wr_flags & SendFlags.inline.rawValue != 0, "begin the request with .inline")
        unsafe bytes.withUnsafeBytes { source in
            unsafe ibv_wr_set_inline_data(raw, UnsafeMutableRawPointer(mutating: source.baseAddress), source.count)
        }
    }
    /// Says where a datagram goes.
    public func setDestination(_ destination: DatagramDestination) {
        unsafe ibv_wr_set_ud_addr(raw, destination.handle, destination.queuePair, destination.queueKey)
    }

    private func begin(_ workID: UInt64, _ flags: SendFlags, _ operation: ExtendedOperations) {
        precondition(allowed.contains(operation), "the queue pair was not made for this operation")
        unsafe raw.pointee.wr_id = workID
        unsafe raw.pointee.wr_flags = flags.rawValue
    }
}

extension QueuePair {
    /// Posts what `body` writes, with one doorbell: all of it, or nothing. Verbs: `ibv_wr_start(3)`,
    /// `ibv_wr_complete(3)`.
    ///
    /// Only the operations of ``QueuePairOptions/extendedOperations`` may be written: another one traps.
    public borrowing func write(_ body: (borrowing WorkRequestWriter) -> Void) -> PostOutcome {
        guard let extended = unsafe extended else {
            preconditionFailure("the queue pair was made without extended operations: use a SendChain")
        }
        unsafe ibv_wr_start(extended)
        unsafe body(WorkRequestWriter(extended, options))
        let result = abs(unsafe ibv_wr_complete(extended))
        // A full queue is ENOMEM to some providers and ENOSPC (28) to others, such as rxe.
        return result == 0 ? .posted : PostOutcome(errorNumber: result == 28 ? 12 : result)
    }
}
