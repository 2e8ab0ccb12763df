package import RecordFormat

extension PartitionLog {
    /// Where a leader epoch ended: the first offset of the next one, or the log's end for the one that goes on.
    /// - Returns: with the latest epoch not above the one asked for; nil when nothing is known of it.
    /// - Throws: when the log's state cannot be read.
    package func end(ofEpoch wanted: LeaderEpoch) throws(LogError) -> (epoch: LeaderEpoch, offset: Offset)? {
        if wanted == leaderEpoch { return (wanted, logEndOffset) }
        guard wanted >= .zero, wanted < leaderEpoch else { return nil }
        if !isClosed { try activate() }
        guard let next = epochs.entries.first(where: { $0.epoch > wanted }) else { return nil }
        return (epochs.entries.last { $0.epoch <= wanted }?.epoch ?? wanted, next.start)
    }
}
