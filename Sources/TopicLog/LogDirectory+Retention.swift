package import RecordFormat

extension LogDirectory {
    /// Deletes a partition's records before an offset, durably: nobody reads them any more, and whole segments go.
    ///
    /// What is not durable is synced first, so that no crash leaves a log that ends before it begins.
    /// - Parameter before: At most the log's end. Below the log's beginning nothing happens.
    /// - Returns: What waits for the disk. It answers with the log's beginning then, and the deleted files (see
    ///   ``PartitionLog/moveStart(to:)``); or a system error, after which a restart may find the records deleted.
    /// - Throws: `unknownTopic`, `offsetOutOfRange`; system errors.
    package func beginDeletion(
        topic: String, partition index: Int, before: Offset
    ) throws(LogError) -> DirectoryChange<Result<(start: Offset, removed: [LogFile]), LogError>> {
        guard let log = partition(topic: topic, index: index) else {
            throw LogError(
                .unknownTopic, operation: "deleting records", path: topic,
                advice: "there is no partition \(index) of topic \(topic)")
        }
        guard before <= log.logEndOffset else {
            throw LogError(
                .offsetOutOfRange, operation: "deleting records", path: log.directory,
                advice: "records before \(before) cannot be deleted: \(topic)-\(index) ends at \(log.logEndOffset)")
        }
        guard before > log.logStartOffset else {
            return begin(DirectorySteps()) { _ in .success((log.logStartOffset, [])) }
        }
        if let refusal = log.refusal {
            throw LogError(
                .poisoned, operation: "deleting records", path: log.directory,
                advice: "\(topic)-\(index) takes no changes: \(refusal)")
        }
        var steps = DirectorySteps()
        var ticket: FlushTicket?
        if before > log.durableOffset, let taken = log.takeFlushTicket(ignoringOutstanding: true) {
            ticket = taken
            steps.add { () throws(LogError) in
                for file in taken.files { try file.synchronize() }
            } done: {
                log.didFlush(taken, error: nil)
            }
        }
        addLogStarts(to: &steps, moving: [ObjectIdentifier(log): before])
        return begin(steps) { [ticket] error in
            // A sync may have failed meanwhile that the flusher made: then nothing counts as durable.
            if let ticket, before > log.durableOffset, let error = error ?? log.poison {
                log.didFlush(ticket, error: error)
                return .failure(error)
            }
            if let error { return .failure(error) }
            return Result { () throws(LogError) in (before, try log.moveStart(to: before)) }
        }
    }

    /// The same, on the calling thread.
    package func deleteRecords(
        topic: String, partition: Int, before: Offset
    ) throws(LogError) -> (start: Offset, removed: [LogFile]) {
        try beginDeletion(topic: topic, partition: partition, before: before).perform().get()
    }

    /// Closes segments that have grown old, and deletes those that the policy lets go, in every partition.
    /// - Parameter nowMilliseconds: Since 1970.
    /// - Returns: The deleted files: see ``PartitionLog/moveStart(to:)``.
    /// - Throws: the first error; the other partitions were seen to all the same.
    package func deleteExpired(nowMilliseconds now: Int64) throws(LogError) -> [LogFile] {
        precondition(!isChanging, "a change while another one is under way")
        var first: LogError?
        var ends: [ObjectIdentifier: Offset] = [:]
        for log in logs.values.joined() {
            do throws(LogError) { try log.rollExpired(nowMilliseconds: now) } catch { first = first ?? error }
            if let end = log.expiredEnd(nowMilliseconds: now) { ends[ObjectIdentifier(log)] = end }
        }
        var removed: [LogFile] = []
        if !ends.isEmpty {
            try writeLogStartOffsets(moving: ends)
            for log in logs.values.joined() {
                guard let end = ends[ObjectIdentifier(log)] else { continue }
                do throws(LogError) { removed += try log.moveStart(to: end) } catch { first = first ?? error }
            }
        }
        if let first { throw first }
        return removed
    }

    /// Stores where each log begins, or is about to begin.
    func writeLogStartOffsets(moving ends: [ObjectIdentifier: Offset] = [:]) throws(LogError) {
        var steps = DirectorySteps()
        addLogStarts(to: &steps, moving: ends)
        try steps.perform()
    }
}
