internal import Glibc
package import RecordFormat

/// One partition: a sequence of segment files in a directory, Kafka's layout.
///
/// Life cycle: `open` (recovers), `append` / `takeFlushTicket` / `didFlush` / `read`, then `close` or `deleteFiles`.
/// A log that is dropped without `close` is as after a crash: nothing is lost but the index files.
/// Threading: one owner, the broker's reactor thread. Only flush tickets travel to another.
package final class PartitionLog {
    /// The directory of the segments.
    package let directory: String
    /// The limits it was opened with.
    package let options: LogOptions
    let files: FileSystem
    /// What it is on.
    package let volume: LogVolume

    /// The first offset that can be read. Never goes back; records below it may still be in a file.
    package internal(set) var logStartOffset: Offset
    /// The offset the next record gets. In a fenced log, where the fence begins.
    package internal(set) var logEndOffset: Offset
    /// Everything below has been synced.
    package internal(set) var durableOffset: Offset
    /// The corrupt range found at open, or nil. A fenced log refuses appends.
    package let fence: LogFence?
    /// The epoch given to appended batches. Never lowered (programmer error).
    package var leaderEpoch: LeaderEpoch {
        willSet { precondition(newValue >= leaderEpoch, "a leader epoch never goes back") }
    }
    /// The failed repair after which nothing can be appended until the log is reopened, or nil.
    private(set) var damage: LogError?
    /// The error after which nothing can be appended until the log is reopened, or nil.
    package var poison: LogError? { damage ?? volume.poison }
    /// Whether `durableOffset` has passed a whole segment since the recovery point was last written.
    package internal(set) var isRecoveryPointStale = false
    /// Counts since `open`.
    package internal(set) var statistics = LogStatistics()
    /// What `open` found.
    package let recovery: PartitionRecovery

    /// Oldest first; the last one is appended to. Empty only in a fenced log.
    var segments: [Segment]
    var producers: ProducerTable
    /// Rolled segments that no finished ticket has covered yet.
    var unsynced: [Segment] = []
    /// How far the tickets handed out reach.
    var ticketedOffset: Offset
    var run = AppendRun()
    /// The pass of compaction that is out, or nil.
    var compaction: CompactionPass?
    /// How often compaction has replaced a segment.
    var generation = 0
    private(set) var isClosed = false

    /// Opens a partition's log, or begins one in an empty directory, and repairs what a crash left.
    ///
    /// Whatever is at or above the bound and damaged is moved to `.torn` files; damage below it fences the log. What is
    /// kept is synced before this returns: `durableOffset` is `logEndOffset`.
    /// - Parameters:
    ///   - directory: An existing directory that nobody else has open.
    ///   - durableBound: Everything below was synced once, as last written to the recovery points; nil for unknown.
    ///   - logStartOffset: As last stored: segments wholly below it are leftovers, and removed; nil for unknown.
    ///   - leaderEpoch: The epoch to append under; stored batches of later ones are damaged.
    /// - Throws: when a file cannot be read, repaired or synced. Nothing is lost then: open it again.
    package static func open(
        directory: String, options: LogOptions = LogOptions(), durableBound: Offset?,
        logStartOffset: Offset? = nil, leaderEpoch: LeaderEpoch = .zero, storage: any LogStorage = SystemStorage()
    ) throws(LogError) -> PartitionLog {
        let volume = try LogVolume(path: directory, FileSystem(storage))
        return try open(
            directory: directory, options: options, durableBound: durableBound, logStartOffset: logStartOffset,
            leaderEpoch: leaderEpoch, volume: volume)
    }

    /// The same, as one of the partitions of a volume.
    static func open(
        directory: String, options: LogOptions, durableBound: Offset?, logStartOffset: Offset? = nil,
        leaderEpoch: LeaderEpoch = .zero, volume: LogVolume
    ) throws(LogError) -> PartitionLog {
        options.check()
        var recovery = LogRecovery(
            directory: directory, options: options, bound: durableBound ?? .zero,
            logStartOffset: logStartOffset ?? .zero, leaderEpochMax: leaderEpoch, FileSystem(volume.directory.storage))
        try recovery.run()
        return PartitionLog(recovery, leaderEpoch: leaderEpoch, volume: volume)
    }

    private init(_ recovered: LogRecovery, leaderEpoch: LeaderEpoch, volume: LogVolume) {
        self.volume = volume
        directory = recovered.directory
        options = recovered.options
        files = recovered.files
        logStartOffset = max(recovered.logStartOffset, recovered.segments.first?.baseOffset ?? recovered.nextOffset)
        logEndOffset = recovered.nextOffset
        durableOffset = recovered.nextOffset
        ticketedOffset = recovered.nextOffset
        fence = recovered.fence
        recovery = recovered.result
        self.leaderEpoch = leaderEpoch
        segments = recovered.segments
        producers = recovered.producers
    }

    /// What to store as the durable bound for the next open. For a fenced log, the bound it was opened with: a lower
    /// one would make the next open take the damage for a torn tail, and cut it.
    package var recoveryPoint: Offset { fence?.end ?? durableOffset }

    /// The largest id of an idempotent producer seen in this log; -1 for none.
    package var producerIDMax: Int64 { producers.producerIDMax }

    /// Idempotent producers remembered.
    package var producerCount: Int { producers.count }

    /// Bytes of all segments that may be read.
    package var sizeInBytes: Int64 { segments.reduce(0) { $0 + $1.sizeInBytes } }

    /// Whether appends would be refused, and why.
    package var refusal: AppendRejection? {
        if let fence { return .fenced(fence) }
        if let poison { return .storage(poison) }
        return nil
    }

    /// Refuses everything from now on.
    func spoil(_ cause: LogError, _ what: String) {
        guard damage == nil else { return }
        damage = LogError(
            .poisoned, operation: cause.operation, path: cause.path, errno: cause.errno,
            advice: "\(what); the partition takes no appends until the broker is restarted")
    }

    /// Syncs everything on the calling thread: for shutdown and tools, not for the reactor.
    /// - Throws: the log is then poisoned.
    package func synchronize() throws(LogError) {
        if let poison { throw poison }
        guard let ticket = takeFlushTicket(ignoringOutstanding: true) else { return }
        do throws(LogError) {
            for file in ticket.files { try file.synchronize() }
        } catch {
            didFlush(ticket, error: error)
            throw error
        }
        didFlush(ticket, error: nil)
    }

    /// Writes the active segment's index and lets go of the files. Does not sync. Later calls do nothing.
    /// - Throws: when the index cannot be written; the log is closed all the same, and loses nothing.
    package func close() throws(LogError) {
        guard !isClosed else { return }
        isClosed = true
        cancelCompaction()
        defer {
            segments = []
            unsynced = []
        }
        // The files of a fenced partition stay as they were found, and a poisoned one's are not to be trusted.
        if refusal == nil, let active = segments.last { try active.writeIndex() }
    }

    /// Lets go of the files of a topic that is being deleted.
    func abandon() {
        isClosed = true
        cancelCompaction()
        segments = []
        unsynced = []
    }

    /// Closes the log and removes its directory with all that is in it. Tickets that are out stay harmless.
    package func deleteFiles() throws(LogError) {
        abandon()
        try files.removeDirectory(directory)
    }
}
