internal import TopicLog

/// A random history of a log on a disk that loses its power again and again. Everything comes from the seed.
package struct PowerLossRun {
    /// What runs have met: to see that they meet everything.
    package struct Statistics: Sendable {
        package var endings: [SystemCall: Int] = [:]
        package var operations = 0
        package var recoveriesCut = 0
        package var recordsKept = 0
        package var recordsLost = 0
        package var tornFiles = 0
        package var uncertainTopics = 0
        package var compactions = 0
        package var abortedTransactions = 0

        package init() {}

        package mutating func add(_ other: Statistics) {
            endings.merge(other.endings) { $0 + $1 }
            operations += other.operations
            recoveriesCut += other.recoveriesCut
            recordsKept += other.recordsKept
            recordsLost += other.recordsLost
            tornFiles += other.tornFiles
            uncertainTopics += other.uncertainTopics
            compactions += other.compactions
            abortedTransactions += other.abortedTransactions
        }
    }

    package private(set) var statistics = Statistics()
    private let harness: LogHarness
    private static let names = ["flights", "flights-0", "orders"]

    package init(seed: UInt64, lies: SimulatedDisk.Lies = [], isTraced: Bool = false) {
        var generator = SeededGenerator(seed: seed)
        var options = LogOptions()
        options.segmentBytes = [300, 1500, 6000][generator.below(3)]
        options.indexIntervalBytes = [1, 500][generator.below(2)]
        if generator.oneIn(2) { options.cleanupPolicy = .compact }
        // Room for a few keys: passes that end in the middle of a segment.
        if generator.oneIn(4) { options.compactionBytesMax = 3 * 24 }
        let disk = SimulatedDisk(
            seed: generator.next(), lies: lies, shortOneIn: generator.oneIn(4) ? 10 : 0, isTraced: isTraced)
        harness = LogHarness(
            disk: disk, options: options, directories: generator.oneIn(4) ? 2 : 1, seed: generator.next())
    }

    /// Every call that was made, if it is traced.
    package var trace: [String] { harness.disk.trace }

    /// Lives and cuts. Returns the first broken promise, or nil.
    package mutating func run() -> String? {
        do {
            for _ in 0..<4 {
                try reopen()
                try live()
            }
            try reopen()
            try harness.prove()
        } catch { return "\(error)" }
        statistics.endings = harness.disk.endings
        statistics.compactions = harness.compactions
        statistics.abortedTransactions = harness.abortedFound
        return nil
    }

    /// Ends the process, and starts the next until one survives its recovery; then compares.
    private mutating func reopen() throws {
        var cutsLeft = harness.generator.oneIn(2) ? 0 : 1 + harness.generator.below(3)
        var isOpen = false
        while !isOpen {
            let losingPower = !harness.generator.oneIn(4)
            harness.restart(losingPower: losingPower, cutsLeft > 0 ? planCut(within: 12) : .none)
            isOpen = try harness.open()
            if !isOpen { statistics.recoveriesCut += 1 }
            cutsLeft -= 1
        }
        harness.process.plan(.none)
        let report = harness.directory!.recoveryReport
        statistics.tornFiles += report.partitions.reduce(0) { $0 + $1.recovery.tornFiles.count }
        statistics.uncertainTopics += harness.model.topics.values.count { $0.isUncertain }
        let before = records
        try harness.check()
        statistics.recordsKept += records
        statistics.recordsLost += before - records
    }

    private var records: Int {
        harness.model.topics.values.reduce(0) { $0 + $1.partitions.reduce(0) { $0 + Int($1.end) } }
    }

    private func planCut(within changes: Int) -> SimulatedDisk.Plan {
        .die(atChange: 1 + harness.generator.below(changes), losingPower: !harness.generator.oneIn(4))
    }

    /// Random operations until the process ends, or is tired of it.
    private mutating func live() throws {
        harness.process.plan(planCut(within: [12, 60, 300][harness.generator.below(3)]))
        for _ in 0..<80 {
            try operate()
            statistics.operations += 1
            if harness.process.isDead { return }
        }
        guard harness.generator.oneIn(3) else { return }
        try harness.close()
    }

    private func operate() throws {
        let topics = harness.topics
        let choice = harness.generator.below(100)
        guard !topics.isEmpty, choice >= 4 else { return try createOrDelete() }
        let topic = topics[harness.generator.below(topics.count)]
        let index = harness.generator.below(harness.model.topics[topic]!.partitions.count)
        switch choice {
        case ..<54: try harness.append(topic, index, count: harness.generator.oneIn(3) ? 5 : 1)
        case ..<64 where harness.options.cleanupPolicy == .compact:
            let appends = harness.generator.oneIn(3)
            if !harness.generator.oneIn(3) { try harness.synchronize(topic, index) }
            try harness.compact(topic, index) {
                if appends { try harness.append(topic, index, count: 2) }
            }
        case ..<74: harness.takeTicket(topic, index)
        case ..<88:
            let appends = harness.generator.oneIn(3)
            try harness.flush(1 + harness.generator.below(6)) {
                if appends { try harness.append(topic, index, count: 2) }
            }
        case ..<90: try harness.synchronize(topic, index)
        case ..<94: try harness.writeRecoveryPoints()
        case ..<97: try harness.allocateProducerID()
        default: try createOrDelete()
        }
    }

    private func createOrDelete() throws {
        let name = Self.names[harness.generator.below(Self.names.count)]
        if harness.model.topics[name] == nil {
            try harness.createTopic(name, partitions: 1 + harness.generator.below(3))
        } else if harness.generator.oneIn(2) {
            try harness.deleteTopic(name)
        } else if harness.topics.contains(name), harness.model.topics[name]!.partitions.count < 6 {
            // Six at once are synced together.
            let more = harness.generator.oneIn(4) ? 6 : 1
            try harness.addPartitions(name, total: harness.model.topics[name]!.partitions.count + more)
        }
    }
}
