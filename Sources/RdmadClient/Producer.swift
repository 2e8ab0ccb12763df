internal import Glibc
internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

/// Writes records to one topic.
///
/// Records are gathered into batches in memory that the broker reads directly: nothing is copied on the way. Every
/// batch carries the producer's id and a sequence number, so that what is sent again after a lost connection is in the
/// log once. Records with the same key go to the same partition, in the order of the calls.
///
/// - Threading: any; calls from one thread keep their order.
/// - Ownership: close it with ``close()``; records that were not flushed may be lost then.
public final class Producer: Sendable {
    /// Settings, named and preset as Kafka's.
    public struct Configuration: Sendable {
        /// Longest batch, in bytes: 1024 to 1,048,576. A record must fit.
        public var batchBytes = 65_536
        /// How long a batch waits for more records, in milliseconds.
        public var lingerMilliseconds = 5
        /// Batches of one partition that are announced and not acknowledged.
        public var batchesInFlightMax = 5
        /// Memory for batches, in bytes.
        public var bufferBytes = 32 << 20
        /// Time after which a batch that could not be delivered fails, in seconds.
        public var deliveryTimeoutSeconds = 120.0
        /// Batches up to this many bytes travel inside their announcement.
        public var eagerBytesMax = 4096
        /// The defaults.
        public init() {}
    }

    /// Where a record ended up.
    public struct RecordMetadata: Sendable, Hashable {
        /// From 0.
        public let partition: Int
        /// Its place in the partition.
        public let offset: Int64
    }

    /// Called on the connection's thread with every batch's outcome: the partition, the offset of its first record
    /// (−1 on an error), how many records. Must not block.
    public typealias Acknowledgement =
        @Sendable (_ partition: Int, _ baseOffset: Int64, _ records: Int, ClientError?) -> Void

    /// The topic that is written.
    public let topic: String
    /// Partitions of the topic.
    public let partitionCount: Int
    private let agent: ProducerAgent
    private let link: LinkHandle

    /// Connects and learns about the topic.
    public init(
        topic: String, broker: BrokerAddress, configuration: Configuration = Configuration(),
        onAcknowledged: Acknowledgement? = nil
    ) async throws(ClientError) {
        guard (1024...1 << 20).contains(configuration.batchBytes),
            configuration.bufferBytes >= configuration.batchBytes,
            configuration.batchesInFlightMax > 0, configuration.batchesInFlightMax <= 5
        else {
            throw ClientError(
                .limit,
                "batchBytes is 1024 to 1048576 and at most bufferBytes, batchesInFlightMax 1 to 5 (the broker "
                    + "remembers five batches)")
        }
        self.topic = topic
        let agent: ProducerAgent
        do throws(FabricError) {
            agent = try ProducerAgent(topic: topic, configuration: configuration, onAcknowledged: onAcknowledged)
        } catch {
            throw ClientError(.limit, "\(error)")
        }
        self.agent = agent
        let timeout = configuration.deliveryTimeoutSeconds
        link = Links.open(
            broker, agent: agent, patience: LinkPatience(connectSeconds: min(timeout, 10), reconnectSeconds: timeout))
        agent.attach(link)
        switch await withCheckedContinuation({ agent.whenReady($0) }) {
        case .success(let count): partitionCount = count
        case .failure(let error):
            link.close()
            throw error
        }
    }

    deinit { link.close() }

    /// Ends the connection at once.
    public func close() { link.close() }

    /// Adds a record, if there is memory for it.
    /// - Returns: False when all memory waits for acknowledgements: try again later, or use
    ///   ``send(key:value:partition:timestampMilliseconds:)``.
    /// - Parameters:
    ///   - partition: Where to; by default the key's partition, or without a key the one whose batch is being filled.
    ///   - timestampMilliseconds: Since 1970; by default now (with a linger of up to 10 ms, when its batch was opened).
    public func trySend(
        key: [UInt8]? = nil, value: [UInt8]?, partition: Int? = nil, timestampMilliseconds: Int64? = nil
    ) throws(ClientError) -> Bool {
        try agent.append(key, value, partition, timestampMilliseconds, waiter: nil) != nil
    }

    /// Adds a record, waiting for memory if there is none. Returns before it is acknowledged: see ``flush()``.
    public func send(
        key: [UInt8]? = nil, value: [UInt8]?, partition: Int? = nil, timestampMilliseconds: Int64? = nil
    ) async throws(ClientError) {
        while try agent.append(key, value, partition, timestampMilliseconds, waiter: nil) == nil {
            await withCheckedContinuation { agent.whenSpace($0) }
        }
    }

    /// Adds a record and waits until the broker has it, as durably as its flush policy says.
    public func sendAndWait(
        key: [UInt8]? = nil, value: [UInt8]?, partition: Int? = nil, timestampMilliseconds: Int64? = nil
    ) async throws(ClientError) -> RecordMetadata {
        while true {
            let result: Result<RecordMetadata?, ClientError> = await withCheckedContinuation { waiter in
                do throws(ClientError) {
                    let place = try agent.append(key, value, partition, timestampMilliseconds, waiter: waiter)
                    if place == nil { waiter.resume(returning: .success(nil)) }
                } catch {
                    waiter.resume(returning: .failure(error))
                }
            }
            if let place = try result.get() { return place }
            await withCheckedContinuation { agent.whenSpace($0) }
        }
    }

    /// Sends every open batch now and waits until all records added before are acknowledged.
    /// - Throws: the first error of any batch that no earlier flush has reported.
    public func flush() async throws(ClientError) {
        let error: ClientError? = await withCheckedContinuation { agent.flush($0) }
        if let error { throw error }
    }
}
