/// What a shared-memory fabric touches per message, poll and flush; see ``SharedMemoryLane`` for why it lies outside of
/// Swift's objects.
@unsafe struct SharedMemoryLanes {
    private let capacity: Int
    /// By the connection's index.
    private let byIndex: UnsafeMutablePointer<UnsafeMutablePointer<SharedMemoryLane>?>
    /// The open ones, in no order.
    let open: UnsafeMutablePointer<UnsafeMutablePointer<SharedMemoryLane>>
    private(set) var openCount = 0
    /// Those with something to flush.
    let dirty: UnsafeMutablePointer<UnsafeMutablePointer<SharedMemoryLane>>
    private(set) var dirtyCount = 0
    /// Events that calls outside of poll caused.
    var pending = unsafe EventQueue()
    /// Our own registered memory, by region.
    var regions = unsafe LocalRegions()
    /// Polls until the clock is asked whether the sockets are due.
    var pollsUntilClock: UInt32 = 0
    /// When the sockets are to be looked at again.
    var socketsDue: UInt64 = 0
    /// The peers were told that this side sleeps.
    var isAnnounced = false

    init(capacity: Int) {
        unsafe self.capacity = capacity
        unsafe byIndex = .allocate(capacity: capacity)
        unsafe byIndex.initialize(repeating: nil, count: capacity)
        unsafe open = .allocate(capacity: capacity)
        unsafe dirty = .allocate(capacity: capacity)
    }

    func deallocate() {
        unsafe byIndex.deallocate()
        unsafe open.deallocate()
        unsafe dirty.deallocate()
        unsafe pending.deallocate()
        unsafe regions.deallocate()
    }

    /// The lane of a connection, open or held; nil for any other id.
    @inline(__always) subscript(id: ConnectionID) -> UnsafeMutablePointer<SharedMemoryLane>? {
        guard unsafe Int(id.index) < capacity, let lane = unsafe byIndex[Int(id.index)], unsafe lane.pointee.id == id
        else { return nil }
        return unsafe lane
    }

    mutating func add(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        unsafe byIndex[Int(lane.pointee.id.index)] = unsafe lane
        unsafe (open + openCount).initialize(to: lane)
        unsafe openCount += 1
    }

    /// Ends the flow of messages; the lane can be found until ``remove(_:)``.
    mutating func close(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        guard unsafe lane.pointee.isOpen else { return }
        unsafe lane.pointee.isOpen = false
        for index in unsafe 0..<openCount where unsafe open[index] == lane {
            unsafe openCount -= 1
            unsafe open[index] = unsafe open[openCount]
            break
        }
        for index in unsafe 0..<dirtyCount where unsafe dirty[index] == lane {
            unsafe dirtyCount -= 1
            unsafe dirty[index] = unsafe dirty[dirtyCount]
            break
        }
        unsafe lane.pointee.isDirty = false
    }

    /// Forgets a closed lane, which may be freed then.
    mutating func remove(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        unsafe byIndex[Int(lane.pointee.id.index)] = nil
    }

    @inline(__always) mutating func markDirty(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        guard unsafe !lane.pointee.isDirty else { return }
        unsafe lane.pointee.isDirty = true
        unsafe (dirty + dirtyCount).initialize(to: lane)
        unsafe dirtyCount += 1
    }

    mutating func clearDirty() { unsafe dirtyCount = 0 }
}
