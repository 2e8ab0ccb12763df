internal import Glibc
internal import RecordFormat
package import TopicLog

/// A log on a simulated disk beside its model: every operation is made on both, and compared.
///
/// An operation that the process did not outlive leaves the model with what may have happened.
package final class LogHarness {
    /// A promise of the log that it did not keep.
    package struct Violation: Error, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }
    }

    package let disk: SimulatedDisk
    package let options: LogOptions
    /// The data directories, the first one with the catalog; all on one disk.
    package let paths: [String]
    package var generator: SeededGenerator
    package var model = LogModel()
    package private(set) var process: SimulatedProcess
    package private(set) var directory: LogDirectory?
    /// Whether calls may fail while the process lives: then an operation may throw, and is taken for uncertain.
    package var toleratesFailures = false
    /// What operations threw, or refused appends with, since this was last emptied.
    package var failures: [LogError] = []
    /// Whether the sync of a ticket has failed in this process: nothing more may be acknowledged.
    package private(set) var isPoisoned = false

    /// Segments that compaction has put in place.
    package var compactions = 0
    /// Aborted transactions that readers were told of.
    package var abortedFound = 0
    /// How many syncs of appended records failed.
    package private(set) var poisonings = 0

    /// Tickets that are out, in the order in which they were taken.
    var tickets: [(topic: String, index: Int, ticket: FlushTicket)] = []

    package init(disk: SimulatedDisk, options: LogOptions, directories: Int = 1, seed: UInt64) {
        paths = ["/data", "/data2"].prefix(directories).map(\.self)
        self.disk = disk
        self.options = options
        generator = SeededGenerator(seed: seed)
        process = disk.boot()
    }

    /// Ends the process, if it lives, and starts the next.
    package func restart(losingPower: Bool, _ plan: SimulatedDisk.Plan = .none) {
        disk.end(losingPower: losingPower)
        directory = nil
        tickets = []
        isPoisoned = false
        process = disk.boot(plan)
    }

    /// Opens the log.
    /// - Returns: false when that failed as it may: the process ended, or a call failed.
    package func open() throws -> Bool {
        do {
            directory = try LogDirectory.open(
                path: paths[0], others: Array(paths[1...]), options: options, storage: process)
        } catch {
            try tolerate(error, "open")
            return false
        }
        // Verified: what is found now may be built upon.
        isPoisoned = false
        return !process.isDead
    }

    /// A log that is open.
    var log: LogDirectory { directory! }

    /// The topics that are certainly there, sorted.
    package var topics: [String] { model.topics.filter { !$0.value.isUncertain }.keys.sorted() }

    // MARK: - Operations

    package func createTopic(_ name: String, partitions: Int) throws {
        model.topics[name] = .init(partitions: Array(repeating: .init(), count: partitions), isUncertain: true)
        try attempt("create \(name)") {
            try log.createTopic(name: name, partitions: partitions)
            guard !process.isDead else { return }
            model.topics[name]!.isUncertain = false
            model.topics[name]!.id = log.id(topic: name)
        }
    }

    package func addPartitions(_ name: String, total: Int) throws {
        model.topics[name]!.partitionsMax = max(model.topics[name]!.partitionsMax, total)
        try attempt("add partitions to \(name)") {
            try log.addPartitions(topic: name, total: total)
            guard !process.isDead else { return }
            while model.topics[name]!.partitions.count < total { model.topics[name]!.partitions.append(.init()) }
            model.topics[name]!.partitionsMax = 0
        }
    }

    package func deleteTopic(_ name: String) throws {
        tickets.removeAll { $0.topic == name }
        model.topics[name]!.isUncertain = true
        try attempt("delete \(name)") {
            try log.deleteTopic(name: name)
            if !process.isDead { model.topics[name] = nil }
        }
    }

    package func allocateProducerID() throws {
        try attempt("allocate a producer id") {
            let id = try log.allocateProducerID()
            if process.isDead { return }
            if model.producerIDs.contains(id) { throw Violation("producer id \(id) was given twice") }
            model.producerIDs.append(id)
        }
    }

    package func writeRecoveryPoints() throws {
        try attempt("write recovery points") { try log.writeRecoveryPoints() }
    }

    /// Syncs one partition, as a tool would.
    package func synchronize(_ topic: String, _ index: Int) throws {
        guard let partition = log.partition(topic: topic, index: index) else { return }
        try attempt("sync") {
            do {
                try partition.synchronize()
            } catch {
                // A partition that could not be repaired refuses, too; then no sync has failed.
                if !process.isDead, partition.volume.poison != nil { poison() }
                throw error
            }
        }
        try observe(topic, index)
    }

    /// A clean end: everything appended is promised.
    package func close() throws {
        let isHealthy = !isPoisoned && failures.isEmpty
        try attempt("close") {
            try log.close()
            guard !process.isDead, isHealthy else { return }
            for topic in model.topics.keys where !model.topics[topic]!.isUncertain {
                for index in model.topics[topic]!.partitions.indices {
                    model.topics[topic]!.partitions[index].acknowledged = model.topics[topic]!.partitions[index].end
                }
            }
        }
        tickets = []
        directory = nil
    }

    /// Takes note of what a partition says is durable: that is what gets acknowledged.
    func observe(_ topic: String, _ index: Int) throws {
        guard !process.isDead, let partition = log.partition(topic: topic, index: index) else { return }
        let durable = partition.durableOffset.rawValue
        let known = model.topics[topic]!.partitions[index]
        if durable > known.end { throw Violation("\(topic)-\(index): durable up to \(durable), end \(known.end)") }
        if isPoisoned && durable > known.acknowledged {
            throw Violation("\(topic)-\(index): acknowledged up to \(durable) after a sync had failed")
        }
        model.topics[topic]!.partitions[index].acknowledged = max(known.acknowledged, durable)
    }

    /// Runs an operation; what it throws is a violation, unless something was in its way.
    func attempt(_ what: String, _ body: () throws -> Void) throws {
        do { try body() } catch let error as LogError { try tolerate(error, what) }
    }

    /// Judges an error.
    func tolerate(_ error: LogError, _ what: String) throws {
        if process.isDead { return }
        guard toleratesFailures else { throw Violation("\(what): \(error)") }
        if !error.path.hasPrefix("/data") || error.errno == 0 || !"\(error)".contains("/data") {
            throw Violation("\(what): the error does not say what failed, and where: \(error)")
        }
        failures.append(error)
    }

    /// After a ticket's sync had failed.
    func poison() {
        isPoisoned = true
        poisonings += 1
    }
}
