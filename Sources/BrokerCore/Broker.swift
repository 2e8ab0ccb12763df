internal import RecordFormat
package import TopicLog
package import TopicProtocol

/// Topics and partitions, and what it takes until a batch counts: synchronous, without threads or a clock of its own.
///
/// A turn of the owner's loop: the doors stage batches, ``commit(now:heardUntil:)`` appends each partition's with one
/// write and asks for syncs, ``takeEffects(_:)`` tells the doors what became due. Syncs run on the ``Flusher``'s
/// thread; its results enter through ``takeFlushResults()``.
/// - Threading: one owner.
@safe package final class Broker {
    /// When a batch counts as written, where its topic does not say otherwise.
    package var flushPolicy: FlushPolicy { directory.options.flushPolicy }
    let directory: LogDirectory
    private let flusher: Flusher
    let compactor: Compactor?
    private let directoryThread: DirectoryThread?
    var topics: [String: [Partition]] = [:] { didSet { sortedNames = nil } }
    /// In order, once asked for.
    private var sortedNames: [String]?
    /// The same by the topic's number: looked up for each batch.
    private var partitionsByID: [UInt32: [Partition]] = [:]
    /// Names by the topics' own ids.
    var namesByUUID: [TopicUUID: String] = [:]
    /// Changes whenever topics or partitions come or go.
    var topicsVersion: UInt64 = 0
    private var nextTopicID: UInt32 = 1
    /// Partitions with staged batches, and with syncs to ask for.
    private var staged: [Partition] = []
    var unsynced: [Partition] = []
    private var flushing: [UInt64: (partition: Partition, ticket: FlushTicket)] = [:]
    private var nextFlush: UInt64 = 1
    /// Partitions that are synced at intervals, with unsynced batches; when each is due, and the first of them.
    private var periodic: [(partition: Partition, due: UInt64)] = []
    private var nextPeriodic = UInt64.max
    private(set) var now: UInt64 = 0
    private var nextRecoveryPoint: UInt64 = 0
    var effects: BrokerEffects
    /// What is being appended to one partition, and what came of it: kept for their memory.
    private var appending: [UnsafeMutableRawBufferPointer] = unsafe []
    private var appendResults: [AppendResult] = []
    /// Consumer groups; what is read for them at the start; acknowledgements of their records.
    private(set) var groups: GroupCoordinator! = nil
    var loader: OffsetsLoader?
    var groupAcks: [(token: UInt64, error: ErrorCode)] = []
    /// The same of transactions; and markers on their way to where offsets are.
    private(set) var transactions: TransactionCoordinator! = nil
    var transactionsLoader: OffsetsLoader?
    var transactionAcks: [(token: UInt64, error: ErrorCode)] = []
    var markersInFlight: [UInt64: MarkerWrite] = [:]
    /// Batches of the broker's own that are staged.
    var ownBatches: [GroupBatch] = []
    /// The partition whose pass of compaction is out.
    var compacting: Partition?
    let retentionCheckNanoseconds: UInt64
    /// 0 before the first turn.
    var nextMaintenance: UInt64 = 0
    /// When ``maintain(now:nowMilliseconds:)`` was last called, in milliseconds since 1970.
    var maintainedAt: Int64 = 0
    /// Partitions whose idle producers are still to be forgotten.
    var idleProducers: [Partition] = []
    let limits: BrokerLimits
    /// What clients have used of their byte rates.
    package let quotas: ClientQuotas
    /// What the broker was started with, for whoever asks.
    package let settings: [ConfigDescription]
    /// Changes of topics that wait, with who asked; and the end of the one that waits for the disk.
    var changes = ChangeQueue()
    private var changing: ((DirectoryOutcome) -> Void)?

    /// - Parameters:
    ///   - compactor: Compacts topics; nil for never.
    ///   - directoryThread: Waits for the disk when topics change and recovery points are stored; nil: turns do.
    ///   - doors: How many doors stage batches; they are numbered from 0.
    ///   - retentionCheckMilliseconds: How often to look for old segments.
    package init(
        directory: LogDirectory, flusher: Flusher, compactor: Compactor? = nil,
        directoryThread: DirectoryThread? = nil, doors: Int,
        retentionCheckMilliseconds: UInt64 = 300_000, limits: BrokerLimits = BrokerLimits(),
        quotas: QuotaLimits = QuotaLimits(), groups: GroupOptions = GroupOptions(),
        transactions: TransactionOptions = TransactionOptions(), settings: [ConfigDescription] = []
    ) {
        self.limits = limits
        self.quotas = ClientQuotas(quotas)
        self.settings = settings
        self.directory = directory
        self.flusher = flusher
        self.compactor = compactor
        self.directoryThread = directoryThread
        retentionCheckNanoseconds = retentionCheckMilliseconds * 1_000_000
        effects = BrokerEffects(doors: doors)
        for topic in directory.topics { adopt(topic) }
        self.groups = GroupCoordinator(options: groups, topics: self)
        self.transactions = TransactionCoordinator(options: transactions) { [unowned self] () throws(BrokerError) in
            try allocateProducerID()
        }
    }

    /// Takes a topic's partitions in that are new.
    func adopt(_ name: String) {
        let known = topics[name] ?? []
        var id = known.first?.address.topicID ?? 0
        if id == 0 {
            id = nextTopicID
            nextTopicID += 1
        }
        let list =
            known
            + (known.count..<directory.partitionCount(topic: name)!).map { index in
                Partition(
                    address: PartitionAddress(topicID: id, partition: UInt32(index)), topic: name,
                    log: directory.partition(topic: name, index: index)!)
            }
        topics[name] = list
        partitionCount += list.count - known.count
        partitionsByID[id] = list
        namesByUUID[directory.id(topic: name)!] = name
        topicsVersion += 1
    }

    /// Lets go of a deleted partition; whoever waits for it is told.
    func forget(_ partition: Partition) {
        partition.isDeleted = true
        partitionCount -= 1
        partitionsByID[partition.address.topicID] = nil
        for origin in partition.awaiting.map(\.origin) + partition.staged.map(\.origin) {
            acknowledge(origin, .unknownTopicOrPartition, base: nil)
        }
        (partition.awaiting, partition.staged) = ([], [])
    }

    /// What its policy does not wait for counts now; what it wants synced is.
    func policyMayHaveChanged(_ partition: Partition) {
        if partition.log.options.flushPolicy != .group { publish(partition, upTo: partition.log.logEndOffset) }
        didSync(partition)
    }

    // MARK: Topics

    package func partition(_ address: PartitionAddress) -> Partition? {
        guard let list = partitionsByID[address.topicID], Int(address.partition) < list.count else { return nil }
        return list[Int(address.partition)]
    }

    /// A topic's partitions, by number.
    package func partitions(of topic: String) -> [Partition]? { topics[topic] }

    /// A topic's own id, the same for its life.
    package func uuid(of topic: String) -> TopicUUID? { topics[topic] == nil ? nil : directory.id(topic: topic) }

    package func topicName(_ id: TopicUUID) -> String? { namesByUUID[id] }

    /// The id of the cluster that this broker is.
    package var clusterID: String { directory.clusterID }

    package var topicCount: Int { topics.count }
    package private(set) var partitionCount = 0

    /// In order.
    package var topicNames: [String] {
        let names = sortedNames ?? topics.keys.sorted()
        sortedNames = names
        return names
    }

    package func allocateProducerID() throws(BrokerError) -> Int64 {
        do throws(LogError) { return try directory.allocateProducerID() } catch { throw BrokerError(error) }
    }

    // MARK: Produce

    /// Takes a validated batch of a partition.
    package func stage(_ batch: ProducedBatch, in partition: Partition) {
        if batch.origin.door != Self.ownDoor, let error = refusal(of: batch, in: partition) {
            return refuse(batch.origin, error)
        }
        if partition.staged.isEmpty { staged.append(partition) }
        partition.stage(batch)
    }

    /// Answers a produce request that never gets as far as the log.
    package func refuse(_ origin: ProduceOrigin, _ error: ErrorCode) { acknowledge(origin, error, base: nil) }

    /// Appends everything staged, one write per partition, and asks for the syncs that the topics' policies want.
    /// - Parameters:
    ///   - now: Nanoseconds of a monotonic clock.
    ///   - heardUntil: All that clients had sent by then was handed over. After a long turn that is not `now`: members
    ///     of groups whose heartbeats still wait are not silent.
    package func commit(now: UInt64, heardUntil: UInt64? = nil) {
        self.now = now
        finishChange()
        advanceGroups(now: now, heardUntil: heardUntil ?? now)
        advanceTransactions(now: now, heardUntil: heardUntil ?? now)
        beginChanges()
        if !idleProducers.isEmpty { forgetIdleProducers() }
        for partition in staged { append(partition) }
        staged.removeAll(keepingCapacity: true)
        ownBatches.removeAll()
        if now >= nextPeriodic {
            for entry in periodic where entry.due <= now {
                entry.partition.isPeriodic = false
                unsynced.append(entry.partition)
            }
            periodic.removeAll { $0.due <= now }
            nextPeriodic = periodic.reduce(.max) { min($0, $1.due) }
        }
        submitFlushes()
        if now >= nextRecoveryPoint {
            if nextRecoveryPoint != 0 { storeRecoveryPoints() }
            nextRecoveryPoint = now + 30_000_000_000
        }
    }

    /// Takes in what the disk has come to.
    private func finishChange() {
        guard let finish = changing, let outcome = directoryThread?.takeOutcome() else { return }
        changing = nil
        finish(outcome)
    }

    /// Begins what waits, until something has to wait for the disk.
    private func beginChanges() {
        // Retention changes the directory, too.
        guard changing == nil, !isMaintenanceOverdue else { return }
        while let (work, finish) = nextChange() {
            guard let directoryThread else { return finish(work()) }
            changing = finish
            return directoryThread.submit(work)
        }
    }

    private func storeRecoveryPoints() {
        // Late ones only make the next start read more: an error here is met again at the next ones.
        if let directoryThread {
            directoryThread.submit(directory.takeRecoveryPoints())
        } else {
            try? directory.writeRecoveryPoints()
        }
    }

    /// Nanoseconds of the clock at which ``commit(now:heardUntil:)`` wants to be called again, if at all.
    package var nextDeadline: UInt64? {
        // What wants to be synced is gone from the list after every commit, whether there was something to sync or not.
        if mustAdvanceGroups || mustAdvanceTransactions || (changing == nil && !changes.isEmpty)
            || !idleProducers.isEmpty || !unsynced.isEmpty
        {
            return now
        }
        let maintenance = nextMaintenance == 0 || directory.isChanging ? .max : nextMaintenance
        let deadline = min(nextPeriodic, maintenance, groups.nextDeadline, transactions.nextDeadline)
        return deadline == .max ? nil : deadline
    }

    private func append(_ partition: Partition) {
        guard !partition.staged.isEmpty else { return }
        for batch in partition.staged { unsafe appending.append(batch.bytes) }
        unsafe partition.log.append(appending, &appendResults)
        var appended = false
        for index in appendResults.indices {
            let batch = partition.staged[index]
            switch appendResults[index] {
            case .appended(let base, let last):
                appended = true
                waitForCommit(partition, base: base, last: last, batch.origin)
                guard let memory = batch.memory else { break }
                effects.appended[batch.origin.door].append(
                    unsafe AppendedBatch(
                        memory: memory, partition: partition, base: base, next: last.advanced(by: 1),
                        byteCount: batch.bytes.count))
            case .duplicate(let base, let last): waitForCommit(partition, base: base, last: last, batch.origin)
            case .rejected(let why):
                acknowledge(batch.origin, ErrorCode(why), base: nil)
                if let trouble = why.trouble { effects.troubles[partition.name] = trouble }
            }
        }
        partition.staged.removeAll(keepingCapacity: true)
        unsafe appending.removeAll(keepingCapacity: true)
        appendResults.removeAll(keepingCapacity: true)
        guard appended else { return }
        if !partition.isFlushing { wantSync(partition) }
        if partition.log.options.flushPolicy != .group { publish(partition, upTo: partition.log.logEndOffset) }
    }

    /// Has a partition synced when its topic wants it.
    private func wantSync(_ partition: Partition) {
        switch partition.log.options.flushPolicy {
        case .group: unsynced.append(partition)
        case .interval(let milliseconds):
            if partition.log.hasUnsyncedSegments { unsynced.append(partition) }
            guard !partition.isPeriodic else { return }
            partition.isPeriodic = true
            let due = now + UInt64(milliseconds) * 1_000_000
            periodic.append((partition, due))
            nextPeriodic = min(nextPeriodic, due)
        // As in Kafka: until a rolled segment is synced it holds a descriptor.
        case .none: if partition.log.hasUnsyncedSegments { unsynced.append(partition) }
        }
    }

    private func waitForCommit(_ partition: Partition, base: Offset, last: Offset, _ origin: ProduceOrigin) {
        let end = last.advanced(by: 1)
        if end <= partition.highWatermark {
            acknowledge(origin, .none, base: base)
        } else {
            partition.awaiting.append((end, origin, base))
        }
    }

    private func publish(_ partition: Partition, upTo end: Offset) {
        guard end > partition.highWatermark else { return }
        partition.highWatermark = end
        effects.readable.append(partition)
        var due = 0
        // In order of their offsets but for duplicates, which may be due earlier than they stand: they wait a little.
        while due < partition.awaiting.count, partition.awaiting[due].end <= end {
            acknowledge(partition.awaiting[due].origin, .none, base: partition.awaiting[due].base)
            due += 1
        }
        partition.awaiting.removeFirst(due)
    }

    private func acknowledge(_ origin: ProduceOrigin, _ error: ErrorCode, base: Offset?) {
        if origin.door == Self.ownDoor {
            if origin.requestID == Self.groupWrite { return groupAcks.append((origin.session, error)) }
            return transactionAcks.append((origin.session, error))
        }
        let ack = ProduceAck(requestID: origin.requestID, error: error, baseOffset: base?.rawValue ?? -1)
        effects.acks[origin.door].append((origin, ack))
    }

    // MARK: Sync

    func submitFlushes() {
        var requests: [FlushRequest] = []
        for partition in unsynced where !partition.isFlushing && !partition.isDeleted {
            let log = partition.log
            guard let ticket = log.options.flushPolicy == .none ? log.takeRolledTicket() : log.takeFlushTicket() else {
                // A sync of another partition may have failed, and nothing of the volume be synced any more.
                if let poison = log.poison { failWaiting(partition, poison) }
                continue
            }
            partition.isFlushing = true
            flushing[nextFlush] = (partition, ticket)
            requests.append(FlushRequest(token: nextFlush, ticket: ticket))
            nextFlush += 1
        }
        unsynced.removeAll(keepingCapacity: true)
        if !requests.isEmpty { flusher.submit(requests) }
    }

    /// Takes in what the flusher has done.
    package func takeFlushResults() {
        let results = flusher.takeResults()
        for result in results {
            guard let (partition, ticket) = flushing.removeValue(forKey: result.token) else { continue }
            partition.isFlushing = false
            guard !partition.isDeleted else { continue }
            partition.log.didFlush(ticket, error: result.error)
            if let error = result.error { failWaiting(partition, error) } else { didSync(partition) }
        }
        // A whole segment became durable: the next commit says so on disk, or the next start reads it all again.
        if !results.isEmpty, directory.areRecoveryPointsStale { nextRecoveryPoint = 1 }
    }

    /// What is durable now counts; the rest is synced next.
    func didSync(_ partition: Partition) {
        publish(partition, upTo: partition.log.durableOffset)
        if partition.log.logEndOffset > partition.log.durableOffset { wantSync(partition) }
    }

    /// Whether what waits is on the disk is unknown: nobody is told that it is.
    private func failWaiting(_ partition: Partition, _ error: LogError) {
        effects.troubles[partition.name] = error.description
        for waiting in partition.awaiting { acknowledge(waiting.origin, .storageError, base: nil) }
        partition.awaiting = []
    }

    /// Leaves what became due since the last call in `taken`, whose memory is used again.
    package func takeEffects(_ taken: inout BrokerEffects) {
        finishGroups()
        finishTransactions()
        taken.clear()
        swap(&taken, &effects)
    }

    /// Readable when ``takeFlushResults()``, ``takeCompacted()`` or ``commit(now:heardUntil:)`` has something.
    package var wakeDescriptors: [Int32] {
        [flusher.wakeDescriptor, compactor?.wakeDescriptor, directoryThread?.wakeDescriptor].compactMap { $0 }
    }

    /// Syncs everything, writes the recovery points and closes the files.
    package func close() throws(LogError) {
        stopCompaction()
        directoryThread?.stop()
        finishChange()
        flusher.stop()
        takeFlushResults()
        try directory.close()
    }
}
