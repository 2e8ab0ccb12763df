import RDMATransport
import Testing
import TransportTestSupport

/// Atomics on eight bytes of the peer's.
@Suite(.serialized) struct AtomicTests {
    func word(_ end: VerbsEndHandle, _ offset: Int) throws -> UInt64 { integer(try end.bytes(offset, 8), at: 0) }

    @Test(arguments: Placement.allCases) func compareAndSwapSwapsWhatIsEqual(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.near.post(.compareAndSwap, 0, 8) {
            $0.aim(at: pair.far, 64)
            ($0.first, $0.second) = (0, 0x1122_3344_5566_7788)
        }
        #expect(try pair.near.success().operation == WorkCompletion.Operation.compareAndSwap.rawValue)
        #expect(try word(pair.near, 0) == 0)
        #expect(try word(pair.far, 64) == 0x1122_3344_5566_7788)
    }

    @Test(arguments: Placement.allCases) func compareAndSwapLeavesWhatDiffers(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.fill(0, 8, seed: 3)
        let before = try word(pair.far, 0)
        try pair.near.post(.compareAndSwap, 8, 8) {
            $0.aim(at: pair.far)
            ($0.first, $0.second) = (before ^ 1, 99)
        }
        try pair.near.success()
        #expect(try word(pair.near, 8) == before)
        #expect(try word(pair.far, 0) == before)
    }

    @Test(arguments: Placement.allCases) func fetchAndAddAddsAndSaysWhatWasThere(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        for number in 0..<UInt64(5) {
            try pair.near.post(.fetchAndAdd, 0, 8) {
                $0.aim(at: pair.far)
                $0.first = 7
            }
            #expect(try pair.near.success().operation == WorkCompletion.Operation.fetchAndAdd.rawValue)
            #expect(try word(pair.near, 0) == 7 * number)
        }
        #expect(try word(pair.far, 0) == 35)
    }

    @Test(arguments: Placement.allCases) func anAtomicOffEightBytesIsRefused(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        var post = VerbsPost(.fetchAndAdd)
        post.runs = [VerbsRun(0, 8)]
        post.aim(at: pair.far, 4)
        // rxe's library looks already; other devices leave it to the peer.
        let outcome = try pair.near.post([post])
        if outcome == "posted" {
            #expect(WorkCompletion.Status(rawValue: try pair.near.completion().status) == .remoteInvalidRequest)
        } else {
            #expect(outcome == "failed(errorNumber: 22)")
        }
        #expect(try word(pair.far, 0) == 0)
    }

    /// Eight ends add at the same time; nothing is lost.
    @Test func additionsFromManyEndsAddUp() throws {
        let pairs = try (0..<8).map { _ in try VerbsPair(.twoProcesses) }
        let target = pairs[0].far
        for _ in 0..<10 {
            for pair in pairs {
                // The far ends share nothing but their process: each adds to its own far end, and to the first's never.
                try pair.near.post(.fetchAndAdd, 0, 8) {
                    $0.aim(at: pair.far)
                    $0.first = 1
                }
            }
            for pair in pairs { try pair.near.success() }
        }
        for pair in pairs { #expect(try word(pair.far, 0) == 10) }
        #expect(try word(target, 8) == 0)
    }
}
