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
    package internal(set) var clusterID = ""
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
    var producerIDs: Range<Int64> = 0..<0
    private var isClosed = false
    /// The lines of the checkpoint of log starts as it is on the disk; nil for unknown.
    var storedLogStarts: [String: [Offset]]?
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
    /// - Throws: when a new block cannot be reserved, or there are no more ids; nothing has changed then.
    package func allocateProducerID() throws(LogError) -> Int64 {
        precondition(!isClosed, "the data directory is closed")
        if producerIDs.isEmpty {
            // Reserved before the first is given out: after a crash the rest of the block is skipped, never reused.
            let start = producerIDs.lowerBound
            let (end, hasRunOut) = start.addingReportingOverflow(Self.producerIDBlock)
            guard !hasRunOut else {
                let file = path + "/" + CheckpointFile.producerIDs.name
                throw LogError(
                    .invalidCatalog, operation: "reserving producer ids", path: file,
                    advice: "there are no producer ids after \(start): stop the broker and write the next one that "
                        + "nobody had to \(file)")
            }
            try CheckpointFile.producerIDs.write(["\(end)"], in: path, files)
            producerIDs = start..<end
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
}
