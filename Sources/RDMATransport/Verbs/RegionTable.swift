/// Registered regions by id. A class holds each one because arrays refuse noncopyable elements.
struct RegionTable {
    private final class Box {
        let region: MemoryRegion
        init(_ region: consuming MemoryRegion) { self.region = region }
    }

    private var boxes: [UInt32: Box] = [:]
    private var nextID: UInt32 = 1
    // The one looked up last: a broker's arena is nearly always meant.
    private var last: (id: UInt32, address: UInt64, localKey: UInt32, byteCount: Int)?

    mutating func insert(_ region: consuming MemoryRegion) -> RegionID {
        let id = nextID
        nextID += 1
        boxes[id] = Box(region)
        return RegionID(rawValue: id)
    }

    mutating func remove(_ id: RegionID) {
        boxes[id.rawValue] = nil
        last = nil
    }

    mutating func removeAll() {
        boxes = [:]
        last = nil
    }

    func remote(_ id: RegionID) -> RemoteRegion {
        guard let box = boxes[id.rawValue] else { preconditionFailure("region not registered") }
        return RemoteRegion(
            key: box.region.remoteKey, address: box.region.address, byteCount: box.region.byteCount)
    }

    mutating func piece(_ slice: LocalSlice) -> ScatterGatherElement {
        if last?.id != slice.region.rawValue {
            guard let box = boxes[slice.region.rawValue] else { preconditionFailure("region not registered") }
            last = (slice.region.rawValue, box.region.address, box.region.localKey, Int(box.region.byteCount))
        }
        precondition(slice.offset >= 0 && slice.count >= 0 && slice.count <= last!.byteCount - slice.offset)
        return ScatterGatherElement(
            address: last!.address + UInt64(slice.offset), byteCount: slice.count, localKey: last!.localKey)
    }
}
