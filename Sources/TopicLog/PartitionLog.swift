internal import Glibc
package import RecordFormat

/// One partition: a sequence of segment files in a directory, Kafka's layout.
///
/// After a clean close nothing but the directory's list and the segments' sizes is looked at: files are opened, and
/// producers and indexes read, when they are needed. See docs/adr/0012-derived-files.md.
///
/// Life cycle: `open` (recovers), `append` / `takeFlushTicket` / `didFlush` / `read`, then `close`, or `abandon` when
/// the topic is deleted.
/// A log that is dropped without `close` is as after a crash: nothing is lost but the index files.
/// Threading: one owner, the broker's reactor thread. Only flush tickets travel to another.
package final class PartitionLog {
    /// The directory of the segments.
    package let directory: String
    /// The limits: those it was opened with, or what its topic was given since.
    package internal(set) var options: LogOptions
    let files: FileSystem
    /// What it is on.
    package let volume: LogVolume

    /// The first offset that can be read. Never goes back; records below it may still be in a file.
    package internal(set) var logStartOffset: Offset
    /// The offset the next record gets. In a fenced log, where the fence begins.
    package internal(set) var logEndOffset: Offset
    /// Everything below has been synced.
    package internal(set) var durableOffset: Offset {
        didSet { releaseDurableSegments() }
    }
    /// The corrupt range found at open, or nil. A fenced log refuses appends.
    package let fence: LogFence?
    /// Damage found since then, in the order of offsets.
    package internal(set) var damages: [DamagedRange]
    /// The epoch given to appended batches. Never lowered (programmer error).
    package var leaderEpoch: LeaderEpoch {
        willSet { precondition(newValue >= leaderEpoch, "a leader epoch never goes back") }
    }
    /// The failed repair after which nothing can be appended until the log is reopened, or nil.
    private(set) var damage: LogError?
    /// The error after which nothing can be appended until the log is reopened, or nil.
    package var poison: LogError? { damage ?? volume.poison }
    /// Counts since `open`.
    package internal(set) var statistics = LogStatistics()
    /// What `open` found.
    package let recovery: PartitionRecovery

    /// Oldest first; the last one is appended to. Empty only in a fenced log.
    var segments: [Segment]
    var producers: ProducerTable
    /// Whether producers, epochs and the last segment's indexes are in memory: appends need them.
    private(set) var isActive: Bool
    private(set) var epochs: LeaderEpochs
    /// Where the snapshots are that the last recovery knew, or this log wrote.
    private(set) var snapshots: [Offset]
    /// Rolled segments that no finished ticket has covered yet.
    var unsynced: [Segment] = []
    /// Where the last sync ended; nil before the first.
    var durableMark: LogMark?
    /// How far the tickets handed out reach.
    var ticketedOffset: Offset
    var run = AppendRun()
    /// Transactions that have ended, but whose marker consumers may not see yet.
    var ended: [EndedTransaction] = []
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
        let openFiles = OpenFiles(limit: options.openSegmentsMax)
        let volume = try LogVolume(path: directory, openFiles: openFiles, FileSystem(storage))
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
        var recovery = try LogRecovery(
            directory: directory, options: options, bound: durableBound ?? .zero,
            logStartOffset: logStartOffset ?? .zero, leaderEpochMax: leaderEpoch, FileSystem(volume.directory.storage))
        try recovery.run()
        return PartitionLog(recovery, leaderEpoch: leaderEpoch, volume: volume)
    }

    /// An empty log, in a directory that was just made. Not durable: the caller syncs the directory, and its parent.
    static func begin(directory: String, options: LogOptions, volume: LogVolume) throws(LogError) -> PartitionLog {
        var recovery = try LogRecovery(
            directory: directory, options: options, bound: .zero, logStartOffset: .zero, leaderEpochMax: .zero,
            FileSystem(volume.directory.storage))
        try recovery.begin()
        return PartitionLog(recovery, volume: volume)
    }

    /// A log that was recovered.
    init(_ recovered: LogRecovery, leaderEpoch: LeaderEpoch = .zero, volume: LogVolume) {
        self.volume = volume
        directory = recovered.directory
        options = recovered.options
        files = recovered.files
        logStartOffset = max(recovered.logStartOffset, recovered.segments.first?.baseOffset ?? recovered.nextOffset)
        logEndOffset = recovered.nextOffset
        durableOffset = recovered.nextOffset
        ticketedOffset = recovered.nextOffset
        fence = recovered.fence
        damages = recovered.damages
        recovery = recovered.result
        self.leaderEpoch = leaderEpoch
        segments = recovered.segments
        producers = recovered.producers ?? ProducerTable(producersMax: options.producersMax)
        isActive = recovered.producers != nil
        epochs = recovered.epochs
        snapshots = recovered.snapshots
        for segment in segments { segment.openFiles = volume.openFiles }
    }

    /// What to store as the durable bound for the next open. For a fenced log, the bound it was opened with: a lower
    /// one would make the next open take the damage for a torn tail, and cut it.
    package var recoveryPoint: Offset { fence?.end ?? durableOffset }

    /// The largest id of an idempotent producer remembered; -1 for none.
    package var producerIDMax: Int64 {
        get throws(LogError) {
            try activate()
            return producers.producerIDMax
        }
    }

    /// Idempotent producers remembered.
    package var producerCount: Int {
        get throws(LogError) {
            try activate()
            return producers.count
        }
    }

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

    /// Writes the indexes, the producers and the epochs, and lets go of the files. Does not sync. Later calls do
    /// nothing.
    ///
    /// - Throws: when something cannot be written; the log is closed all the same, and loses nothing: the rest is built
    ///   anew from it.
    package func close() throws(LogError) {
        guard !isClosed else { return }
        isClosed = true
        cancelCompaction()
        defer {
            segments = []
            unsynced = []
        }
        // The files of a fenced partition stay as they were found, and a poisoned one's are not to be trusted. Of a log
        // that nobody has appended to they are as they should be.
        guard refusal == nil, isActive, let active = segments.last else { return }
        // Without it the close is not a clean one: it must be there, the others need not.
        try active.saveAborted()
        guard logEndOffset > .zero else { return }
        try active.saveIndexes()
        try writeSnapshot()
    }

    /// How a clean close leaves the log; nil when the next open has to look at it.
    var cleanClose: LogRecovery.CleanClose? {
        guard refusal == nil, durableOffset == logEndOffset, let active = segments.last else { return nil }
        return .init(logEndOffset: logEndOffset, lastSegmentBytes: active.sizeInBytes)
    }

    /// Lets go of the files of a topic that is being deleted. Tickets that are out stay harmless.
    func abandon() {
        isClosed = true
        cancelCompaction()
        segments = []
        unsynced = []
    }

    // MARK: - What appends need

    /// Brings into memory what appends need, if it is not there, and opens the last segment.
    func activate() throws(LogError) {
        guard !isActive else { return }
        let restored = try ProducerTable.restore(
            segments: segments, snapshots: snapshots, below: logEndOffset, directory: directory, options, files)
        try segments.last?.loadIndexes()
        if let active = segments.last { try aborted(of: active) }
        epochs = LeaderEpochs.read(in: directory, files)
        producers = restored.producers
        damages += restored.damages.filter { damage(at: $0.offsets.lowerBound) == nil }
        isActive = true
    }

    /// Takes note of the epoch of a batch that was appended.
    func noteEpoch(of header: RecordBatchHeader) {
        epochs.add(header.partitionLeaderEpoch, at: header.baseOffset)
    }

    /// Writes the producers and epochs as they are at the log's end.
    ///
    /// Not synced. The next open takes the last snapshot whose checksum holds, and walks the log from there.
    func writeSnapshot() throws(LogError) {
        try epochs.write(in: directory, files)
        guard snapshots.last != logEndOffset else { return }
        let path = directory + "/" + Segment.name(logEndOffset, ProducerSnapshot.suffix)
        let file = try files.open(path, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        try file.write(producers.snapshot.encoded, at: 0)
        // Kafka's rule: one for each segment, and the newest.
        if let last = snapshots.last, !segments.contains(where: { $0.baseOffset == last }) {
            try files.remove(directory + "/" + Segment.name(last, ProducerSnapshot.suffix))
            snapshots.removeLast()
        }
        snapshots.append(logEndOffset)
    }

    /// Removes the snapshots of some offsets. Not durable.
    func removeSnapshots(in range: Range<Offset>) throws(LogError) {
        for offset in snapshots where range.contains(offset) {
            try files.remove(directory + "/" + Segment.name(offset, ProducerSnapshot.suffix))
        }
        snapshots.removeAll { range.contains($0) }
    }

    /// Segments that are durable to their end may be closed when descriptors are short.
    private func releaseDurableSegments() {
        for segment in unsynced where segment.endOffset <= durableOffset { segment.isDirty = false }
        if let active = segments.last, active.endOffset <= durableOffset { active.isDirty = false }
    }
}
