internal import CVerbs

/// Groups the memory regions and queue pairs that may work together. Verb: `ibv_alloc_pd(3)`.
///
/// Kept alive by everything made in it; freed with the last reference.
/// - Threading: thread-safe, as libibverbs is; nothing changes after `init`.
@safe public final class ProtectionDomain: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_pd>
    /// The device that it belongs to; kept open.
    public let context: DeviceContext

    /// Makes one on a device.
    public init(context: DeviceContext) throws(FabricError) {
        unsafe raw = try VerbsCall.nonNull(
            "ibv_alloc_pd", ibv_alloc_pd(context.raw), "cannot make a protection domain on \(context.name)")
        self.context = context
    }

    deinit { unsafe ibv_dealloc_pd(raw) }
}
