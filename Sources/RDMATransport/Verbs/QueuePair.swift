internal import CVerbs

/// A send queue and a receive queue. Verbs: `ibv_create_qp_ex(3)`, `rdma_create_qp_ex(3)`.
///
/// Life: made by hand it is in the reset state, and ``initialize(port:access:partitionIndex:queueKey:)``,
/// ``connect(to:)`` and ``readyToSend(_:)`` bring it up; made on a ``ConnectionIdentifier``, the connection manager
/// does that.
/// - Ownership: one owner; destroyed with the value. Keeps its completion queues, protection domain, shared receive
///   queue and connection identifier alive. Work that was posted and has not completed then never completes, and its
///   memory is no longer touched.
/// - Threading: posting to each of the two queues is one thread's.
@safe public struct QueuePair: ~Copyable {
    let raw: UnsafeMutablePointer<ibv_qp>
    /// Set when the queue pair was made for the extended calls.
    let extended: UnsafeMutablePointer<ibv_qp_ex>?
    private let identifier: ConnectionIdentifier?
    private let parents: Parents
    /// What it was made with. ``QueuePairOptions/inlineBytesMax`` is what the device gave.
    public let options: QueuePairOptions

    /// What must not go before the queue pair.
    private struct Parents {
        let domain: ProtectionDomain
        let sends: CompletionQueue
        let receives: CompletionQueue
        let shared: SharedReceiveQueue?
        let extendedDomain: ExtendedReliableDomain?
    }

    /// Makes one in the reset state.
    /// - Parameters:
    ///   - sends: Takes the completions of the send queue.
    ///   - receives: Takes those of the receive queue; may be the same.
    ///   - shared: Where receives are taken from, instead of a receive queue of its own.
    ///   - extendedDomain: The XRC domain, for ``QueuePairKind/extendedReliableReceive``.
    /// - Throws: ``FabricError`` with code `unsupported` when the device has no such service or operation.
    public init(
        _ options: QueuePairOptions, in domain: ProtectionDomain, sends: CompletionQueue, receives: CompletionQueue,
        shared: SharedReceiveQueue? = nil, extendedDomain: ExtendedReliableDomain? = nil
    ) throws(FabricError) {
        let parents = Parents(
            domain: domain, sends: sends, receives: receives, shared: shared, extendedDomain: extendedDomain)
        var attributes = unsafe Self.attributes(options, parents)
        let raw = unsafe try VerbsCall.nonNull(
            "ibv_create_qp_ex", ibv_create_qp_ex(domain.context.raw, &attributes), Self.failure(options))
        unsafe self.init(raw: raw, options, parents, identifier: nil, inlineBytes: attributes.cap.max_inline_data)
    }

    /// Makes one for a connection; the connection manager takes it through its states.
    public init(
        _ options: QueuePairOptions, on identifier: ConnectionIdentifier, in domain: ProtectionDomain,
        sends: CompletionQueue, receives: CompletionQueue, shared: SharedReceiveQueue? = nil
    ) throws(FabricError) {
        let parents = Parents(domain: domain, sends: sends, receives: receives, shared: shared, extendedDomain: nil)
        var attributes = unsafe Self.attributes(options, parents)
        let result = unsafe rdma_create_qp_ex(identifier.raw, &attributes)
        try VerbsCall.checkMinusOne("rdma_create_qp_ex", result, Self.failure(options))
        unsafe self.init(
            raw: identifier.raw.pointee.qp, options, parents, identifier: identifier,
            inlineBytes: attributes.cap.max_inline_data)
    }

    private init(
        raw: UnsafeMutablePointer<ibv_qp>, _ options: QueuePairOptions, _ parents: Parents,
        identifier: ConnectionIdentifier?, inlineBytes: UInt32
    ) {
        unsafe self.raw = raw
        unsafe extended = options.extendedOperations.isEmpty ? nil : ibv_qp_to_qp_ex(raw)
        self.identifier = identifier
        self.parents = parents
        var given = options
        given.inlineBytesMax = max(options.inlineBytesMax, Int(inlineBytes))
        self.options = given
    }

    deinit {
        if let identifier {
            unsafe rdma_destroy_qp(identifier.raw)
        } else {
            let result = unsafe ibv_destroy_qp(raw)
            precondition(result == 0, "ibv_destroy_qp failed: the queue pair is still attached to a multicast group")
        }
    }

    /// The number that completions, and peers, name.
    public var number: UInt32 { unsafe raw.pointee.qp_num }

    /// Where its completions are reported: two queues, or one.
    var completionQueues: [CompletionQueue] {
        parents.sends === parents.receives ? [parents.sends] : [parents.sends, parents.receives]
    }

    /// Destroys it.
    public consuming func close() {}

    private static func attributes(_ options: QueuePairOptions, _ parents: Parents) -> ibv_qp_init_attr_ex {
        var attributes = unsafe ibv_qp_init_attr_ex()
        unsafe attributes.send_cq = unsafe parents.sends.raw
        unsafe attributes.recv_cq = unsafe parents.receives.raw
        unsafe attributes.srq = unsafe parents.shared?.raw
        unsafe attributes.cap.max_send_wr = UInt32(options.depths.send)
        unsafe attributes.cap.max_recv_wr = UInt32(options.depths.receive)
        unsafe attributes.cap.max_send_sge = UInt32(options.sendElementsMax)
        unsafe attributes.cap.max_recv_sge = UInt32(options.receiveElementsMax)
        unsafe attributes.cap.max_inline_data = UInt32(options.inlineBytesMax)
        unsafe attributes.qp_type = ibv_qp_type(numericCast(options.kind.rawValue))
        unsafe attributes.sq_sig_all = options.signalsAll ? 1 : 0
        unsafe attributes.pd = unsafe parents.domain.raw
        unsafe attributes.comp_mask = UInt32(IBV_QP_INIT_ATTR_PD.rawCode)
        if let domain = parents.extendedDomain {
            unsafe attributes.xrcd = unsafe domain.raw
            unsafe attributes.comp_mask |= UInt32(IBV_QP_INIT_ATTR_XRCD.rawCode)
        }
        if !options.extendedOperations.isEmpty {
            unsafe attributes.send_ops_flags = options.extendedOperations.rawValue
            unsafe attributes.comp_mask |= UInt32(IBV_QP_INIT_ATTR_SEND_OPS_FLAGS.rawCode)
        }
        return unsafe attributes
    }

    private static func failure(_ options: QueuePairOptions) -> String {
        "cannot make a \(options.kind) queue pair of \(options.depths.send) + \(options.depths.receive) requests, "
            + "\(options.sendElementsMax) + \(options.receiveElementsMax) elements, "
            + "\(options.inlineBytesMax) inline bytes"
    }
}
