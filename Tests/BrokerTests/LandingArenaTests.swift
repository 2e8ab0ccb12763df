import Testing

@testable import FabricFrontend

/// The arena as the door uses it: full of batches, the oldest given up for the next.
@Suite struct LandingArenaTests {
    /// Random runs, taken and given back in any order, beside an array of booleans: a run is refused only when there is
    /// none.
    @Test(arguments: [1, 63, 64, 65, 200, 300]) func runsAreDisjointAndNoneIsMissed(units: Int) {
        var arena = LandingArena(start: 4096, byteCount: units * 8192)
        var isTaken = [Bool](repeating: false, count: units)
        var held: [(first: Int, count: Int)] = []
        for _ in 0..<20_000 {
            if Bool.random(), !held.isEmpty {
                let run = held.remove(at: .random(in: 0..<held.count))
                arena.free(offset: 4096 + run.first * 8192, byteCount: run.count * 8192 - 1)
                for unit in run.first..<run.first + run.count { isTaken[unit] = false }
                continue
            }
            let count = Int.random(in: 1...min(units, 80))
            guard let offset = arena.allocate(count * 8192 - 5) else {
                let free = isTaken.split(separator: true).map(\.count)
                #expect(free.allSatisfy { $0 < count }, "a run of \(count) was there")
                continue
            }
            let first = arena.unit(at: offset)
            #expect((first..<first + count).allSatisfy { $0 < units && !isTaken[$0] })
            for unit in first..<first + count { isTaken[unit] = true }
            held.append((first, count))
        }
        #expect(arena.freeUnits == isTaken.count { !$0 })
    }

    /// Batches of 16 KiB to 1 MiB: how much of the memory holds batches when the next one finds no room.
    @Test func oldestFirstLeavesNoHoles() {
        let total = 48 << 20
        var arena = LandingArena(start: 4096, byteCount: total)
        var held: [(offset: Int, byteCount: Int)] = []
        var heldBytes = 0
        var leastHeld = total
        for _ in 0..<5000 {
            let byteCount = Int.random(in: 16 << 10...1 << 20)
            while true {
                if let offset = arena.allocate(byteCount) {
                    held.append((offset, byteCount))
                    heldBytes += byteCount
                    break
                }
                leastHeld = min(leastHeld, heldBytes)
                let oldest = held.removeFirst()
                heldBytes -= oldest.byteCount
                arena.free(offset: oldest.offset, byteCount: oldest.byteCount)
            }
        }
        // Two of the longest may be missing: at the end of the ring, and between its head and its tail.
        #expect(leastHeld > total * 85 / 100, "\(leastHeld) of \(total) bytes")
        for run in held { arena.free(offset: run.offset, byteCount: run.byteCount) }
        #expect(arena.freeUnits == arena.unitCount)
    }
}
