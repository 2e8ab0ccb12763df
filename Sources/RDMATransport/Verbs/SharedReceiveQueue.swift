internal import CVerbs

/// Receives that many queue pairs take from. Verbs: `ibv_create_srq(3)`, `ibv_post_srq_recv(3)`.
///
/// Keeps its protection domain alive; kept alive by its queue pairs.
/// - Threading: one thread posts.
@safe public final class SharedReceiveQueue {
    let raw: UnsafeMutablePointer<ibv_srq>
    private let domain: ProtectionDomain
    /// Receives that fit.
    public let depth: Int

    /// Makes one for `depth` receives of up to `elementsMax` elements.
    public init(depth: Int, elementsMax: Int = 1, in domain: ProtectionDomain) throws(FabricError) {
        var attributes = unsafe ibv_srq_init_attr()
        unsafe attributes.attr.max_wr = UInt32(depth)
        unsafe attributes.attr.max_sge = UInt32(elementsMax)
        unsafe raw = try VerbsCall.nonNull(
            "ibv_create_srq", ibv_create_srq(domain.raw, &attributes),
            "cannot make a shared receive queue of \(depth) receives on \(domain.context.name)")
        self.domain = domain
        unsafe self.depth = Int(attributes.attr.max_wr)
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
