/// Parked fetches by their deadlines. One that was answered earlier stays until its time: who takes it out knows.
struct DeadlineHeap {
    struct Entry {
        /// In nanoseconds of the monotonic clock.
        let deadline: UInt64
        let connection: UInt64
        /// See ``WaitingFetch/number``.
        let number: UInt64
    }

    private var entries: [Entry] = []

    /// The earliest deadline.
    var first: UInt64? { entries.first?.deadline }

    var count: Int { entries.count }

    /// Drops those that nobody waits for any more.
    mutating func keep(where isWanted: (Entry) -> Bool) {
        let kept = entries.filter(isWanted)
        entries.removeAll(keepingCapacity: true)
        for entry in kept { insert(entry) }
    }

    mutating func insert(_ entry: Entry) {
        entries.append(entry)
        var place = entries.count - 1
        while place > 0, entries[place].deadline < entries[(place - 1) / 2].deadline {
            entries.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// Takes out the earliest, if its time has come.
    mutating func popDue(_ now: UInt64) -> Entry? {
        guard let first = entries.first, first.deadline <= now else { return nil }
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < entries.count {
                if entries[child].deadline < entries[least].deadline { least = child }
            }
            guard least != place else { return first }
            entries.swapAt(place, least)
            place = least
        }
    }
}
