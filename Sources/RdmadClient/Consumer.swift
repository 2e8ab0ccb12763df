internal import RDMATransport
internal import TopicProtocol

/// Reads records of topics, where the broker puts them: into memory of this process.
///
/// ```swift
/// let consumer = try await Consumer(topic: "flights", broker: broker)
/// for try await batches in consumer {
///     try batches.forEachRecord { record in … }
///     batches.release()
/// }
/// ```
/// With a ``Configuration/groupID`` the members of the group share the topics' partitions, and what was released is
/// committed: whoever reads on begins there.
/// - Threading: one reader at a time; everything but ``next()`` and ``poll(timeoutMilliseconds:)`` from any thread.
public final class Consumer: Sendable, AsyncSequence {
    let agent: ConsumerAgent
    let link: LinkHandle

    /// Reads one topic: the partitions named, or all of them, or, in a group, those that the group gives it.
    /// - Parameters:
    ///   - partitions: Which to read; nil: all, or as the group says.
    ///   - position: Where to begin. In a group: where it has committed nothing, or what is there no more (Kafka's
    ///     `auto.offset.reset`).
    public convenience init(
        topic: String, partitions: [Int]? = nil, from position: Position = .earliest, broker: BrokerAddress,
        configuration: Configuration = Configuration()
    ) async throws(ClientError) {
        if let partitions {
            let assignment = partitions.map { (TopicPartition(topic, $0), position) }
            try await self.init(
                assignment: Dictionary(assignment) { $1 }, broker: broker, configuration: configuration)
        } else {
            try await self.init(topics: [topic], from: position, broker: broker, configuration: configuration)
        }
    }

    /// Reads several topics: all partitions, or, in a group, those that the group gives it.
    /// - Parameter position: As for one topic.
    public convenience init(
        topics: [String], from position: Position = .earliest, broker: BrokerAddress,
        configuration: Configuration = Configuration()
    ) async throws(ClientError) {
        guard !topics.isEmpty else { throw ClientError(.limit, "no topics to read") }
        let interest: ConsumerAgent.Interest =
            configuration.groupID == nil
            ? .topics(topics, from: position)
            : .group(topics, from: configuration.offsetReset?.position ?? position)
        try await self.init(interest, broker, configuration)
    }

    /// Reads these partitions, each from a position of its own. With a ``Configuration/groupID`` offsets are committed
    /// for the group, without being a member.
    public convenience init(
        assignment: [TopicPartition: Position], broker: BrokerAddress, configuration: Configuration = Configuration()
    ) async throws(ClientError) {
        guard !assignment.isEmpty else { throw ClientError(.limit, "no partitions to read") }
        try await self.init(.partitions(assignment), broker, configuration)
    }

    private init(
        _ interest: ConsumerAgent.Interest, _ broker: BrokerAddress, _ configuration: Configuration
    ) async throws(ClientError) {
        try configuration.check()
        try Links.check(clientID: configuration.clientID)
        switch interest {
        case .topics(let names, _), .group(let names, _): for name in names { try Links.check(topic: name) }
        case .partitions(let assignment): try Links.check(assignment.keys)
        }
        let agent = ConsumerAgent(interest, configuration)
        self.agent = agent
        var fabric = FabricConfiguration.client
        fabric.messagesInFlight = configuration.messagesInFlight
        link = Links.open(
            broker, agent: agent,
            patience: LinkPatience(
                connectSeconds: configuration.connectTimeoutSeconds,
                reconnectSeconds: configuration.reconnectTimeoutSeconds), clientID: configuration.clientID,
            fabric: fabric)
        if let error = await withCheckedContinuation({ agent.whenReady($0) }) {
            link.close()
            throw error
        }
    }

    deinit { link.close() }

    /// Ends the connection; ``next()`` then returns nil. Batches that were handed out stay readable.
    ///
    /// A member of a group commits what was released, when it commits by itself, and leaves. Waits for the broker, at
    /// most for 5 s.
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
