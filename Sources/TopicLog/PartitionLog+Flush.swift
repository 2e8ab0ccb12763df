internal import RecordFormat

extension PartitionLog {
    /// What to sync to make everything appended so far durable; hand it to the `Flusher`, its result to `didFlush`.
    ///
    /// Several tickets may be out at once; their results must come back in the order they were taken.
    /// - Returns: nil when everything is durable, or a ticket that is out will make it so, or the log is poisoned.
    package func takeFlushTicket() -> FlushTicket? {
        takeFlushTicket(ignoringOutstanding: false)
    }

    func takeFlushTicket(ignoringOutstanding: Bool) -> FlushTicket? {
        guard poison == nil, let active = segments.last else { return nil }
        let covered = ignoringOutstanding ? durableOffset : ticketedOffset
        guard logEndOffset > covered else { return nil }
        ticketedOffset = logEndOffset
        // Segments of tickets still out are synced again: a ticket's success must not depend on another's.
        return FlushTicket(files: unsynced.map(\.file) + [active.file], end: logEndOffset)
    }

    /// Takes note of a ticket's outcome.
    ///
    /// A failed sync poisons the log: the kernel reports a lost write once, so no later success would mean anything.
    package func didFlush(_ ticket: FlushTicket, error: LogError?) {
        if let error {
            poison(error, "whether the last appended records are on the disk is unknown")
            return
        }
        guard poison == nil, ticket.end > durableOffset else { return }
        durableOffset = ticket.end
        let before = unsynced.count
        unsynced.removeAll { $0.endOffset <= ticket.end }
        if unsynced.count != before { isRecoveryPointStale = true }
    }
}
