internal import CVerbs

/// Groups the memory regions and queue pairs that may work together. Verb: `ibv_alloc_pd(3)`.
///
/// Kept alive by everything made in it; freed with the last reference.
/// - Threading: thread-safe, as libibverbs is; nothing changes after `init`.
@safe public final class ProtectionDomain: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_pd>
    /// The device that it belongs to; kept open.
    public let context: DeviceContext
    private let parent: ProtectionDomain?
    private let thread: ThreadDomain?

    /// Makes one on a device.
    public init(context: DeviceContext) throws(FabricError) {
        unsafe raw = try VerbsCall.nonNull(
            "ibv_alloc_pd", ibv_alloc_pd(context.raw), "cannot make a protection domain on \(context.name)")
        self.context = context
        parent = nil
        thread = nil
    }

    /// Makes a parent domain: the same protection, with objects that promise to stay on one thread.
    /// Verb: `ibv_alloc_parent_domain(3)`.
    /// - Throws: ``FabricError`` with code `unsupported` where the device has none.
    public init(parent: ProtectionDomain, thread: ThreadDomain?) throws(FabricError) {
        var attributes = unsafe ibv_parent_domain_init_attr()
        unsafe attributes.pd = unsafe parent.raw
        unsafe attributes.td = unsafe thread?.raw
        unsafe raw = try VerbsCall.nonNull(
            "ibv_alloc_parent_domain", ibv_alloc_parent_domain(parent.context.raw, &attributes),
            "cannot make a parent domain on \(parent.context.name)")
        context = parent.context
        self.parent = parent
        self.thread = thread
    }

    deinit { unsafe ibv_dealloc_pd(raw) }
}

/// A promise that objects made with it are used by one thread, so that the library may leave out its locks.
/// Verb: `ibv_alloc_td(3)`.
@safe public final class ThreadDomain: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_td>
    private let context: DeviceContext

    /// Makes one on a device.
    /// - Throws: ``FabricError`` with code `unsupported` where the device has none.
    public init(context: DeviceContext) throws(FabricError) {
        var attributes = ibv_td_init_attr()
        unsafe raw = try VerbsCall.nonNull(
            "ibv_alloc_td", ibv_alloc_td(context.raw, &attributes), "cannot make a thread domain on \(context.name)")
        self.context = context
    }

    deinit { unsafe ibv_dealloc_td(raw) }
}
