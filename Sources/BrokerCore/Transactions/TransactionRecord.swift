internal import TopicProtocol

/// Where a transactional id is in its life: Kafka's numbers and names.
enum TransactionState: Int8, CaseIterable {
    case empty = 0
    case ongoing = 1
    case prepareCommit = 2
    case prepareAbort = 3
    case completeCommit = 4
    case completeAbort = 5
    case dead = 6
    case prepareEpochFence = 7

    var name: String {
        switch self {
        case .empty: "Empty"
        case .ongoing: "Ongoing"
        case .prepareCommit: "PrepareCommit"
        case .prepareAbort: "PrepareAbort"
        case .completeCommit: "CompleteCommit"
        case .completeAbort: "CompleteAbort"
        case .dead: "Dead"
        case .prepareEpochFence: "PrepareEpochFence"
        }
    }

    /// All names.
    static let names = Set(allCases.map(\.name))

    /// The outcome is decided, its markers are not all written.
    var isPrepared: Bool { self == .prepareCommit || self == .prepareAbort }
}

/// A transactional id as `__transaction_state` holds it.
struct StoredTransaction: Equatable {
    var producer: ProducerEpoch
    var timeoutMilliseconds: Int32
    var state = TransactionState.empty
    var partitions: Set<TransactionPartition> = []
    /// Milliseconds since 1970.
    var updatedAt: Int64
    /// Milliseconds since 1970; -1 before the first transaction.
    var startedAt: Int64 = -1
}

/// A record of `__transaction_state`, in Kafka's own schemas, so that Kafka's tools read it.
///
/// ```
/// key     | 0 i16 | transactional id string |
/// value   | 0 i16 | producer id i64 | producer epoch i16 | timeout ms i32 | status i8
///         | count i32 | count × (topic string | count i32 | count × partition i32)
///         | last update timestamp i64 | start timestamp i64 |
/// ```
/// Big-endian; a string has a 16-bit length; no partitions: count −1 in the state Empty. No value: gone.
/// Source: Kafka's TransactionLogKey/Value.json.
struct TransactionRecord: Equatable {
    let transactionalID: String
    /// Nil for a tombstone.
    let transaction: StoredTransaction?

    init(_ transactionalID: String, _ transaction: StoredTransaction?) {
        self.transactionalID = transactionalID
        self.transaction = transaction
    }

    var key: [UInt8] {
        var writer = KafkaWriter()
        writer.integer(Int16(0))
        writer.string(transactionalID)
        return writer.bytes
    }

    var value: [UInt8]? {
        guard let transaction else { return nil }
        var writer = KafkaWriter()
        writer.integer(Int16(0))
        writer.integer(transaction.producer.producerID)
        writer.integer(transaction.producer.epoch)
        writer.integer(transaction.timeoutMilliseconds)
        writer.integer(transaction.state.rawValue)
        if transaction.state == .empty {
            writer.integer(Int32(-1))
        } else {
            let topics = Dictionary(grouping: transaction.partitions, by: \.topic).sorted { $0.key < $1.key }
            writer.integer(Int32(topics.count))
            for (topic, partitions) in topics {
                writer.string(topic)
                writer.integer(Int32(partitions.count))
                for partition in partitions.map(\.partition).sorted() { writer.integer(Int32(bitPattern: partition)) }
            }
        }
        writer.integer(transaction.updatedAt)
        writer.integer(transaction.startedAt)
        return writer.bytes
    }

    /// Nil for what this version does not know: a key or value of another version, or one that does not parse.
    init?(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) {
        var key = unsafe KafkaReader(key)
        guard key.integer(Int16.self) == 0, let id = key.string() else { return nil }
        transactionalID = id
        guard let value = unsafe value else {
            transaction = nil
            return
        }
        var reader = unsafe KafkaReader(value)
        guard reader.integer(Int16.self) == 0, let producerID = reader.integer(Int64.self),
            let epoch = reader.integer(Int16.self), let timeout = reader.integer(Int32.self),
            let state = reader.integer(Int8.self).flatMap(TransactionState.init),
            let topics = reader.integer(Int32.self)
        else { return nil }
        var partitions: Set<TransactionPartition> = []
        // A false count ends where the bytes do.
        for _ in 0..<max(0, topics) {
            guard let topic = reader.string(), let count = reader.integer(Int32.self) else { return nil }
            for _ in 0..<max(0, count) {
                guard let partition = reader.integer(Int32.self), partition >= 0 else { return nil }
                partitions.insert(TransactionPartition(topic: topic, partition: UInt32(partition)))
            }
        }
        guard let updatedAt = reader.integer(Int64.self), let startedAt = reader.integer(Int64.self) else { return nil }
        transaction = StoredTransaction(
            producer: ProducerEpoch(producerID: producerID, epoch: epoch), timeoutMilliseconds: timeout, state: state,
            partitions: partitions, updatedAt: updatedAt, startedAt: startedAt)
    }
}
