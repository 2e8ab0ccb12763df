package import RecordFormat

extension PartitionLog {
    /// Closes the active segment when it is older than `segmentMilliseconds`, or all of it has expired: so that a
    /// partition that nobody writes to is deleted and compacted, too.
    /// - Throws: when no new segment can be made.
    package func rollExpired(nowMilliseconds now: Int64) throws(LogError) {
        guard refusal == nil, let active = segments.last, let first = try active.firstTimestamp() else { return }
        let isOld = now.subtractingReportingOverflow(first).partialValue >= options.segmentMilliseconds
        guard isOld || isExpired(active, now) else { return }
        try activate()
        try active.open()
        if let error = roll() { throw error }
    }

    /// Rolled segments that no sync has covered: neither deleted nor compacted before one has.
    package var hasUnsyncedSegments: Bool { !unsynced.isEmpty }

    /// Where the log would begin if everything were deleted that the policy allows: by age, by size. Nothing changes.
    ///
    /// Only whole, rolled, durable segments go, from the front.
    /// - Returns: nil when it stays where it is.
    package func expiredEnd(nowMilliseconds now: Int64) -> Offset? {
        guard refusal == nil, options.cleanupPolicy.contains(.delete) else { return nil }
        var excess = options.retentionBytes < 0 ? 0 : sizeInBytes - options.retentionBytes
        var end: Offset?
        for segment in segments.dropLast() where segment.endOffset <= durableOffset {
            let isTooMuch = options.retentionBytes >= 0 && excess >= segment.sizeInBytes
            guard isTooMuch || isExpired(segment, now) else { break }
            excess -= segment.sizeInBytes
            end = segment.endOffset
        }
        guard let end, end > logStartOffset else { return nil }
        return end
    }

    /// Moves the log's beginning, and removes the segments that are wholly below it.
    ///
    /// The caller has stored the offset durably: from then on those files are leftovers, which a start removes.
    /// - Returns: The removed segments' files. Their space is free once nobody holds them; letting go of a large file
    ///   takes time, so do it where time does not matter.
    /// - Throws: when a file cannot be removed; the log begins at the offset all the same.
    /// - Precondition: `start` is at most `durableOffset`.
    package func moveStart(to start: Offset) throws(LogError) -> [LogFile] {
        guard start > logStartOffset else { return [] }
        precondition(start <= durableOffset, "a log begins at a durable offset")
        logStartOffset = start
        let count = segments.dropLast().prefix { $0.endOffset <= start }.count
        let removed = Array(segments[..<count])
        segments.removeFirst(count)
        let held = removed.compactMap { try? $0.open() }
        var first: LogError?
        if let base = segments.first?.baseOffset {
            do throws(LogError) { try removeSnapshots(in: .zero..<base) } catch { first = error }
        }
        for segment in removed {
            do throws(LogError) { try Segment.remove(segment.baseOffset, in: directory, files) } catch {
                first = first ?? error
            }
        }
        if let first { throw first }
        return held
    }

    /// Forgets idempotent producers that have been idle for `producerExpirationMilliseconds`.
    ///
    /// Those of a partition that nothing was appended to since the start are not in memory, and not looked at.
    /// - Parameter now: Of a monotonic clock.
    /// - Returns: how many producers it had to look at.
    package func forgetIdleProducers(nowMilliseconds now: Int64) -> Int {
        guard isActive, !isClosed else { return 0 }
        return producers.forgetIdle(nowMilliseconds: now, after: options.producerExpirationMilliseconds)
    }

    private func isExpired(_ segment: Segment, _ now: Int64) -> Bool {
        // Records without a timestamp (-1) have no age; and of what cannot be read now, the next look will tell.
        guard options.retentionMilliseconds >= 0, options.cleanupPolicy.contains(.delete),
            let latest = try? segment.maxTimestamp()
        else { return false }
        return now - latest > options.retentionMilliseconds
    }
}
