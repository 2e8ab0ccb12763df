import Testing

@testable import FabricFrontend

/// The arena as the door uses it: full of batches, the oldest given up for the next.
@Suite struct LandingArenaTests {
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
