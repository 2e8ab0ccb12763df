package import TopicLog

/// The life of a log in which one system call fails, or every one from some point on.
///
/// It begins with what a power cut left, so that recovery has repairs to make.
package struct NthFailure {
    /// What meets the fault.
    package let fault: SystemCall.Fault
    /// Whether every later call meets it too.
    package let isLasting: Bool
    private let seed: UInt64

    package init(fault: SystemCall.Fault, isLasting: Bool, seed: UInt64 = 1) {
        self.fault = fault
        self.isLasting = isLasting
        self.seed = seed
    }

    /// What a run came to.
    package struct Outcome {
        /// How many calls met the fault. 0: there is none left to fail.
        package let faultsMet: Int
        /// What the log reported.
        package let failures: [LogError]
        /// Whether a sync of appended records was among them.
        package let isPoisoned: Bool
    }

    /// Lives with the fault at the `number`th call that can meet it, then opens the log on a healthy disk and compares.
    /// - Throws: `LogHarness.Violation`.
    package func run(_ number: Int) throws -> Outcome {
        let disk = SimulatedDisk(seed: seed)
        var options = LogOptions()
        options.segmentBytes = 1500
        options.indexIntervalBytes = 100
        let harness = LogHarness(disk: disk, options: options, seed: seed)
        try prepare(harness)
        harness.restart(losingPower: true, .fail(atCall: number, fault, isLasting: isLasting))
        harness.toleratesFailures = true
        try live(harness)
        let outcome = Outcome(
            faultsMet: disk.faultsMet, failures: harness.failures, isPoisoned: harness.poisonings > 0)
        if outcome.faultsMet == 0 && !outcome.failures.isEmpty {
            throw LogHarness.Violation("failed without a fault: \(outcome.failures[0])")
        }
        harness.toleratesFailures = false
        harness.failures = []
        harness.restart(losingPower: false)
        guard try harness.open() else { throw LogHarness.Violation("does not open") }
        try harness.check()
        try harness.prove()
        return outcome
    }

    /// Topics, segments, a torn tail, and a delete that is not over.
    private func prepare(_ harness: LogHarness) throws {
        guard try harness.open() else { throw LogHarness.Violation("does not open") }
        try harness.createTopic("t", partitions: 2)
        try harness.createTopic("u", partitions: 1)
        try harness.createTopic("v", partitions: 2)
        try harness.allocateProducerID()
        try harness.append("t", 0, count: 20)
        try harness.synchronize("t", 0)
        try harness.writeRecoveryPoints()
        for index in 0..<2 { try harness.append("t", index, count: 12) }
        harness.process.plan(.die(atChange: 2, losingPower: true))
        try harness.deleteTopic("v")
    }

    private func live(_ harness: LogHarness) throws {
        // A failed open has lost nothing, so the next one has the same to do.
        if try !harness.open() {
            let isOpen = try harness.open()
            if !isOpen && !isLasting { throw LogHarness.Violation("one fault failed two opens: \(harness.failures)") }
            if !isOpen { return }
        }
        try harness.process.withoutPlan { try harness.check() }
        try work(harness)
        try harness.close()
        if try harness.open() {
            try harness.process.withoutPlan { try harness.check() }
            for index in 0..<2 { try harness.append("t", index, count: 3) }
            harness.takeTicket("t", 0)
            try harness.flush(1)
            try harness.close()
        }
    }

    /// Appends, rolls, syncs, recovery points, delete, create, more partitions.
    private func work(_ harness: LogHarness) throws {
        try harness.append("t", 0, count: 10)
        try harness.append("u", 0, count: 3)
        for (topic, index) in [("t", 0), ("u", 0)] { harness.takeTicket(topic, index) }
        try harness.append("t", 1, count: 6)
        harness.takeTicket("t", 1)
        try harness.flush(2)
        try harness.writeRecoveryPoints()
        try harness.flush(2)
        try harness.deleteTopic("u")
        if harness.model.topics["u"] == nil { try harness.createTopic("u", partitions: 2) }
        if harness.topics.contains("u") {
            try harness.addPartitions("u", total: harness.model.topics["u"]!.partitions.count + 1)
        }
        try harness.append("t", 0, count: 1)
        try harness.synchronize("t", 0)
        try harness.allocateProducerID()
        for index in 0..<2 { try harness.append("t", index, count: 4) }
        for index in 0..<2 { harness.takeTicket("t", index) }
        try harness.flush(2)
    }
}
