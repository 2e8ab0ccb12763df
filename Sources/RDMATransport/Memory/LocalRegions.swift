/// Where our own registered memory lies, with what its fabric must know per message. A number is its index and how
/// often the index was used: 16 bits each.
@unsafe struct LocalRegions<Detail> {
    @unsafe private struct Region {
        var base: UnsafeMutableRawPointer?
        var byteCount: Int
        var detail: Detail
        var use: UInt32
    }
    private var regions: UnsafeMutablePointer<Region>
    private var capacity = 16
    private var count = 0

    init() { unsafe regions = .allocate(capacity: 16) }

    func deallocate() { unsafe regions.deallocate() }

    /// Nil when there are 65,535 regions.
    mutating func add(_ bytes: UnsafeMutableRawBufferPointer, _ detail: Detail) -> RegionID? {
        var index = 0
        while unsafe index < count, unsafe regions[index].base != nil { index += 1 }
        if unsafe index == count {
            guard index < 0xffff else { return nil }
            if unsafe count == capacity { unsafe grow() }
            unsafe (regions + index).initialize(to: Region(base: nil, byteCount: 0, detail: detail, use: 0))
            unsafe count += 1
        }
        unsafe regions[index].base = bytes.baseAddress
        unsafe regions[index].byteCount = bytes.count
        unsafe regions[index].detail = detail
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

    /// What was registered with a region; nil when there is no such region.
    func detail(of id: RegionID) -> Detail? { unsafe find(id)?.pointee.detail }

    /// The first byte of a slice, which must lie in a registered region, and what was registered with the region.
    @inline(__always) func locate(_ slice: LocalSlice) -> (bytes: UnsafeMutableRawPointer, detail: Detail) {
        guard let region = unsafe find(slice.region) else { preconditionFailure("region not registered") }
        let size = unsafe region.pointee.byteCount
        precondition(
            slice.offset >= 0 && slice.count >= 0 && slice.offset <= size && slice.count <= size - slice.offset,
            "slice outside of its region")
        return unsafe (region.pointee.base.unsafelyUnwrapped + slice.offset, region.pointee.detail)
    }
}
