/// What a registration allows. Source: `ibv_reg_mr(3)`.
public struct MemoryAccess: OptionSet, Sendable {
    /// Bits of `enum ibv_access_flags`.
    public let rawValue: Int32
    /// Any bits.
    public init(rawValue: Int32) { self.rawValue = rawValue }
    /// The device may write: receives, and sinks of RDMA READs.
    public static let localWrite = MemoryAccess(rawValue: 1)
    /// Peers may write; needs ``localWrite``.
    public static let remoteWrite = MemoryAccess(rawValue: 2)
    /// Peers may read.
    public static let remoteRead = MemoryAccess(rawValue: 4)
    /// Peers may use atomics; needs ``localWrite``.
    public static let remoteAtomic = MemoryAccess(rawValue: 8)
    /// Memory windows may be bound to it.
    public static let windowBind = MemoryAccess(rawValue: 16)
    /// A window's addresses begin at 0 instead of the memory's own.
    public static let zeroBased = MemoryAccess(rawValue: 32)
    /// The device fetches pages when it needs them, instead of all being pinned.
    public static let onDemand = MemoryAccess(rawValue: 64)
    /// Every page is a huge page (with ``onDemand``).
    public static let hugePages = MemoryAccess(rawValue: 128)
    /// The device may order its accesses as the bus likes: faster, and only completions say what has arrived.
    /// Ignored where the kernel or device does not know it.
    public static let relaxedOrdering = MemoryAccess(rawValue: 1 << 20)
}
