import LogSimulation
import Testing

@testable import TopicLog

/// The log on a disk that loses what was not synced. Many more histories: `tools/test-log` (docs/HACKING.md).
@Suite struct PowerLossTests {
    @Test func keepsItsPromises() {
        for seed in 0..<100 as Range<UInt64> {
            var run = PowerLossRun(seed: seed)
            let violation = run.run()
            #expect(violation == nil, "seed \(seed)")
        }
    }

    /// The same check finds fault where there is one.
    @Test(arguments: [SimulatedDisk.Lies.synchronize.rawValue, SimulatedDisk.Lies.synchronizeDirectory.rawValue])
    func findsLostSyncs(_ lie: Int) {
        let violation = (0..<500 as Range<UInt64>).lazy.compactMap { seed in
            var run = PowerLossRun(seed: seed, lies: .init(rawValue: lie))
            return run.run()
        }.first
        #expect(violation != nil)
    }

    @Test func replaysTheSame() {
        for seed in 0..<5 as Range<UInt64> {
            var (first, second) = (PowerLossRun(seed: seed, isTraced: true), PowerLossRun(seed: seed, isTraced: true))
            #expect(first.run() == second.run())
            #expect(first.trace == second.trace && first.trace.count > 20)
        }
    }

    /// A process is killed before or after each of its changes; the next one builds on what it finds, which need not be
    /// on the disk; then the power goes. Found here: names of the data directory and of segments, and the catalog's
    /// rename, were taken for durable.
    @Test(arguments: 0..<6 as Range<UInt64>) func killedThenCut(_ seed: UInt64) throws {
        for change in 1..<500 {
            var options = LogOptions()
            options.segmentBytes = 1500
            let disk = SimulatedDisk(seed: seed &* 1000 &+ UInt64(change))
            let harness = LogHarness(disk: disk, options: options, directories: 1 + Int(seed % 2), seed: seed)
            harness.restart(losingPower: false, .die(atChange: change, losingPower: false))
            try live(harness)
            let wasKilled = harness.process.isDead
            harness.restart(losingPower: false)
            try #require(try harness.open())
            do {
                try harness.check()
                for topic in harness.topics {
                    try harness.append(topic, 0, count: 1)
                    try harness.synchronize(topic, 0)
                }
                harness.restart(losingPower: true)
                try #require(try harness.open())
                try harness.check()
                try harness.prove()
            } catch {
                Issue.record("killed at change \(change): \(error)")
            }
            if !wasKilled { return }
        }
        Issue.record("never finished")
    }

    private func live(_ harness: LogHarness) throws {
        let steps: [() throws -> Void] = [
            { _ = try harness.open() },
            { try harness.createTopic("t", partitions: 2) },
            { try harness.createTopic("u", partitions: 1) },
            { try harness.append("t", 0, count: 10) },
            { harness.takeTicket("t", 0) },
            { try harness.flush(1) },
            { try harness.append("t", 0, count: 8) },
            { try harness.deleteTopic("u") },
            { try harness.createTopic("u", partitions: 2) },
            { try harness.append("u", 0, count: 1) },
            { try harness.writeRecoveryPoints() },
        ]
        for step in steps where !harness.process.isDead { try step() }
    }
}
