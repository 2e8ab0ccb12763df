internal import RecordFormat

/// The transactions of a partition that no marker has ended, by where they begin.
struct OngoingTransactions {
    private var starts: [Int64: Offset] = [:]
    /// In order; those that have ended are dropped when they come to the front, or are too many.
    private var queue: [(start: Offset, producerID: Int64)] = []
    private var head = 0

    var count: Int { starts.count }

    func start(of producerID: Int64) -> Offset? { starts[producerID] }

    /// - Parameter start: Larger than all before.
    mutating func begin(_ producerID: Int64, at start: Offset) {
        starts[producerID] = start
        if queue.count > 64, queue.count > 2 * starts.count {
            queue = queue[head...].filter { starts[$0.producerID] == $0.start }
            head = 0
        }
        queue.append((start, producerID))
    }

    /// Where it began; nil when there was none.
    mutating func end(_ producerID: Int64) -> Offset? {
        guard let start = starts.removeValue(forKey: producerID) else { return nil }
        while head < queue.count, starts[queue[head].producerID] != queue[head].start { head += 1 }
        return start
    }

    /// Where the oldest begins.
    var first: Offset? { head < queue.count ? queue[head].start : nil }

    init() {}

    init(_ starts: [(producerID: Int64, start: Offset)]) {
        for (producerID, start) in starts.sorted(by: { $0.start < $1.start }) { begin(producerID, at: start) }
    }
}
