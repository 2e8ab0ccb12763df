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
        // There may be very many: they are put in order and into words where the disk is waited for.
        let starts = logs.compactMapValues { (partitions) -> [Offset]? in
            guard let last = partitions.lastIndex(where: { start(of: $0, ends) > .zero }) else { return nil }
            return partitions[...last].map { start(of: $0, ends) }
        }
        guard starts != storedLogStarts else { return }
        storedLogStarts = nil
        steps.add { [files, path, starts] () throws(LogError) in
            let lines = starts.sorted { $0.key < $1.key }.flatMap { topic, starts in
                starts.enumerated().filter { $0.element > .zero }.map { "\(topic) \($0.offset) \($0.element)" }
            }
            try CheckpointFile.logStarts.write(lines, in: path, files)
        } done: { [self, starts] in
            storedLogStarts = starts
        }
    }

    private func start(of log: PartitionLog, _ ends: [ObjectIdentifier: Offset]) -> Offset {
        ends.isEmpty ? log.logStartOffset : ends[ObjectIdentifier(log)] ?? log.logStartOffset
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
