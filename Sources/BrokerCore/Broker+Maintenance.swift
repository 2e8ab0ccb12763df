internal import TopicLog

/// Retention and compaction.
extension Broker {
    /// Whether ``maintain(now:nowMilliseconds:)`` is to be called. The first time an interval after the start.
    package func isMaintenanceDue(now: UInt64) -> Bool {
        if nextMaintenance == 0 { nextMaintenance = now + retentionCheckNanoseconds }
        // A change that waits for the disk has the directory.
        return now >= nextMaintenance && !directory.isChanging
    }

    /// No other change may begin before it.
    var isMaintenanceOverdue: Bool { nextMaintenance != 0 && now >= nextMaintenance }

    /// Closes old segments, deletes what has expired, and begins to compact the partition that needs it most.
    /// - Parameters:
    ///   - now: Nanoseconds of a monotonic clock.
    ///   - nowMilliseconds: Since 1970: what records' timestamps are compared to.
    package func maintain(now: UInt64, nowMilliseconds: Int64) {
        nextMaintenance = now + retentionCheckNanoseconds
        maintainedAt = nowMilliseconds
        setClocks(now: now, nowMilliseconds: nowMilliseconds)
        groups.expireOffsets()
        transactions.expireIDs()
        if idleProducers.isEmpty { idleProducers = Array(topics.values.joined()) }
        do throws(LogError) {
            let files = try directory.deleteExpired(nowMilliseconds: nowMilliseconds)
            if !files.isEmpty { effects.hasDeletedFiles = true }
            compactor?.release(files)
        } catch {
            effects.maintenanceTroubles.append("\(error)")
        }
        // What no sync has covered is neither deleted nor compacted; with `none` nobody else asks for one.
        unsynced += topics.values.joined().filter { $0.log.hasUnsyncedSegments && !$0.isFlushing }
        submitFlushes()
        startCompaction()
    }

    /// Forgets idempotent producers that have been idle for long, a piece in each turn.
    func forgetIdleProducers() {
        var looked = 0
        while looked < Self.idleProducersPerTurn, let partition = idleProducers.popLast() {
            guard !partition.isDeleted else { continue }
            looked += 1 + partition.log.forgetIdleProducers(nowMilliseconds: Int64(now / 1_000_000))
        }
    }

    /// Partitions and producers that one turn looks at: well below a millisecond, but for a partition with very many.
    private static var idleProducersPerTurn: Int { 10_000 }

    /// Takes in what the compactor has done.
    package func takeCompacted() {
        guard let partition = compacting, let compactor else { return }
        for event in compactor.takeEvents() {
            switch event {
            case .segment(let segment):
                effects.hasDeletedFiles = true
                do throws(LogError) { _ = try partition.log.install(segment) } catch {
                    effects.maintenanceTroubles.append("\(error)")
                }
            case .finished(let error):
                partition.log.finishCompaction()
                compacting = nil
                if let error {
                    // Not again before the next check.
                    effects.maintenanceTroubles.append("\(error)")
                } else {
                    startCompaction()
                }
            }
        }
    }

    /// The pass of the dirtiest partition that has one to make, if one is dirty enough and none is running.
    private func startCompaction() {
        guard let compactor, compacting == nil else { return }
        var candidates: [(partition: Partition, ratio: Double)] = []
        for partition in topics.values.joined() {
            let (dirty, total) = partition.log.cleanableBytes
            guard dirty > 0 else { continue }
            let ratio = Double(dirty) / Double(total)
            if ratio >= partition.log.options.minCleanableRatio { candidates.append((partition, ratio)) }
        }
        // One that waits for a transaction, or cannot be read, keeps no other from being compacted.
        for (partition, _) in candidates.sorted(by: { $0.ratio > $1.ratio }) {
            guard let compaction = partition.log.beginCompaction(nowMilliseconds: maintainedAt) else { continue }
            compacting = partition
            return compactor.submit(compaction)
        }
    }

    /// Ends the pass that is out and the thread.
    func stopCompaction() {
        compacting?.log.cancelCompaction()
        compacting = nil
        compactor?.stop()
    }
}
