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
        guard refusal == nil, let active = segments.last else { return nil }
        let covered = ignoringOutstanding ? durableOffset : ticketedOffset
        guard logEndOffset > covered else { return nil }
        ticketedOffset = logEndOffset
        // Segments of tickets still out are synced again: a ticket's success must not depend on another's.
        return FlushTicket(
            files: unsynced.map(\.file) + [active.file], volume: volume.directory, end: logEndOffset,
            mark: LogMark(
                offset: logEndOffset, segment: active.baseOffset, generation: active.generation,
                position: active.sizeInBytes))
    }

    /// What to sync to make the rolled segments durable, and nothing of the one that is appended to. As
    /// `takeFlushTicket` otherwise.
    package func takeRolledTicket() -> FlushTicket? {
        guard refusal == nil, let active = segments.last, let last = unsynced.last, last.endOffset > ticketedOffset
        else { return nil }
        ticketedOffset = last.endOffset
        return FlushTicket(
            files: unsynced.map(\.file), volume: volume.directory, end: last.endOffset,
            mark: LogMark(
                offset: active.baseOffset, segment: active.baseOffset, generation: active.generation, position: 0))
    }

    /// Takes note of a ticket's outcome.
    ///
    /// A failed sync poisons every log of the volume: see ``LogVolume``.
    package func didFlush(_ ticket: FlushTicket, error: LogError?) {
        if let error {
            return volume.fail(error)
        }
        guard volume.poison == nil, ticket.end > durableOffset else { return }
        durableOffset = ticket.end
        durableMark = ticket.mark
        let before = unsynced.count
        unsynced.removeAll { $0.endOffset <= ticket.end }
        if unsynced.count != before { volume.isRecoveryPointStale = true }
    }
}
