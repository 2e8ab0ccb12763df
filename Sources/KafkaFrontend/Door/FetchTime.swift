internal import Reactor

/// How long fetches have been served in a turn. Those of thousands of partitions take their time; for the others, which
/// are most, no clock is read.
struct FetchTime {
    /// Partitions between two looks at the clock. They take less than a millisecond.
    static let partitions = 1_000

    private var partitions: Int
    private var start: UInt64?

    /// - Parameter partitions: Looked at so far (``KafkaDoorCounters/partitionsLookedAt``).
    init(since partitions: Int) { self.partitions = partitions }

    /// Whether others shall have their turn. The first thousand partitions are not counted.
    mutating func isOver(_ partitions: Int, nanosecondsMax: UInt64) -> Bool {
        guard partitions - self.partitions >= Self.partitions else { return false }
        self.partitions = partitions
        let now = Clock.monotonicNanoseconds()
        guard let start else {
            start = now
            return false
        }
        return now - start >= nanosecondsMax
    }
}
