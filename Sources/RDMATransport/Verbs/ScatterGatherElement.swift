internal import CVerbs

/// A run of registered memory, as work requests name it. Made by ``MemoryRegion/element(offset:byteCount:)``, which
/// checks the bounds; it does not keep the region.
public struct ScatterGatherElement: Sendable {
    /// Address of the first byte.
    public let address: UInt64
    /// Length in bytes.
    public let byteCount: Int
    /// The region's key.
    public let localKey: UInt32

    init(address: UInt64, byteCount: Int, localKey: UInt32) {
        self.address = address
        self.byteCount = byteCount
        self.localKey = localKey
    }

    var raw: ibv_sge { ibv_sge(addr: address, length: UInt32(byteCount), lkey: localKey) }
}
