/// Registered regions by id. A class holds each one because collections refuse noncopyable elements.
struct RegionTable {
    private final class Box {
        let region: MemoryRegion
        init(_ region: consuming MemoryRegion) { self.region = region }
    }

    private var boxes: [RegionID: Box] = [:]

    mutating func insert(_ region: consuming MemoryRegion, as id: RegionID) { boxes[id] = Box(region) }

    mutating func remove(_ id: RegionID) { boxes[id] = nil }

    mutating func removeAll() { boxes = [:] }

    func remote(_ id: RegionID) -> RemoteRegion {
        guard let box = boxes[id] else { preconditionFailure("region not registered") }
        return RemoteRegion(
            key: box.region.remoteKey, address: box.region.address, byteCount: box.region.byteCount)
    }
}
