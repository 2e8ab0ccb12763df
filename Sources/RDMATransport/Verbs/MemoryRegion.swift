internal import CLinux
internal import CVerbs
import Glibc

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
}

/// Memory that a device may reach. Keeps the block mapped and the protection domain alive.
///
/// - Ownership: one owner. Deregistered by ``close()`` or when the value goes; no work that names it may be
///   outstanding then.
@safe public struct MemoryRegion: ~Copyable {
    private let raw: UnsafeMutablePointer<ibv_mr>
    private let domain: ProtectionDomain
    package let memory: MemoryBlock
    /// Names the region in our own work requests.
    public let localKey: UInt32
    /// Names the region in a peer's work requests.
    public let remoteKey: UInt32
    /// Address of the first byte, as peers must give it.
    public let address: UInt64

    /// Registers all of `memory`: the kernel pins its pages and charges them to the memlock limit.
    package init(_ memory: MemoryBlock, access: MemoryAccess, in domain: ProtectionDomain) throws(FabricError) {
        let count = unsafe memory.bytes.count
        guard let raw = unsafe cverbs_reg_mr(domain.raw, memory.bytes.baseAddress, count, access.rawValue) else {
            throw Self.registrationError(errno, byteCount: count, device: domain.context.name)
        }
        unsafe self.raw = raw
        self.domain = domain
        self.memory = memory
        localKey = unsafe raw.pointee.lkey
        remoteKey = unsafe raw.pointee.rkey
        address = unsafe UInt64(UInt(bitPattern: memory.bytes.baseAddress!))
    }

    /// Ends the registration.
    public consuming func close() {}

    deinit {
        let result = unsafe ibv_dereg_mr(raw)
        precondition(result == 0, "ibv_dereg_mr failed: a memory window or work still uses the region")
    }

    private static func registrationError(_ number: Int32, byteCount: Int, device: String) -> FabricError {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        let isKnown = unsafe clinux_memlock_limit(&soft, &hard) == 0
        if number == ENOMEM, isKnown, soft != .max {
            return FabricError(
                .memoryLockLimit, operation: "ibv_reg_mr", errorNumber: 0,
                "cannot register \(byteCount) bytes with \(device): the memlock limit is \(soft) bytes for all "
                    + "registrations together: set LimitMEMLOCK=infinity (systemd), ulimit -l unlimited, "
                    + "or give the process CAP_IPC_LOCK")
        }
        return FabricError(
            .system, operation: "ibv_reg_mr", errorNumber: number, "cannot register \(byteCount) bytes with \(device)")
    }
}
