internal import Glibc
internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// Reads records of one topic, where the broker puts them: into memory of this process.
///
/// ```swift
/// let consumer = try await Consumer(topic: "flights", broker: broker)
/// for try await batches in consumer {
///     try batches.forEachRecord { record in … }
///     batches.release()
/// }
/// ```
/// - Threading: one reader at a time.
public final class Consumer: Sendable, AsyncSequence {
    /// Settings.
    public struct Configuration: Sendable {
        /// Memory that the broker writes into, in bytes: 4096 to 1 GiB, a multiple of 4096. A batch must fit.
        public var ringBytes = 8 << 20
        /// The most bytes that one compressed batch may become; more is an error.
        public var decompressedBytesMax = 64 << 20
        /// Check every batch's CRC-32C.
        public var checksCRCs = true
        /// How long to try to connect at first, in seconds.
        public var connectTimeoutSeconds = 10.0
        /// How long to try to connect again when the connection was lost, in seconds.
        public var reconnectTimeoutSeconds = 120.0
        /// Whom the broker counts quotas for: at most 32 bytes; empty for nobody in particular.
        public var clientID = ""
        /// The defaults.
        public init() {}
    }

    /// Where to begin in a partition.
    public enum Position: Sendable, Hashable {
        case earliest
        /// With the next record that is produced.
        case latest
        case offset(Int64)
    }

    /// The topic that is read.
    public let topic: String
    /// The partitions that are read.
    public let partitions: [Int]
    private let agent: ConsumerAgent
    private let link: LinkHandle

    /// Connects and subscribes.
    /// - Parameter partitions: Which to read; nil: all.
    public init(
        topic: String, partitions: [Int]? = nil, from position: Position = .earliest, broker: BrokerAddress,
        configuration: Configuration = Configuration()
    ) async throws(ClientError) {
        guard configuration.ringBytes >= 4096, configuration.ringBytes % 4096 == 0, configuration.ringBytes <= 1 << 30
        else {
            throw ClientError(.limit, "ringBytes is 4096 to 1073741824, a multiple of 4096")
        }
        try Links.check(clientID: configuration.clientID)
        self.topic = topic
        let agent = ConsumerAgent(topic: topic, wanted: partitions, from: position, configuration: configuration)
        self.agent = agent
        link = Links.open(
            broker, agent: agent,
            patience: LinkPatience(
                connectSeconds: configuration.connectTimeoutSeconds,
                reconnectSeconds: configuration.reconnectTimeoutSeconds), clientID: configuration.clientID)
        agent.attach(link)
        switch await withCheckedContinuation({ agent.whenReady($0) }) {
        case .success(let partitions): self.partitions = partitions
        case .failure(let error):
            link.close()
            throw error
        }
    }

    deinit { link.close() }

    /// Ends the connection; ``next()`` then returns nil. Batches that were handed out stay readable.
    public func close() { link.close() }

    /// The next batches, waiting for them; nil once the consumer was closed or the task is cancelled.
    public func next() async throws(ClientError) -> ConsumedBatches? {
        let result: Result<ConsumedBatches?, ClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                agent.whenAvailable(continuation)
                // Cancelled before there was anything to take back.
                if Task.isCancelled { agent.stopWaiting() }
            }
        } onCancel: {
            agent.stopWaiting()
        }
        return try result.get()
    }

    /// The next batches, blocking this thread for at most so long; nil when none came.
    /// - Parameter timeoutMilliseconds: 0 or less: do not wait. `Int.max`: for ever.
    /// - Returns: nil, too, once the consumer was closed.
    public func poll(timeoutMilliseconds: Int) throws(ClientError) -> ConsumedBatches? {
        try agent.poll(timeoutMilliseconds: timeoutMilliseconds)
    }

    /// Iterates over ``next()``.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(consumer: self) }

    /// Iterates over ``Consumer/next()``. The consumer is one reader, however many iterators there are.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let consumer: Consumer
        /// As ``Consumer/next()``.
        public mutating func next() async throws -> ConsumedBatches? { try await consumer.next() }
    }
}
