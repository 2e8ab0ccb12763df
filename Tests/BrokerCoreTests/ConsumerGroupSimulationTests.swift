import Foundation
import Testing

/// Many histories of groups of KIP-848, each from a seed.
@Suite struct ConsumerGroupSimulationTests {
    @Test func everyHistoryKeepsThePromises() {
        let environment = ProcessInfo.processInfo.environment
        let first = environment["RDMAD_SEED"].flatMap { UInt64($0) } ?? 1
        let count: UInt64 = environment["RDMAD_TEST_LONG"] == nil ? 10 : 3_000
        var (calms, fenced, moves) = (0, 0, 0)
        for seed in first..<first + count {
            let simulation = ConsumerGroupSimulation(seed: seed)
            do { try simulation.run(steps: 240) } catch { Issue.record("seed \(seed): \(error)") }
            calms += simulation.calms
            fenced += simulation.fenced
            moves += simulation.moves
        }
        // It did what it is for.
        #expect(calms == Int(count) * 4)
        #expect(fenced > Int(count) && moves > Int(count) * 40)
    }
}
