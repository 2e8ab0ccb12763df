/// What a shared-memory fabric touches per message, poll and flush; see ``Lane`` for why it lies outside of Swift's
/// objects.
@unsafe struct SharedMemoryLanes {
    /// Open and held ones.
    var table: LaneTable<SharedMemoryLane>
    /// The open ones, in no order.
    let open: UnsafeMutablePointer<UnsafeMutablePointer<SharedMemoryLane>>
    private(set) var openCount = 0
    /// Events that calls outside of poll caused.
    var pending = unsafe EventQueue()
    /// Our own registered memory, and what the peers may do with it.
    var regions = unsafe LocalRegions<PeerAccess>()
    /// Polls until the clock is asked whether the sockets are due.
    var pollsUntilClock: UInt32 = 0
    /// When the sockets are to be looked at again.
    var socketsDue: UInt64 = 0
    /// The sockets were due when the rings had something: the next poll looks at them.
    var isLookLate = false
    /// The peers were told that this side sleeps.
    var isAnnounced = false

    init(capacity: Int) {
        unsafe table = unsafe LaneTable(capacity: capacity)
        unsafe open = .allocate(capacity: capacity)
    }

    func deallocate() {
        unsafe table.deallocate()
        unsafe open.deallocate()
        unsafe pending.deallocate()
        unsafe regions.deallocate()
    }

    mutating func add(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        unsafe table.add(lane)
        unsafe (open + openCount).initialize(to: lane)
        unsafe openCount += 1
    }

    /// Ends the flow of messages; the lane stays in the table until it is removed there.
    mutating func close(_ lane: UnsafeMutablePointer<SharedMemoryLane>) {
        guard unsafe lane.pointee.isOpen else { return }
        unsafe lane.pointee.isOpen = false
        for index in unsafe 0..<openCount where unsafe open[index] == lane {
            unsafe openCount -= 1
            unsafe open[index] = unsafe open[openCount]
            break
        }
        unsafe table.clean(lane)
    }
}
