internal import RecordFormat

/// A change of the data directory that is prepared, and waits for the disk.
///
/// Life cycle: ``LogDirectory`` begins it; ``work`` runs once, on whatever thread; its outcome goes to ``finish(_:)``.
/// Until then the directory takes no other change; its partitions are appended to and read as always.
package struct DirectoryChange<Answer> {
    /// Writes and syncs.
    package let work: @Sendable () -> DirectoryOutcome
    let conclude: (DirectoryOutcome) -> Answer

    /// Takes what the disk has done into memory; by the directory's owner, once.
    package func finish(_ outcome: DirectoryOutcome) -> Answer { conclude(outcome) }

    /// All of it at once, on the calling thread.
    func perform() -> Answer { finish(work()) }
}

/// How far the disk followed a change.
package struct DirectoryOutcome: Sendable {
    let stepsDone: Int
    let error: LogError?
}

/// What a change does on the disk, in order, up to the first error; and what each step that was done means to the
/// directory's owner.
struct DirectorySteps {
    typealias Step = @Sendable () throws(LogError) -> Void
    private var steps: [(run: Step, done: () -> Void)] = []

    mutating func add(_ run: @escaping Step, done: @escaping () -> Void = {}) { steps.append((run, done)) }

    var work: @Sendable () -> DirectoryOutcome {
        let runs = steps.map(\.run)
        return {
            for (number, run) in runs.enumerated() {
                do throws(LogError) { try run() } catch { return DirectoryOutcome(stepsDone: number, error: error) }
            }
            return DirectoryOutcome(stepsDone: runs.count, error: nil)
        }
    }

    func conclude(_ outcome: DirectoryOutcome) {
        for step in steps.prefix(outcome.stepsDone) { step.done() }
    }

    /// Does them on the calling thread.
    func perform() throws(LogError) {
        let outcome = work()
        conclude(outcome)
        if let error = outcome.error { throw error }
    }
}

extension LogDirectory {
    /// Prepares a change, whose owner is told what the steps came to.
    func begin<Answer>(
        _ steps: DirectorySteps, _ answer: @escaping (LogError?) -> Answer
    ) -> DirectoryChange<Answer> {
        precondition(!isChanging, "a change while another one is under way")
        isChanging = true
        return DirectoryChange(work: steps.work) { [self] outcome in
            isChanging = false
            steps.conclude(outcome)
            return answer(outcome.error)
        }
    }

    // MARK: Steps

    /// Replaces the recovery points by those of now, without partitions that are gone.
    func addRecoveryPoints(to steps: inout DirectorySteps) {
        let points = takeRecoveryPoints(areOlderWrong: true)
        steps.add { () throws(LogError) in
            try points.write()
        } done: { [self] in
            mayStoreForeignPoints = false
        }
    }

    /// Stores where each log begins, unless the file says so already. Logs that begin at 0 need no line.
    /// - Parameter ends: Where some logs are about to begin.
    func addLogStarts(to steps: inout DirectorySteps, moving ends: [ObjectIdentifier: Offset] = [:]) {
        var lines: [String] = []
        for topic in topics {
            for (index, log) in logs[topic]!.enumerated() {
                let start = ends[ObjectIdentifier(log)] ?? log.logStartOffset
                if start > .zero { lines.append("\(topic) \(index) \(start)") }
            }
        }
        guard lines != storedLogStarts else { return }
        storedLogStarts = nil
        steps.add { [files, path, lines] () throws(LogError) in
            try CheckpointFile.logStarts.write(lines, in: path, files)
        } done: { [self, lines] in
            storedLogStarts = lines
        }
    }

    /// Stores what topics were given, with or without some of them.
    func addConfigs(_ own: [String: [String: String]?], to steps: inout DirectorySteps) {
        guard own.contains(where: { configs[$0.key] != $0.value }) else { return }
        var all = configs.filter { logs[$0.key] != nil || pendingDeletes[$0.key] != nil }
        for (topic, own) in own { all[topic] = own }
        let lines = all.sorted { $0.key < $1.key }.flatMap { topic, own in
            own.sorted { $0.key < $1.key }.map { "\(topic) \($0.key) \($0.value)" }
        }
        steps.add { [files, path] () throws(LogError) in
            try CheckpointFile.topicConfigs.write(lines, in: path, files)
        } done: { [self, all] in
            configs = all
        }
    }

    /// Replaces the catalog.
    func addCatalog(_ catalog: [String: CatalogEntry], to steps: inout DirectorySteps, done: @escaping () -> Void = {})
    {
        let lines = CatalogEntry.lines(catalog)
        steps.add(
            { [files, path] () throws(LogError) in try CheckpointFile.topics.write(lines, in: path, files) },
            done: done)
    }

    /// Syncs the directories that hold the partitions' directories.
    func addVolumeSync(to steps: inout DirectorySteps) {
        steps.add { [files, paths = volumes.map(\.path)] () throws(LogError) in
            for path in paths { try files.synchronizeDirectory(path) }
        }
    }
}
