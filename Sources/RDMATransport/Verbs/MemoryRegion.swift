internal import CLinux
internal import CVerbs
import Glibc

/// Memory that a device may reach. Keeps the block mapped and the protection domain alive.
///
/// - Ownership: one owner. Deregistered by ``close()`` or when the value goes; no work that names it may be
///   outstanding then, and no memory window bound to it: the memory leaks then, and debug builds trap.
@safe public struct MemoryRegion: ~Copyable {
    let raw: UnsafeMutablePointer<ibv_mr>
    private let domain: ProtectionDomain
    /// The memory, when the region owns it.
    public let memory: MemoryBlock?
    /// Names the region in our own work requests.
    public let localKey: UInt32
    /// Names the region in a peer's work requests.
    public let remoteKey: UInt32
    /// Address of the first byte, as work requests and peers must give it.
    public let address: UInt64
    /// Length in bytes; `UInt64.max` for all of the process's memory.
    public let byteCount: UInt64

    /// Registers all of `memory`: the kernel pins its pages and charges them to the memlock limit.
    public init(_ memory: MemoryBlock, access: MemoryAccess, in domain: ProtectionDomain) throws(FabricError) {
        unsafe try self.init(unowned: memory.bytes, memory, access: access, in: domain)
    }

    /// Registers all of `memory` under addresses of your own, from `ioAddress` on: the same offset in its page as the
    /// memory has. Verb: `ibv_reg_mr_iova(3)`.
    public init(
        _ memory: MemoryBlock, ioAddress: UInt64, access: MemoryAccess, in domain: ProtectionDomain
    ) throws(FabricError) {
        let bytes = unsafe memory.bytes
        guard
            let raw = unsafe cverbs_reg_mr_iova(
                domain.raw, bytes.baseAddress, bytes.count, ioAddress, UInt32(access.rawValue))
        else { throw Self.registrationError("ibv_reg_mr_iova", errno, byteCount: bytes.count, domain) }
        unsafe self.init(raw, domain, memory, address: ioAddress, byteCount: UInt64(bytes.count))
    }

    /// Registers memory that somebody else owns, such as a mapped file.
    ///
    /// Unsafe: it must stay mapped until the region is closed.
    @unsafe public init(
        unowned bytes: UnsafeMutableRawBufferPointer, access: MemoryAccess, in domain: ProtectionDomain
    ) throws(FabricError) {
        unsafe try self.init(unowned: bytes, nil, access: access, in: domain)
    }

    /// Registers all of the process's memory, present and future, to be fetched on demand: nothing is pinned.
    /// - Throws: ``FabricError`` with code `unsupported` where the device cannot
    ///   (see ``DeviceAttributes/onDemandPaging``).
    public init(everythingOnDemand access: MemoryAccess, in domain: ProtectionDomain) throws(FabricError) {
        let flags = access.union(.onDemand).rawValue
        guard let raw = unsafe cverbs_reg_mr(domain.raw, nil, Int(bitPattern: UInt.max), flags) else {
            throw FabricError.verbs(
                "ibv_reg_mr", errno, "cannot register all memory on demand with \(domain.context.name)")
        }
        unsafe self.init(raw, domain, nil, address: 0, byteCount: .max)
    }

    /// Registers another device's memory, shared as a dma-buf. Verb: `ibv_reg_dmabuf_mr(3)`.
    /// - Throws: ``FabricError`` with code `unsupported` where the device cannot.
    public init(
        dmaBuffer descriptor: Int32, offset: Int, byteCount: Int, ioAddress: UInt64, access: MemoryAccess,
        in domain: ProtectionDomain
    ) throws(FabricError) {
        guard
            let raw = unsafe ibv_reg_dmabuf_mr(
                domain.raw, UInt64(offset), byteCount, ioAddress, descriptor, access.rawValue)
        else {
            throw FabricError.verbs(
                "ibv_reg_dmabuf_mr", errno, "cannot register a dma-buf with \(domain.context.name)")
        }
        unsafe self.init(raw, domain, nil, address: ioAddress, byteCount: UInt64(byteCount))
    }

    private init(
        unowned bytes: UnsafeMutableRawBufferPointer, _ memory: MemoryBlock?, access: MemoryAccess,
        in domain: ProtectionDomain
    ) throws(FabricError) {
        guard let raw = unsafe cverbs_reg_mr(domain.raw, bytes.baseAddress, bytes.count, access.rawValue) else {
            throw Self.registrationError("ibv_reg_mr", errno, byteCount: bytes.count, domain)
        }
        let address = UInt64(UInt(bitPattern: bytes.baseAddress!))
        unsafe self.init(raw, domain, memory, address: address, byteCount: UInt64(bytes.count))
    }

    private init(
        _ raw: UnsafeMutablePointer<ibv_mr>, _ domain: ProtectionDomain, _ memory: MemoryBlock?, address: UInt64,
        byteCount: UInt64
    ) {
        unsafe self.raw = raw
        self.domain = domain
        self.memory = memory
        self.address = address
        self.byteCount = byteCount
        localKey = unsafe raw.pointee.lkey
        remoteKey = unsafe raw.pointee.rkey
    }

    /// Ends the registration.
    public consuming func close() {}

    deinit {
        guard unsafe ibv_dereg_mr(raw) != 0 else { return }
        // The device may still reach the memory: better lost than written to by somebody else.
        if let memory { _ = unsafe Unmanaged.passRetained(memory) }
        assertionFailure("ibv_dereg_mr failed: a memory window is still bound to the region")
    }

    /// A run of the region, for our own work requests. Traps outside of the region.
    public borrowing func element(offset: Int, byteCount: Int) -> ScatterGatherElement {
        precondition(
            offset >= 0 && byteCount >= 0 && byteCount <= Int(UInt32.max)
                && UInt64(offset) <= self.byteCount && UInt64(byteCount) <= self.byteCount - UInt64(offset))
        return ScatterGatherElement(address: address &+ UInt64(offset), byteCount: byteCount, localKey: localKey)
    }

    /// What a peer must know to reach the byte at `offset`.
    public borrowing func remote(offset: Int = 0) -> RemoteSlice {
        precondition(offset >= 0 && UInt64(offset) < byteCount)
        return RemoteSlice(key: remoteKey, address: address &+ UInt64(offset))
    }

    /// Has the device fetch pages ahead of their use (on-demand regions). Verb: `ibv_advise_mr(3)`.
    /// - Throws: ``FabricError`` with code `unsupported` where the device cannot.
    public borrowing func prefetch(offset: Int, byteCount: Int, forWriting: Bool) throws(FabricError) {
        var list = element(offset: offset, byteCount: byteCount).raw
        let advice = forWriting ? IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE : IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH
        let result = unsafe ibv_advise_mr(domain.raw, advice, 0, &list, 1)
        try VerbsCall.check("ibv_advise_mr", result, "cannot prefetch \(byteCount) bytes with \(domain.context.name)")
    }

    private static func registrationError(
        _ operation: String, _ number: Int32, byteCount: Int, _ domain: ProtectionDomain
    ) -> FabricError {
        let device = domain.context.name
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        let isKnown = unsafe clinux_memlock_limit(&soft, &hard) == 0
        if number == ENOMEM, isKnown, soft != .max {
            return FabricError(
                .memoryLockLimit, operation: operation, errorNumber: 0,
                "cannot register \(byteCount) bytes with \(device): the memlock limit is \(soft) bytes for all "
                    + "registrations together: set LimitMEMLOCK=infinity (systemd), ulimit -l unlimited, "
                    + "or give the process CAP_IPC_LOCK")
        }
        return FabricError.verbs(operation, number, "cannot register \(byteCount) bytes with \(device)")
    }
}
