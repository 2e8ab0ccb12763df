internal import Compression
internal import Glibc
internal import RDMATransport
public import RecordFormat
internal import Synchronization
internal import TopicProtocol

/// Writes records to one topic.
///
/// Records are gathered into batches in memory that the broker reads directly: nothing is copied on the way. Every
/// batch carries the producer's id and a sequence number, so that what is sent again after a lost connection is in the
/// log once. Records with the same key go to the same partition, in the order of the calls.
///
/// A batch that fails says what became of its records by its error's code: ``ClientError/Code/notDelivered`` and
/// ``ClientError/Code/broker``: they are not in the log; ``ClientError/Code/outcomeUnknown``: they may be. The producer
/// goes on behind a batch that was given up, in order and without a record twice, and connects again for as long as it
/// takes. A broker that is away costs the records that have waited for ``Configuration/deliveryTimeoutSeconds``. When
/// one of them turns out to be missing in the log, batches behind it that may be there already fail at once, too, with
/// ``ClientError/Code/outcomeUnknown``. A batch that the broker refuses for what it is, too large or without a key in a
/// compacted topic, costs itself only. What else is refused ends the partition, for instance a deleted topic's.
/// One that was deleted and created again while there was no connection is taken for the same: topics are known by
/// their names.
///
/// - Threading: any; calls from one thread keep their order.
/// - Ownership: close it with ``close()``; records that were not flushed may be lost then.
public final class Producer: Sendable {
    /// Where a record ended up.
    public struct RecordMetadata: Sendable, Hashable {
        /// From 0.
        public let partition: Int
        /// Its place in the partition; −1 with ``Acks/none``.
        public let offset: Int64
    }

    /// Called on the connection's thread with every batch's outcome: the partition, the offset of its first record
    /// (−1 on an error, and with ``Acks/none``), how many records. Must not block.
    public typealias Acknowledgement =
        @Sendable (_ partition: Int, _ baseOffset: Int64, _ records: Int, ClientError?) -> Void

    /// The topic that is written.
    public let topic: String
    /// Partitions of the topic, as far as this producer knows: those that are added are found with the next connection,
    /// and after ``Configuration/metadataMaxAgeMilliseconds``.
    public var partitionCount: Int { agent.state.withLock { $0.partitions.count } }
    let agent: ProducerAgent
    private let link: LinkHandle

    /// Connects and learns about the topic.
    /// - Throws: when there is no connection within 10 s, or ``Configuration/deliveryTimeoutSeconds`` if that is less.
    public init(
        topic: String, broker: BrokerAddress, configuration: Configuration = Configuration(),
        onAcknowledged: Acknowledgement? = nil
    ) async throws(ClientError) {
        try configuration.check()
        try Links.check(clientID: configuration.clientID)
        try Links.check(topic: topic)
        self.topic = topic
        let agent: ProducerAgent
        do {
            agent = try ProducerAgent(topic: topic, configuration: configuration, onAcknowledged: onAcknowledged)
        } catch {
            throw ClientError(.limit, "\(error)")
        }
        self.agent = agent
        // Records give up after a while, the producer does not.
        let patience = LinkPatience(
            connectSeconds: min(configuration.deliveryTimeoutSeconds, 10), reconnectSeconds: .infinity)
        link = Links.open(broker, agent: agent, patience: patience, clientID: configuration.clientID)
        switch await withCheckedContinuation({ agent.whenReady($0) }) {
        case .success: break
        case .failure(let error):
            link.close()
            throw error
        }
    }

    deinit { link.close() }

    /// Ends the connection at once.
    public func close() { link.close() }

    /// Adds a record, if there is memory for it. Never waits.
    /// - Returns: False when all memory waits for acknowledgements: try again later, or use
    ///   ``waitForMemory(timeoutMilliseconds:)`` or ``send(key:value:headers:partition:timestampMilliseconds:)``.
    /// - Parameters:
    ///   - value: Nil for a tombstone.
    ///   - partition: Where to; by default the partitioner's choice.
    ///   - timestampMilliseconds: Since 1970; by default now (with a linger of up to 10 ms, when its batch was opened,
    ///     or one of the four before it).
    /// - Throws: when the record can never be sent; it was not added then.
    public func trySend(
        key: [UInt8]? = nil, value: [UInt8]?, headers: [RecordHeader] = [], partition: Int? = nil,
        timestampMilliseconds: Int64? = nil
    ) throws(ClientError) -> Bool {
        try agent.append(
            key, value, RecordOptions(headers: headers, partition: partition, timestamp: timestampMilliseconds),
            waiter: nil) != nil
    }

    /// The same from memory of the caller's, copied before it returns.
    public func trySend(
        keyBytes: UnsafeRawBufferPointer?, valueBytes: UnsafeRawBufferPointer?, headers: [RecordHeader] = [],
        partition: Int? = nil, timestampMilliseconds: Int64? = nil
    ) throws(ClientError) -> Bool {
        unsafe try agent.append(
            keyBytes, valueBytes,
            RecordOptions(headers: headers, partition: partition, timestamp: timestampMilliseconds), waiter: nil) != nil
    }

    /// Waits for memory on the calling thread: for one of the application's own, as
    /// ``Consumer/poll(timeoutMilliseconds:)``; a task uses
    /// ``send(key:value:headers:partition:timestampMilliseconds:)``. Where nothing lingers, or there is one processor,
    /// the thread runs the connection meanwhile, which saves waking others.
    /// - Returns: True when ``trySend(key:value:headers:partition:timestampMilliseconds:)`` is worth another try, be it
    ///   for the error it throws; false when the time is over.
    public func waitForMemory(timeoutMilliseconds: Int) -> Bool {
        agent.waitForSpace(timeoutMilliseconds: timeoutMilliseconds)
    }

    /// Adds a record, waiting for memory if there is none. Returns before the record is acknowledged: see ``flush()``.
    /// - Throws: when the record was not added: ``ClientError`` when it can never be sent, or there was no memory for
    ///   ``Configuration/deliveryTimeoutSeconds`` because the broker is away (``ClientError/Code/timeout``);
    ///   `CancellationError` when the task is cancelled while it waits. One that need not wait adds its record.
    public func send(
        key: [UInt8]? = nil, value: [UInt8]?, headers: [RecordHeader] = [], partition: Int? = nil,
        timestampMilliseconds: Int64? = nil
    ) async throws {
        let options = RecordOptions(headers: headers, partition: partition, timestamp: timestampMilliseconds)
        while try agent.append(key, value, options, waiter: nil) == nil { try await agent.waitForSpace() }
    }

    /// Adds a record and waits until it is delivered, as ``Acks`` says.
    /// - Throws: ``ClientError`` as its code says; `CancellationError` when the task is cancelled: was it before the
    ///   call, or while there was no memory, the record was not added; later on it is on its way, and may still be
    ///   delivered.
    public func sendAndWait(
        key: [UInt8]? = nil, value: [UInt8]?, headers: [RecordHeader] = [], partition: Int? = nil,
        timestampMilliseconds: Int64? = nil
    ) async throws -> RecordMetadata {
        try Task.checkCancellation()
        let options = RecordOptions(headers: headers, partition: partition, timestamp: timestampMilliseconds)
        let waiter = ProducerBatch.Waiter()
        while try agent.append(key, value, options, waiter: waiter) == nil { try await agent.waitForSpace() }
        guard let place = try await waiter.value(ifCancelled: .success(nil)).get() else { throw CancellationError() }
        return place
    }

    /// Sends every open batch now and waits until all records added before are delivered.
    /// - Throws: ``ClientError``, the first one of any batch that no earlier flush has reported; `CancellationError`
    ///   when the task is cancelled: the records stay on their way, and the next flush reports their errors.
    public func flush() async throws {
        if let error = try await agent.flush() { throw error }
    }

    /// Cuts the connection, as a broken cable would; another one is made at once. For tests.
    package func cutConnection() { link.cut() }

    static func compressionLevels(of type: CompressionType) -> ClosedRange<Int>? { Compressor.levels(of: type) }
}

/// What a record has besides key and value.
struct RecordOptions: Sendable {
    var headers: [RecordHeader] = []
    /// Nil: the partitioner's choice.
    var partition: Int?
    /// Milliseconds since 1970; nil: now.
    var timestamp: Int64?
}
