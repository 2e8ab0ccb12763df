import Glibc
import LogModel
import Testing

/// Random operations on the log and on a model; `log-model` does more of them, optimised.
@Suite struct ModelTests {
    /// RDMAD_LOG_MODEL_SEED replays one run.
    @Test func randomOperations() throws {
        let seed = unsafe getenv("RDMAD_LOG_MODEL_SEED").flatMap { unsafe UInt64(String(cString: $0)) }
        let directory = TemporaryDirectory()
        let operations = seed == nil ? 20_000 : ModelRuns.operationsPerRun
        let counts = try ModelRuns.run(seed: seed ?? 1, operations: operations, parent: directory.path)
        #expect(counts.values.reduce(0, +) == operations)
        if seed == nil { #expect(counts.count == 10 && counts.values.allSatisfy { $0 > 100 }, "\(counts)") }
    }
}
