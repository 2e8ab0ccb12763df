import Foundation
import Testing

/// Many histories of groups, each from a seed.
@Suite struct GroupSimulationTests {
    @Test func everyHistoryKeepsThePromises() {
        let environment = ProcessInfo.processInfo.environment
        let first = environment["RDMAD_SEED"].flatMap { UInt64($0) } ?? 1
        let count: UInt64 = environment["RDMAD_TEST_LONG"] == nil ? 60 : 3_000
        var (generations, commits) = (0, 0)
        for seed in first..<first + count {
            let simulation = GroupSimulation(seed: seed)
            do { try simulation.run(steps: 400) } catch { Issue.record("seed \(seed): \(error)") }
            generations += simulation.generations
            commits += simulation.commits
        }
        // It did what it is for.
        #expect(generations > Int(count) * 10)
        #expect(commits > Int(count) * 10)
    }
}
