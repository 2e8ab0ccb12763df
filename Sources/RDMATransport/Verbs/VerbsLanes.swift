/// What a verbs fabric touches per message, poll and flush; see ``Lane`` for why it lies outside of Swift's objects.
@unsafe struct VerbsLanes {
    var table: LaneTable<VerbsLane>
    /// Our own registered memory, and its keys.
    var regions = unsafe LocalRegions<UInt32>()
    /// Events that calls outside of poll caused.
    var pending: [FabricEvent] = []
    /// Polls until the connection manager and the clock are asked.
    var pollsUntilEvents = 0
    /// Since the last poll the caller was about to sleep.
    var hasSlept = false
    /// Some connection ends, or was refused, and poll must see to it.
    var isAnyEnding = false
    var statistics = VerbsStatistics()
    /// Completions of sends that somebody may be sleeping for: of READs and probes, and what makes room for who found
    /// none. Every lane counts here.
    let awaited: UnsafeMutablePointer<Int>

    init(capacity: Int) {
        unsafe table = unsafe LaneTable(capacity: capacity)
        unsafe awaited = .allocate(capacity: 1)
        unsafe awaited.initialize(to: 0)
    }

    func deallocate() {
        unsafe table.deallocate()
        unsafe regions.deallocate()
        unsafe awaited.deallocate()
    }
}

/// Counts since a fabric was made.
package struct VerbsStatistics: Sendable {
    /// Sends, READs and WRITEs posted.
    package internal(set) var requestsPosted = 0
    /// Calls that posted them.
    package internal(set) var doorbells = 0
    /// Completions taken, receives included.
    package internal(set) var completions = 0
}
