// Where a consumer is, and going elsewhere.
extension Consumer {
    /// What is read: as it was asked for, or as the group gave it last. Sorted.
    public var assignment: [TopicPartition] { agent.assignment }

    /// Goes on elsewhere. What was fetched and not handed out yet is dropped.
    /// - Throws: ``ClientError`` when the partition is not among ``assignment``. An offset that is not in the log ends
    ///   reading with OFFSET_OUT_OF_RANGE, unless ``Configuration/offsetReset`` or a group's start says where to go
    ///   then.
    public func seek(_ partition: TopicPartition, to position: Position) throws(ClientError) {
        try agent.change(partition) { $0.restart(from: position) }
    }

    /// Stops reading partitions, until they are resumed. They hold no memory meanwhile; their position stays.
    /// - Throws: ``ClientError`` when one is not among ``assignment``.
    public func pause(_ partitions: [TopicPartition]) throws(ClientError) {
        for partition in partitions { try agent.change(partition) { $0.isPaused = true } }
    }

    /// Goes on reading paused partitions where they were.
    /// - Throws: ``ClientError`` when one is not among ``assignment``.
    public func resume(_ partitions: [TopicPartition]) throws(ClientError) {
        for partition in partitions { try agent.change(partition) { $0.isPaused = false } }
    }

    /// Those that are paused, sorted.
    public var paused: [TopicPartition] { agent.paused }

    /// Offset of the next record to be handed out; nil while the broker has not said where the start is, and for what
    /// is not assigned.
    public func position(of partition: TopicPartition) -> Int64? { agent.look(partition) { $0.position } }

    /// How many records there are behind the position, as far as the broker has said; nil when it has not.
    public func lag(of partition: TopicPartition) -> Int64? {
        agent.look(partition) { partition in
            guard let position = partition.position, let end = partition.highWatermark else { return nil }
            return Swift.max(0, end - position)
        }
    }
}
