package import RecordFormat

extension LogDirectory {
    /// Deletes a partition's records before an offset, durably: nobody reads them any more, and whole segments go.
    ///
    /// What is not durable is synced first, so that no crash leaves a log that ends before it begins.
    /// - Parameter before: At most the log's end. Below the log's beginning nothing happens.
    /// - Returns: The log's beginning now, and the deleted files: see ``PartitionLog/moveStart(to:)``.
    /// - Throws: `unknownTopic`, `offsetOutOfRange`; system errors: after a failed write of the checkpoint a restart
    ///   may find the records deleted.
    package func deleteRecords(
        topic: String, partition index: Int, before: Offset
    ) throws(LogError) -> (start: Offset, removed: [LogFile]) {
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
        guard before > log.logStartOffset else { return (log.logStartOffset, []) }
        if let refusal = log.refusal {
            throw LogError(
                .poisoned, operation: "deleting records", path: log.directory,
                advice: "\(topic)-\(index) takes no changes: \(refusal)")
        }
        if before > log.durableOffset { try log.synchronize() }
        try writeLogStartOffsets(moving: [ObjectIdentifier(log): before])
        return (before, try log.moveStart(to: before))
    }

    /// Closes segments that have grown old, and deletes those that the policy lets go, in every partition.
    /// - Parameter nowMilliseconds: Since 1970.
    /// - Returns: The deleted files: see ``PartitionLog/moveStart(to:)``.
    /// - Throws: the first error; the other partitions were seen to all the same.
    package func deleteExpired(nowMilliseconds now: Int64) throws(LogError) -> [LogFile] {
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

    /// Stores where each log begins, unless the file says so already. Logs that begin at 0 need no line.
    /// - Parameter ends: Where some logs are about to begin.
    func writeLogStartOffsets(moving ends: [ObjectIdentifier: Offset] = [:]) throws(LogError) {
        var lines: [String] = []
        for topic in topics {
            for (index, log) in logs[topic]!.enumerated() {
                let start = ends[ObjectIdentifier(log)] ?? log.logStartOffset
                if start > .zero { lines.append("\(topic) \(index) \(start)") }
            }
        }
        guard lines != storedLogStarts else { return }
        storedLogStarts = nil
        try CheckpointFile.logStarts.write(lines, in: path, files)
        storedLogStarts = lines
    }
}
