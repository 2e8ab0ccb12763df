/// Hands out runs of a fixed range of registered memory, in whole units. First fit from where the last one ended: with
/// the oldest runs given back first, the arena is a ring (docs/adr/0013-hot-batches-and-windows.md).
///
/// - Complexity: O(units) at worst; a run is found at once while what comes next is free.
struct LandingArena {
    /// Smallest run of batches, in bytes.
    static let batchUnitBytes = 8192

    /// Smallest run, in bytes.
    let unitBytes: Int
    /// Where the arena begins in its region, in bytes.
    private let start: Int
    private var isTaken: [Bool]
    private var hint = 0
    private(set) var freeUnits: Int
    /// There is no run of so many units: who asks again is not searched for again before one has come back.
    private var missingUnits = Int.max

    init(start: Int, byteCount: Int, unitBytes: Int = batchUnitBytes) {
        self.start = start
        self.unitBytes = unitBytes
        freeUnits = byteCount / unitBytes
        isTaken = Array(repeating: false, count: freeUnits)
    }

    /// Units in all.
    var unitCount: Int { isTaken.count }

    /// The unit that a run begins with.
    func unit(at offset: Int) -> Int { (offset - start) / unitBytes }

    private func units(_ byteCount: Int) -> Int { (byteCount + unitBytes - 1) / unitBytes }

    /// Offset of a run of `byteCount` bytes in the region, or nil when there is none now.
    mutating func allocate(_ byteCount: Int) -> Int? {
        let needed = units(byteCount)
        guard needed > 0, needed <= freeUnits, needed < missingUnits else { return nil }
        guard let found = find(needed, in: hint..<isTaken.count) ?? find(needed, in: 0..<isTaken.count) else {
            missingUnits = needed
            return nil
        }
        for unit in found..<found + needed { isTaken[unit] = true }
        freeUnits -= needed
        hint = found + needed == isTaken.count ? 0 : found + needed
        return start + found * unitBytes
    }

    mutating func free(offset: Int, byteCount: Int) {
        let first = unit(at: offset)
        let count = units(byteCount)
        for unit in first..<first + count {
            precondition(isTaken[unit], "freed twice")
            isTaken[unit] = false
        }
        freeUnits += count
        if missingUnits < .max { noteRun(around: first, count) }
    }

    /// Ends the wait for a long run once there is one.
    private mutating func noteRun(around first: Int, _ count: Int) {
        var (start, end) = (first, first + count)
        while start > 0, end - start < missingUnits, !isTaken[start - 1] { start -= 1 }
        while end < isTaken.count, end - start < missingUnits, !isTaken[end] { end += 1 }
        guard end - start >= missingUnits else { return }
        missingUnits = .max
    }

    private func find(_ needed: Int, in range: Range<Int>) -> Int? {
        var run = 0
        for unit in range {
            run = isTaken[unit] ? 0 : run + 1
            if run == needed { return unit - needed + 1 }
        }
        return nil
    }
}
