internal import Glibc
internal import RecordFormat
internal import Synchronization

/// The data directory: the catalog of topics, their partitions' logs, and the ids given to producers.
///
/// ```
/// .lock   topics   topic-configs   producer-ids   cluster-id
/// recovery-point-offset-checkpoint   log-start-offset-checkpoint   clean-close-checkpoint
/// <topic>-<partition>/   <topic>-<partition>.delete/
/// ```
/// Life cycle: `open` (locks, recovers), any calls, `close`. Dropped without `close` it is as after a crash.
/// Threading: one owner, the broker's reactor thread. Calls sync files, so they take milliseconds; what takes longer
/// is begun, and waits on another thread: ``DirectoryChange``.
package final class LogDirectory {
    /// The directory, as given to `open`.
    package let path: String
    /// The limits of partitions whose topic says nothing else.
    package let options: LogOptions
    /// What `open` found.
    package internal(set) var recoveryReport = RecoveryReport()

    let files: FileSystem
    /// Partitions by index.
    var logs: [String: [PartitionLog]] = [:]
    /// The topics' ids.
    var ids: [String: TopicUUID] = [:]
    /// The id of the cluster that this broker is, made when the directory was first opened: text without blanks.
    package private(set) var clusterID = ""
    /// Topics whose delete failed before the catalog forgot them. Until it does, it must name them: or their
    /// directories would be nobody's.
    var pendingDeletes: [String: CatalogEntry] = [:]
    /// What topics were given of their own. Of topics that are gone there may be some.
    var configs: [String: [String: String]] = [:]
    /// Where the partitions are: the directory itself, which holds the catalog too, and others.
    package let volumes: [LogVolume]
    /// The volume of each partition directory, by the directory's name.
    private(set) var places: [String: LogVolume] = [:]
    /// Producer ids reserved on disk and not yet given out.
    private var producerIDs: Range<Int64> = 0..<0
    private var isClosed = false
    /// The lines of the checkpoint of log starts as it is on the disk; nil for unknown.
    var storedLogStarts: [String]?
    let recoveryPointGate = RecoveryPoints.Gate()
    /// How often recovery points were taken.
    private var recoveryPointNumber: UInt64 = 0
    /// Whether a ``DirectoryChange`` has begun and not finished.
    package internal(set) var isChanging = false
    /// Whether the file of recovery points may name partitions that are gone.
    var mayStoreForeignPoints = false

    /// Ids reserved by one write: a restart wastes at most so many.
    static let producerIDBlock: Int64 = 1000

    /// Opens a data directory, creating it (not its parents) when there is none, and recovers every partition.
    /// - Parameter others: More directories for partitions, on disks of their own. A new partition goes where the
    ///   fewest are. The same ones must be given at each start.
    /// - Parameter progress: Told how far it is; for another thread to look at.
    /// - Throws: `inUse` when another process has it; `invalidCatalog` when its files contradict each other; system
    ///   errors, the first in the order of topics and partitions. Nothing is lost by a failed open.
    package static func open(
        path: String, others: [String] = [], options: LogOptions = LogOptions(),
        progress: RecoveryProgress = RecoveryProgress(), storage: any LogStorage = SystemStorage()
    ) throws(LogError) -> LogDirectory {
        options.check()
        let files = FileSystem(storage)
        let directory = try LogDirectory(path: path, others: others, options: options, files)
        try directory.recover(progress)
        return directory
    }

    private init(path: String, others: [String], options: LogOptions, _ files: FileSystem) throws(LogError) {
        self.path = path
        self.options = options
        self.files = files
        let openFiles = OpenFiles(limit: options.openSegmentsMax)
        var volumes = [try LogVolume.own(path, openFiles, files)]
        for other in others { volumes.append(try LogVolume.own(other, openFiles, files)) }
        self.volumes = volumes
    }

    /// The topics' names, sorted.
    package var topics: [String] { logs.keys.sorted() }

    /// Notes where a partition's directory is, or that it is gone.
    /// - Returns: where it was.
    @discardableResult
    func place(_ name: String, in volume: LogVolume?) -> LogVolume? {
        let old = places[name]
        old?.directoryCount -= 1
        volume?.directoryCount += 1
        places[name] = volume
        return old
    }

    /// How many partitions a topic has, or nil when there is no such topic.
    package func partitionCount(topic: String) -> Int? { logs[topic]?.count }

    /// A topic's id, or nil when there is no such topic.
    package func id(topic: String) -> TopicUUID? { ids[topic] }

    /// A partition's log, or nil when there is no such topic or partition.
    package func partition(topic: String, index: Int) -> PartitionLog? {
        guard let partitions = logs[topic], partitions.indices.contains(index) else { return nil }
        return partitions[index]
    }

    /// What a topic was given of its own, by name.
    package func configs(topic: String) -> [(name: String, value: String)] {
        (configs[topic] ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Changes what a topic was given of its own, durably: all of it, or nothing.
    /// - Parameter changes: By name; nil: the data directory's options hold again.
    /// - Returns: What waits for the disk; its answer is a system error, after which a restart may find it changed.
    /// - Throws: `unknownTopic`, `invalidConfig`.
    package func beginAlteration(
        topic: String, _ changes: [(name: String, value: String?)]
    ) throws(LogError) -> DirectoryChange<LogError?> {
        let (logs, own, options) = try altered(topic, changes)
        var steps = DirectorySteps()
        addConfigs([topic: own.isEmpty ? nil : own], to: &steps)
        return begin(steps) { error in
            if error == nil {
                for log in logs { log.options = options }
            }
            return error
        }
    }

    /// Whether a topic can be given other configs, without doing it.
    /// - Throws: as `beginAlteration`.
    package func check(topic: String, _ changes: [(name: String, value: String?)]) throws(LogError) {
        _ = try altered(topic, changes)
    }

    /// What a topic has of its own after some changes, and what follows from it.
    private func altered(
        _ topic: String, _ changes: [(name: String, value: String?)]
    ) throws(LogError) -> (logs: [PartitionLog], own: [String: String], options: LogOptions) {
        guard let logs = logs[topic] else {
            throw LogError(
                .unknownTopic, operation: "altering topic", path: topic, advice: "there is no topic named \(topic)")
        }
        var own = configs[topic] ?? [:]
        for (name, value) in changes {
            guard LogOptions.configNames.contains(name) else { throw LogOptions.unknown(name) }
            own[name] = value
        }
        return (logs, own, try options.applying(own))
    }

    /// The same, on the calling thread.
    package func alterConfigs(topic: String, _ changes: [(name: String, value: String?)]) throws(LogError) {
        if let error = try beginAlteration(topic: topic, changes).perform() { throw error }
    }

    /// A producer id that no producer of this directory ever had.
    /// - Throws: when a new block cannot be reserved; nothing has changed then.
    package func allocateProducerID() throws(LogError) -> Int64 {
        precondition(!isClosed, "the data directory is closed")
        if producerIDs.isEmpty {
            // Reserved before the first is given out: after a crash the rest of the block is skipped, never reused.
            let start = producerIDs.lowerBound
            try CheckpointFile.producerIDs.write(["\(start + Self.producerIDBlock)"], in: path, files)
            producerIDs = start..<(start + Self.producerIDBlock)
        }
        let id = producerIDs.lowerBound
        producerIDs = (id + 1)..<producerIDs.upperBound
        return id
    }

    /// Whether a whole segment became durable since the recovery points were written: time to write them, or the next
    /// start checks more than it must.
    package var areRecoveryPointsStale: Bool {
        volumes.contains { $0.isRecoveryPointStale }
    }

    /// Stores how far each partition is durable: the next open checks only what comes after, and takes damage before it
    /// for corruption. To be called when `areRecoveryPointsStale`, and every minute or so.
    package func writeRecoveryPoints() throws(LogError) {
        try takeRecoveryPoints(areOlderWrong: true).write()
        mayStoreForeignPoints = false
    }

    /// The same, for another thread to store: see ``DirectoryThread``. Waits for nobody, that thread neither.
    package func takeRecoveryPoints() -> RecoveryPoints { takeRecoveryPoints(areOlderWrong: false) }

    /// - Parameter areOlderWrong: Those that were taken before may name a topic that is gone.
    func takeRecoveryPoints(areOlderWrong: Bool) -> RecoveryPoints {
        for volume in volumes { volume.isRecoveryPointStale = false }
        recoveryPointNumber += 1
        if areOlderWrong { recoveryPointGate.oldest.store(recoveryPointNumber, ordering: .releasing) }
        return RecoveryPoints(
            points: logs.map { ($0.key, $0.value.map(\.recoveryPoint)) }, path: path, files: files,
            gate: recoveryPointGate, number: recoveryPointNumber)
    }

    /// Syncs and closes every partition, writes what a fast start needs and gives up the lock. Later calls do nothing.
    /// - Throws: the first error; everything is closed all the same, as after a crash at worst.
    package func close() throws(LogError) {
        guard !isClosed else { return }
        isClosed = true
        var first: LogError?
        func attempt(_ body: () throws(LogError) -> Void) {
            do throws(LogError) { try body() } catch { first = first ?? error }
        }
        // In order: what is to be replayed must not depend on how a dictionary is laid out.
        for log in topics.flatMap({ logs[$0]! }) where log.refusal == nil {
            attempt { () throws(LogError) in try log.synchronize() }
        }
        attempt { () throws(LogError) in try writeRecoveryPoints() }
        var clean: [String] = []
        for topic in topics {
            for (index, log) in logs[topic]!.enumerated() {
                let left = log.cleanClose
                attempt { () throws(LogError) in
                    try log.close()
                    if let left { clean.append("\(topic) \(index) \(left.logEndOffset) \(left.lastSegmentBytes)") }
                }
            }
        }
        attempt { () throws(LogError) in try CheckpointFile.cleanClose.write(clean, in: path, files) }
        logs = [:]
        for volume in volumes { volume.releaseLock() }
        if let first { throw first }
    }

    /// Lets another owner in without closing anything: what the kernel does when a process dies. For tests.
    func releaseLock() {
        for volume in volumes { volume.releaseLock() }
    }

    // MARK: - Opening

    private func recover(_ progress: RecoveryProgress) throws(LogError) {
        // A process that was killed may have left a catalog or renames that are not on the disk. They must be before
        // anything is removed on the strength of them.
        try synchronizeVolumes()
        let found = try listVolumes()
        let catalog = try readCatalog(found)
        let bounds = try Self.readOffsets(.recoveryPoints, in: path, files)
        let starts = try Self.readOffsets(.logStarts, in: path, files)
        if starts.isEmpty { storedLogStarts = [] }
        let clean = readCleanClose()
        for line in try CheckpointFile.topicConfigs.read(in: path, files) ?? [] {
            configs[String(line[0]), default: [:]][String(line[1])] = String(line[2])
        }
        let surviving = try finishDeletes(catalog, found)
        var recoveries: [LogRecovery] = []
        var places: [LogVolume] = []
        for (topic, count) in surviving {
            let options = try options.applying(configs[topic] ?? [:])
            for index in 0..<count {
                let name = TopicName.directory(topic, index)
                let volume = try place(of: name, topic)
                places.append(volume)
                recoveries.append(
                    try LogRecovery(
                        directory: volume.path + "/" + name, options: options, bound: bounds[name] ?? .zero,
                        logStartOffset: starts[name] ?? .zero, leaderEpochMax: .zero, cleanClose: clean[name], files))
            }
        }
        let isUnclean = recoveries.contains { !$0.isClean }
        let recovered = try RecoveryCrew.run(recoveries, threads: options.recoveryThreads, progress)
        var next = 0
        for (topic, count) in surviving {
            let logs = (next..<(next + count)).map { PartitionLog(recovered[$0], volume: places[$0]) }
            next += count
            self.logs[topic] = logs
            ids[topic] = catalog[topic]!.id
            recoveryReport.add(topic, logs)
        }
        recoveryReport.topicCount = logs.count
        recoveryReport.orphans = found.filter { name in
            TopicName.parse(directory: name).map { ($0.partition < catalog[$0.topic]?.partitions ?? 0) == false }
                ?? false
        }
        try recoverProducerIDs()
        try recoverClusterID()
        // From here on partitions are written to: what was said of their ends is no longer true.
        try files.remove(path + "/" + CheckpointFile.cleanClose.name)
        if !isUnclean && bounds.count == recovered.count {
            // The stored points still hold.
            if !clean.isEmpty { try files.synchronizeDirectory(path) }
        } else {
            // Every log was synced while it was recovered. This also forgets the bounds of topics that are gone.
            try writeRecoveryPoints()
        }
        if !starts.isEmpty { try writeLogStartOffsets() }
    }

    private func place(of name: String, _ topic: String) throws(LogError) -> LogVolume {
        guard let volume = places[name] else {
            throw LogError(
                .invalidCatalog, operation: "opening", path: path + "/" + name,
                advice: "\(name) is missing in \(volumes.map(\.path).joined(separator: ", ")), but the catalog "
                    + "\(path)/topics has topic \(topic): name its directory, restore it from a copy, or create it "
                    + "empty to accept the loss")
        }
        return volume
    }

    /// How the last stop left the partitions; nothing after a crash. Not needed: what does not parse is passed over.
    private func readCleanClose() -> [String: LogRecovery.CleanClose] {
        var clean: [String: LogRecovery.CleanClose] = [:]
        for line in (try? CheckpointFile.cleanClose.read(in: path, files)) ?? [] {
            guard let index = Int(line[1]), let end = Int64(line[2]), let bytes = Int64(line[3]), end >= 0 else {
                continue
            }
            clean[TopicName.directory(String(line[0]), index)] = .init(
                logEndOffset: Offset(end), lastSegmentBytes: bytes)
        }
        return clean
    }

    /// The names in all volumes; notes where the partitions are.
    private func listVolumes() throws(LogError) -> [String] {
        var all: [String] = []
        for volume in volumes {
            let names = try files.names(in: volume.path)
            for name in names where TopicName.parse(directory: name) != nil {
                if let other = place(name, in: volume) {
                    throw LogError(
                        .invalidCatalog, operation: "opening", path: volume.path + "/" + name,
                        advice: "\(name) is in \(other.path) and in \(volume.path): move one of them away")
                }
            }
            all += names
        }
        return all
    }

    /// The topics. Those of an earlier version are given ids.
    private func readCatalog(_ found: [String]) throws(LogError) -> [String: CatalogEntry] {
        guard let lines = try CheckpointFile.topics.read(in: path, files) else {
            if let orphan = found.first(where: { TopicName.parse(directory: $0) != nil }) {
                throw LogError(
                    .invalidCatalog, operation: "opening", path: path,
                    advice: "\(path) holds partition directories (\(orphan)) but no catalog: restore \(path)/topics "
                        + "from a copy, or choose another data directory")
            }
            try CheckpointFile.topics.write([], in: path, files)
            return [:]
        }
        var catalog: [String: CatalogEntry] = [:]
        for line in lines {
            let topic = String(line[0])
            let id = line.count > 2 ? TopicUUID(line[2]) : TopicUUID(random: files.storage.random)
            guard TopicName.fault(in: topic) == nil, let count = Int(line[1]),
                (1...TopicName.partitionsMax).contains(count), catalog[topic] == nil, let id
            else {
                throw CheckpointFile.topics.fault(path + "/topics", "line '\(line.joined(separator: " "))'")
            }
            catalog[topic] = CatalogEntry(partitions: count, id: id)
        }
        if lines.contains(where: { $0.count == 2 }) {
            try CheckpointFile.topics.write(CatalogEntry.lines(catalog), in: path, files)
        }
        return catalog
    }

    /// A checkpoint with an offset for each partition, by the partition's directory.
    static func readOffsets(
        _ file: CheckpointFile, in path: String, _ files: FileSystem
    ) throws(LogError) -> [String: Offset] {
        var bounds: [String: Offset] = [:]
        for line in try file.read(in: path, files) ?? [] {
            guard let index = Int(line[1]), let offset = Int64(line[2]), offset >= 0 else {
                throw file.fault(path + "/" + file.name, "line '\(line.joined(separator: " "))'")
            }
            bounds[TopicName.directory(String(line[0]), index)] = Offset(offset)
        }
        return bounds
    }

    private func recoverClusterID() throws(LogError) {
        let file = CheckpointFile.clusterID
        if let lines = try file.read(in: path, files) {
            guard lines.count == 1, !lines[0][0].isEmpty else {
                throw file.fault(path + "/" + file.name, "one id is expected")
            }
            clusterID = String(lines[0][0])
        } else {
            clusterID = TopicUUID(random: files.storage.random).description
            try file.write([clusterID], in: path, files)
        }
    }

    private func recoverProducerIDs() throws(LogError) {
        let file = CheckpointFile.producerIDs
        var next: Int64 = 0
        if let lines = try file.read(in: path, files) {
            guard lines.count == 1, let stored = Int64(lines[0][0]), stored >= 0 else {
                throw file.fault(path + "/" + file.name, "one number is expected")
            }
            next = stored
        } else {
            // Should the file be lost, the logs still know the ids in use. Once: it takes their producers into memory.
            for log in logs.values.joined() { next = max(next, try log.producerIDMax + 1) }
            try file.write(["\(next)"], in: path, files)
        }
        producerIDs = next..<next
    }
}
