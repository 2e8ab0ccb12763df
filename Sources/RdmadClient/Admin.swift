internal import RDMATransport
internal import TopicProtocol

/// Topics of a broker: create, list, describe, alter, delete.
///
/// - Threading: any. Close it with ``close()``.
public final class Admin: Sendable {
    let link: LinkHandle

    /// Begins connecting. An unreachable broker is reported by the first call.
    /// - Parameter timeoutSeconds: How long to try to connect, and to connect again.
    public init(broker: BrokerAddress, timeoutSeconds: Double = 10) {
        link = Links.open(
            broker, agent: AdminAgent(),
            patience: LinkPatience(connectSeconds: timeoutSeconds, reconnectSeconds: timeoutSeconds))
    }

    deinit { link.close() }

    /// Ends the connection.
    public func close() { link.close() }

    /// All topics, by name.
    public func listTopics() async throws(ClientError) -> [Topic] {
        var topics: [Topic] = []
        var after = ""
        while true {
            let list = try parseBody(try await link.request(.listTopics(after: after))) { reader throws(FrameError) in
                try TopicList(from: &reader)
            }
            topics += list.topics.map { Topic(name: $0.name, partitionCount: Int($0.partitions)) }
            guard list.isCut, let last = list.topics.last else { return topics }
            after = last.name
        }
    }

    /// What a topic was given of its own, by name.
    public func topicConfigs(_ name: String) async throws(ClientError) -> [(name: String, value: String)] {
        try Links.check(topic: name)
        let request = Request.describeTopic(name: name, firstPartition: 0)
        let part = try parseBody(try await link.request(request)) { reader throws(FrameError) in
            try TopicDescription(from: &reader)
        }
        return part.configs.map { ($0.name, $0.value) }
    }

    /// A topic's partitions.
    public func describeTopic(_ name: String) async throws(ClientError) -> [Partition] {
        try Links.check(topic: name)
        var partitions: [Partition] = []
        while true {
            let request = Request.describeTopic(name: name, firstPartition: UInt32(partitions.count))
            let part = try parseBody(try await link.request(request)) { reader throws(FrameError) in
                try TopicDescription(from: &reader)
            }
            for partition in part.partitions {
                partitions.append(
                    Partition(
                        index: partitions.count, startOffset: partition.logStartOffset,
                        endOffset: partition.highWatermark,
                        logEndOffset: partition.logEndOffset, isWritable: partition.isWritable))
            }
            guard partitions.count < Int(part.partitionCount), !part.partitions.isEmpty else { return partitions }
        }
    }

    /// A topic in a list.
    public struct Topic: Sendable, Hashable {
        /// As it was created.
        public let name: String
        /// How many logs it is split into.
        public let partitionCount: Int
    }

    /// A partition of a topic.
    public struct Partition: Sendable, Hashable {
        /// From 0.
        public let index: Int
        /// Offset of the first record there is.
        public let startOffset: Int64
        /// Offset after the last record that consumers may see (the high watermark).
        public let endOffset: Int64
        /// Offset after the last record written.
        public let logEndOffset: Int64
        /// False when its log is damaged and takes no records.
        public let isWritable: Bool
    }
}

/// Admin only asks: nothing happens by itself on its connection.
final class AdminAgent: LinkAgent {
    func makeRegions() -> [(memory: MemoryBlock, access: PeerAccess)] { [] }
    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {}
    func received(_ acks: [ProduceAck]) {}
    func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64) {}
    func advanced(_ immediate: UInt32) {}
    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? { nil }
    var hasWork: Bool { false }
    func disconnected() {}
    func failed(_ error: ClientError) {}
}
