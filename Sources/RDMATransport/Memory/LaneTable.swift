/// What one connection touches per message. It lies at a fixed place outside of Swift's objects, so that posting,
/// polling and releasing count no references, hash nothing and check no exclusivity.
@unsafe protocol Lane: ~Copyable {
    var id: ConnectionID { get }
    /// It stands in the list of lanes to be flushed.
    var isDirty: Bool { get set }
}

/// The lanes of a fabric, by connection and by what is to be flushed. A lane belongs to its connection, which frees it
/// after ``remove(_:)``.
@unsafe struct LaneTable<Entry: Lane & ~Copyable> {
    private let capacity: Int
    /// By the connection's index.
    private let byIndex: UnsafeMutablePointer<UnsafeMutablePointer<Entry>?>
    /// Those with something to flush.
    let dirty: UnsafeMutablePointer<UnsafeMutablePointer<Entry>>
    private(set) var dirtyCount = 0

    init(capacity: Int) {
        unsafe self.capacity = capacity
        unsafe byIndex = .allocate(capacity: capacity)
        unsafe byIndex.initialize(repeating: nil, count: capacity)
        unsafe dirty = .allocate(capacity: capacity)
    }

    func deallocate() {
        unsafe byIndex.deallocate()
        unsafe dirty.deallocate()
    }

    /// The lane of a connection; nil for any other id.
    @inline(__always) subscript(id: ConnectionID) -> UnsafeMutablePointer<Entry>? {
        guard let lane = unsafe self[index: id.index], unsafe lane.pointee.id == id else { return nil }
        return unsafe lane
    }

    /// The lane of whichever connection has the index.
    @inline(__always) subscript(index index: UInt32) -> UnsafeMutablePointer<Entry>? {
        unsafe Int(index) < capacity ? byIndex[Int(index)] : nil
    }

    mutating func add(_ lane: UnsafeMutablePointer<Entry>) {
        unsafe byIndex[Int(lane.pointee.id.index)] = unsafe lane
    }

    mutating func remove(_ lane: UnsafeMutablePointer<Entry>) {
        unsafe clean(lane)
        unsafe byIndex[Int(lane.pointee.id.index)] = nil
    }

    @inline(__always) mutating func markDirty(_ lane: UnsafeMutablePointer<Entry>) {
        guard unsafe !lane.pointee.isDirty else { return }
        unsafe lane.pointee.isDirty = true
        unsafe (dirty + dirtyCount).initialize(to: lane)
        unsafe dirtyCount += 1
    }

    /// Takes a lane off the list of those to be flushed.
    mutating func clean(_ lane: UnsafeMutablePointer<Entry>) {
        guard unsafe lane.pointee.isDirty else { return }
        unsafe lane.pointee.isDirty = false
        for index in unsafe 0..<dirtyCount where unsafe dirty[index] == lane {
            unsafe dirtyCount -= 1
            unsafe dirty[index] = unsafe dirty[dirtyCount]
            return
        }
    }

    /// Forgets the list; who flushed the lanes has marked them.
    mutating func clearDirty() { unsafe dirtyCount = 0 }
}
