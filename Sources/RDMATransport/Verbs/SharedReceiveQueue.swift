internal import CVerbs

/// Receives that many queue pairs take from. Verbs: `ibv_create_srq(3)`, `ibv_post_srq_recv(3)`.
///
/// Keeps its protection domain alive; kept alive by its queue pairs.
/// - Threading: one thread posts.
@safe public final class SharedReceiveQueue {
    let raw: UnsafeMutablePointer<ibv_srq>
    private let domain: ProtectionDomain
    /// Of an XRC queue: what must not go before it.
    private let extended: (domain: ExtendedReliableDomain, completions: CompletionQueue)?
    /// Receives that fit.
    public let depth: Int
    /// What a peer's requests name, of an XRC queue; else nil.
    public let number: UInt32?

    /// Makes one for `depth` receives of up to `elementsMax` elements.
    public init(depth: Int, elementsMax: Int = 1, in domain: ProtectionDomain) throws(FabricError) {
        var attributes = unsafe ibv_srq_init_attr()
        unsafe attributes.attr.max_wr = UInt32(depth)
        unsafe attributes.attr.max_sge = UInt32(elementsMax)
        unsafe raw = try VerbsCall.nonNull(
            "ibv_create_srq", ibv_create_srq(domain.raw, &attributes),
            "cannot make a shared receive queue of \(depth) receives on \(domain.context.name)")
        self.domain = domain
        extended = nil
        number = nil
        unsafe self.depth = Int(attributes.attr.max_wr)
    }

    /// Makes one of an XRC domain: peers name it by its ``number``, and `completions` reports its receives. Verb:
    /// `ibv_create_srq_ex(3)`.
    /// - Throws: ``FabricError`` with code `unsupported` where the device has no XRC.
    public init(
        depth: Int, elementsMax: Int = 1, in domain: ProtectionDomain, extendedDomain: ExtendedReliableDomain,
        completions: CompletionQueue
    ) throws(FabricError) {
        var attributes = unsafe ibv_srq_init_attr_ex()
        unsafe attributes.attr.max_wr = UInt32(depth)
        unsafe attributes.attr.max_sge = UInt32(elementsMax)
        unsafe attributes.comp_mask = UInt32(
            IBV_SRQ_INIT_ATTR_TYPE.rawCode | IBV_SRQ_INIT_ATTR_PD.rawCode | IBV_SRQ_INIT_ATTR_XRCD.rawCode
                | IBV_SRQ_INIT_ATTR_CQ.rawCode)
        unsafe attributes.srq_type = IBV_SRQT_XRC
        unsafe attributes.pd = unsafe domain.raw
        unsafe attributes.xrcd = unsafe extendedDomain.raw
        unsafe attributes.cq = unsafe completions.raw
        let raw = unsafe try VerbsCall.nonNull(
            "ibv_create_srq_ex", ibv_create_srq_ex(domain.context.raw, &attributes),
            "cannot make an XRC receive queue of \(depth) receives on \(domain.context.name)")
        unsafe self.raw = raw
        self.domain = domain
        extended = (extendedDomain, completions)
        unsafe self.depth = Int(attributes.attr.max_wr)
        var number: UInt32 = 0
        let result = unsafe ibv_get_srq_num(raw, &number)
        self.number = result == 0 ? number : nil
    }

    deinit { unsafe ibv_destroy_srq(raw) }

    /// Asks for one ``DeviceEvent/Kind/sharedReceiveLimitReached`` when fewer than `limit` receives are left. 0: never.
    public func arm(limit: Int) throws(FabricError) {
        var attributes = ibv_srq_attr()
        attributes.srq_limit = UInt32(limit)
        let result = unsafe ibv_modify_srq(raw, &attributes, IBV_SRQ_LIMIT.rawCode)
        try VerbsCall.check("ibv_modify_srq", result, "cannot set the limit of a shared receive queue to \(limit)")
    }

    /// The limit that is armed; 0 when none is, or after the event.
    public func armedLimit() throws(FabricError) -> Int {
        var attributes = ibv_srq_attr()
        try VerbsCall.check("ibv_query_srq", unsafe ibv_query_srq(raw, &attributes), "cannot query")
        return Int(attributes.srq_limit)
    }
}

/// Groups the shared receive queues of several processes that one peer's connection may name (XRC). Verb:
/// `ibv_open_xrcd(3)`.
@safe public final class ExtendedReliableDomain {
    let raw: UnsafeMutablePointer<ibv_xrcd>
    private let context: DeviceContext

    /// Makes a private one on a device.
    /// - Throws: ``FabricError`` with code `unsupported` where the device has no XRC.
    public init(context: DeviceContext) throws(FabricError) {
        var attributes = ibv_xrcd_init_attr()
        attributes.comp_mask = UInt32(IBV_XRCD_INIT_ATTR_FD.rawCode | IBV_XRCD_INIT_ATTR_OFLAGS.rawCode)
        attributes.fd = -1
        attributes.oflags = 0o100  // O_CREAT
        unsafe raw = try VerbsCall.nonNull(
            "ibv_open_xrcd", ibv_open_xrcd(context.raw, &attributes), "cannot make an XRC domain on \(context.name)")
        self.context = context
    }

    deinit { unsafe ibv_close_xrcd(raw) }
}
