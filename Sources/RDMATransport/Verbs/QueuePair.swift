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

/// A reliable connected queue pair, made through the connection manager. Verb: `rdma_create_qp(3)`.
///
/// - Ownership: one owner; destroyed with the value. Keeps its completion queue and protection domain alive. Work
///   that was posted and has not completed then never completes, and its memory is no longer touched.
@safe public struct QueuePair: ~Copyable {
    let raw: UnsafeMutablePointer<ibv_qp>
    private let identifier: UnsafeMutablePointer<rdma_cm_id>
    private let completions: CompletionQueue
    private let domain: ProtectionDomain

    init(
        _ identifier: borrowing ConnectionIdentifier, depths: QueuePairDepths, completions: CompletionQueue,
        domain: ProtectionDomain
    ) throws(FabricError) {
        var attributes = unsafe ibv_qp_init_attr()
        unsafe attributes.send_cq = unsafe completions.raw
        unsafe attributes.recv_cq = unsafe completions.raw
        unsafe attributes.cap.max_send_wr = UInt32(depths.send)
        unsafe attributes.cap.max_recv_wr = UInt32(depths.receive)
        unsafe attributes.cap.max_send_sge = UInt32(SendChain.piecesMax)
        unsafe attributes.cap.max_recv_sge = 1
        unsafe attributes.qp_type = IBV_QPT_RC
        unsafe attributes.sq_sig_all = 0
        let result = unsafe rdma_create_qp(identifier.raw, domain.raw, &attributes)
        try VerbsCall.checkMinusOne(
            "rdma_create_qp", result, "cannot make a queue pair of \(depths.send) + \(depths.receive) requests")
        unsafe self.identifier = identifier.raw
        unsafe raw = identifier.raw.pointee.qp
        self.completions = completions
        self.domain = domain
    }

    deinit { unsafe rdma_destroy_qp(identifier) }

    /// The number that completions name.
    public var number: UInt32 { unsafe raw.pointee.qp_num }

    /// Moves the queue pair to the error state: everything posted completes as flushed. Verb: `ibv_modify_qp(3)`.
    func moveToError() { _ = unsafe cverbs_to_error(raw) }

    /// Sets how long a peer waits that met no receive: code 12 is 0.64 ms (librdmacm leaves 0, which is 655 ms).
    func setReceiverNotReadyTimer(code: UInt8) { _ = unsafe cverbs_set_rnr_timer(raw, code) }
}
