internal import TopicProtocol

extension Admin {
    /// A place in a partition.
    public enum OffsetSpec: Sendable, Hashable {
        /// The first record there is.
        case earliest
        /// After the last record that consumers of the isolation level may see.
        case latest
        /// The record with the latest timestamp, the first of those that have it.
        case maxTimestamp
        /// The first record of at least so many milliseconds since 1970.
        case timestamp(Int64)

        /// Kafka's numbers.
        var number: Int64 {
            switch self {
            case .latest: -1
            case .earliest: -2
            case .maxTimestamp: -3
            case .timestamp(let milliseconds): max(milliseconds, 0)
            }
        }
    }

    /// What was found in a partition.
    public struct FoundOffset: Sendable, Hashable {
        /// The partition.
        public let partition: Int
        /// −1 when there is no such record.
        public let offset: Int64
        /// The record's, in milliseconds since 1970; −1 for the ends of a log, or when there is no such record.
        public let timestamp: Int64
    }

    /// Looks offsets up.
    /// - Parameter partitions: All of the topic's unless given.
    public func listOffsets(
        _ topic: String, partitions: [Int]? = nil, at spec: OffsetSpec,
        isolationLevel: Consumer.IsolationLevel = .readUncommitted
    ) async throws(ClientError) -> [FoundOffset] {
        if partitions == nil, let ends = try await ends(of: topic, spec, isolationLevel) { return ends }
        let (id, count) = try await identify(topic)
        var found: [FoundOffset] = []
        for partition in partitions ?? Array(0..<count) {
            let address = try Self.address(topic, id, partition, count)
            let body = try await link.request(
                .admin(.listOffsets(address, timestamp: spec.number, isolationLevel.number)))
            let listed = try parseBody(body) { reader throws(FrameError) in try ListedOffset(from: &reader) }
            found.append(FoundOffset(partition: partition, offset: listed.offset, timestamp: listed.timestamp))
        }
        return found
    }

    /// What a topic's description says, too: in one request for many partitions, and of a broker of any version.
    private func ends(
        of topic: String, _ spec: OffsetSpec, _ isolationLevel: Consumer.IsolationLevel
    ) async throws(ClientError) -> [FoundOffset]? {
        guard spec == .earliest || spec == .latest && isolationLevel == .readUncommitted else { return nil }
        return try await describeTopic(topic).map { partition in
            FoundOffset(
                partition: partition.index, offset: spec == .latest ? partition.endOffset : partition.startOffset,
                timestamp: -1)
        }
    }

    /// Deletes a partition's records before an offset, durably.
    /// - Parameter before: At most the end that consumers see, which nil stands for.
    /// - Returns: the first offset that can be read now.
    @discardableResult
    public func deleteRecords(
        _ topic: String, partition: Int, before: Int64?
    ) async throws(ClientError) -> Int64 {
        if let before, before < 0 { throw ClientError(.limit, "offset \(before)") }
        let (id, count) = try await identify(topic)
        let body = try await link.request(
            .admin(.deleteRecords(try Self.address(topic, id, partition, count), before: before ?? -1)))
        return try parseBody(body) { reader throws(FrameError) in try reader.integer(Int64.self) }
    }

    /// The broker's number for a topic, and how many partitions it has.
    private func identify(_ topic: String) async throws(ClientError) -> (id: UInt32, count: Int) {
        try Links.check(topic: topic)
        let body = try await link.request(.describeTopic(name: topic, firstPartition: .max))
        let description = try parseBody(body) { reader throws(FrameError) in try TopicDescription(from: &reader) }
        return (description.topicID, Int(description.partitionCount))
    }

    private static func address(
        _ topic: String, _ id: UInt32, _ partition: Int, _ count: Int
    ) throws(ClientError) -> PartitionAddress {
        guard (0..<count).contains(partition) else {
            throw ClientError(
                .broker, "there is no partition \(partition) of topic \(topic), which has \(count)",
                broker: .unknownTopicOrPartition)
        }
        return PartitionAddress(topicID: id, partition: UInt32(partition))
    }
}
