/// What all groups of a broker keep in memory.
final class GroupUsage {
    /// Bytes of groups, members, ids, assignments and committed offsets: ``GroupOptions/totalBytesMax``.
    var bytes = 0
    /// Partitions with an offset that is committed or on its way to the log.
    var offsets = 0
}
