import Glibc
import LogSimulation

/// Random histories on a simulated disk, each from a seed.
enum PowerLoss {
    /// Controls stop at the first seed that finds them out; one in a few does.
    private static let controlSeedsMax: UInt64 = 1000

    /// Runs the seeds; prints what failed, and one line a check.
    static func check(_ seeds: Range<UInt64>) -> Int32 {
        var checks = Checks()
        var statistics = PowerLossRun.Statistics()
        var failed = 0
        for seed in seeds {
            var run = PowerLossRun(seed: seed)
            if let violation = run.run() {
                failed += 1
                if failed <= 20 { print("seed \(seed): \(violation)") }
            }
            statistics.add(run.statistics)
        }
        checks.note(failed == 0, "\(seeds.count) histories with power cuts, \(failed) of them broken")
        print(describe(statistics))
        let missed = SystemCall.allCases.filter { $0.isChange && statistics.endings[$0] == nil }
        checks.note(
            missed.isEmpty && statistics.recordsLost > 0 && statistics.tornFiles > 0
                && statistics.recoveriesCut > 0 && statistics.uncertainTopics > 0
                && statistics.compactions > 0 && statistics.abortedTransactions > 0,
            "every kind of change was cut\(missed.isEmpty ? "" : ", but for \(missed)")")
        for (name, lie) in [
            ("files", SimulatedDisk.Lies.synchronize), ("directories", .synchronizeDirectory),
        ] {
            let seed = (0..<controlSeedsMax).first { seed in
                var run = PowerLossRun(seed: seed, lies: lie)
                return run.run() != nil
            }
            checks.note(seed != nil, "control: syncs of \(name) that do nothing are found out")
        }
        return checks.summarize()
    }

    /// Prints every call of one history.
    static func replay(_ seed: UInt64) -> Int32 {
        var run = PowerLossRun(seed: seed, isTraced: true)
        let violation = run.run()
        for line in run.trace { print(line) }
        print("seed \(seed): \(violation ?? "every promise was kept")")
        return violation == nil ? 0 : 1
    }

    private static func describe(_ statistics: PowerLossRun.Statistics) -> String {
        let endings = statistics.endings.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }
        return """
            \(statistics.operations) operations, ended at: \(endings.joined(separator: ", "));
            \(statistics.recoveriesCut) recoveries cut, \(statistics.uncertainTopics) creates and deletes cut,
            \(statistics.recordsKept) records found, \(statistics.recordsLost) lost that nobody was promised, \
            \(statistics.tornFiles) torn files,
            \(statistics.compactions) segments compacted, \(statistics.abortedTransactions) aborted transactions found
            """
    }
}
