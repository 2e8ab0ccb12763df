/// Where our own registered memory lies. A number is its index and how often the index was used: 16 bits each.
@unsafe struct LocalRegions {
    @unsafe private struct Region {
        var base: UnsafeMutableRawPointer?
        var byteCount: Int
        var access: PeerAccess
        var use: UInt32
    }
    private var regions: UnsafeMutablePointer<Region>
    private var capacity = 16
    private var count = 0

    init() { unsafe regions = .allocate(capacity: 16) }

    func deallocate() { unsafe regions.deallocate() }

    /// Nil when there are 65,535 regions.
    mutating func add(_ bytes: UnsafeMutableRawBufferPointer, access: PeerAccess) -> RegionID? {
        var index = 0
        while unsafe index < count, unsafe regions[index].base != nil { index += 1 }
        if unsafe index == count {
            guard index < 0xffff else { return nil }
            if unsafe count == capacity { unsafe grow() }
            unsafe (regions + index).initialize(to: Region(base: nil, byteCount: 0, access: .none, use: 0))
            unsafe count += 1
        }
        unsafe regions[index].base = bytes.baseAddress
        unsafe regions[index].byteCount = bytes.count
        unsafe regions[index].access = access
        unsafe regions[index].use = (regions[index].use + 1) & 0xffff
        return unsafe RegionID(rawValue: regions[index].use << 16 | UInt32(index + 1))
    }

    private mutating func grow() {
        let larger = unsafe UnsafeMutablePointer<Region>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: regions, count: count)
        unsafe regions.deallocate()
        unsafe regions = unsafe larger
        unsafe capacity *= 2
    }

    private func find(_ id: RegionID) -> UnsafeMutablePointer<Region>? {
        let index = Int(id.rawValue & 0xffff) - 1
        guard unsafe index >= 0 && index < count, unsafe regions[index].use == id.rawValue >> 16,
            unsafe regions[index].base != nil
        else { return nil }
        return unsafe regions + index
    }

    mutating func remove(_ id: RegionID) { unsafe find(id)?.pointee.base = nil }

    /// What the peer may do with a region; nil when there is no such region.
    func access(of id: RegionID) -> PeerAccess? { unsafe find(id)?.pointee.access }

    /// The first byte of a slice, which must lie in a registered region.
    @inline(__always) func bytes(_ slice: LocalSlice) -> UnsafeMutableRawPointer {
        guard let region = unsafe find(slice.region) else { preconditionFailure("region not registered") }
        let size = unsafe region.pointee.byteCount
        precondition(
            slice.offset >= 0 && slice.count >= 0 && slice.offset <= size && slice.count <= size - slice.offset,
            "slice outside of its region")
        return unsafe region.pointee.base.unsafelyUnwrapped + slice.offset
    }
}
