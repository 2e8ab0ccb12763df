internal import CVerbs

/// A part of a memory region that a peer may reach, opened and closed by work requests instead of registrations.
/// Verbs: `ibv_alloc_mw(3)`, `ibv_bind_mw(3)`.
///
/// Keeps its protection domain alive. The region must outlive the binding.
/// - Ownership: one owner; freed with the value.
@safe public struct MemoryWindow: ~Copyable {
    /// How a window is bound.
    public enum Kind: UInt32, Sendable {
        /// Bound with ``MemoryWindow/bind(to:offset:byteCount:access:on:workID:flags:)``; the library picks the key.
        case type1 = 1
        /// Bound with ``SendOperation/bindWindow(_:)``; you pick the key's last byte, and either side may end it.
        case type2 = 2
    }

    let raw: UnsafeMutablePointer<ibv_mw>
    private let domain: ProtectionDomain
    /// How it is bound.
    public let kind: Kind

    /// Makes an unbound window.
    /// - Throws: ``FabricError`` with code `unsupported` where the device has none of the kind.
    public init(_ kind: Kind, in domain: ProtectionDomain) throws(FabricError) {
        unsafe raw = try VerbsCall.nonNull(
            "ibv_alloc_mw", ibv_alloc_mw(domain.raw, ibv_mw_type(numericCast(kind.rawValue))),
            "cannot make a memory window on \(domain.context.name)")
        self.domain = domain
        self.kind = kind
    }

    deinit { unsafe ibv_dealloc_mw(raw) }

    /// The key of the last binding; of a type 2 window the one it was made with, whose last byte is yours to change.
    public var remoteKey: UInt32 { unsafe raw.pointee.rkey }

    /// The next key of a type 2 window: only the last byte counts up. Verb: `ibv_inc_rkey(3)`.
    public static func nextKey(after key: UInt32) -> UInt32 { ibv_inc_rkey(key) }

    /// Posts the binding of a type 1 window; it counts as work of the send queue. Length 0 unbinds.
    public borrowing func bind(
        to region: borrowing MemoryRegion, offset: Int, byteCount: Int, access: MemoryAccess,
        on queuePair: borrowing QueuePair, workID: UInt64, flags: SendFlags = .signaled
    ) throws(FabricError) {
        precondition(kind == .type1)
        var request = unsafe ibv_mw_bind()
        let element = region.element(offset: offset, byteCount: byteCount)
        unsafe request.wr_id = workID
        unsafe request.send_flags = flags.rawValue
        unsafe request.bind_info.mr = unsafe region.raw
        unsafe request.bind_info.addr = element.address
        unsafe request.bind_info.length = UInt64(byteCount)
        unsafe request.bind_info.mw_access_flags = UInt32(access.rawValue)
        try VerbsCall.check(
            "ibv_bind_mw", unsafe ibv_bind_mw(queuePair.raw, raw, &request), "cannot bind a memory window")
    }

    /// The binding of a type 2 window to a part of a region, for ``SendOperation/bindWindow(_:)``. The region must have
    /// been registered with ``MemoryAccess/windowBind``.
    public borrowing func binding(
        to region: borrowing MemoryRegion, offset: Int, byteCount: Int, access: MemoryAccess, remoteKey: UInt32
    ) -> WindowBinding {
        precondition(kind == .type2)
        let element = region.element(offset: offset, byteCount: byteCount)
        return unsafe WindowBinding(
            window: raw, region: region.raw, remoteKey: remoteKey, address: element.address, byteCount: byteCount,
            access: access)
    }
}

/// What a type 2 window is to be bound to. Names the window and the region without keeping them.
///
/// - Threading: thread-safe: names and numbers; only posting needs a thread.
@safe public struct WindowBinding: @unchecked Sendable {
    let window: UnsafeMutablePointer<ibv_mw>
    let region: UnsafeMutablePointer<ibv_mr>
    /// The key that peers will use.
    public let remoteKey: UInt32
    /// Address of the first byte, as peers must give it.
    public let address: UInt64
    /// Length in bytes.
    public let byteCount: Int
    /// What peers may do.
    public let access: MemoryAccess
}
