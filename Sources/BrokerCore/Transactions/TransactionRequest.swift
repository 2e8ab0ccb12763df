package import TopicProtocol

/// A partition by its topic's name.
package struct TransactionPartition: Hashable, Sendable {
    package var topic: String
    package var partition: UInt32

    package init(topic: String, partition: UInt32) {
        self.topic = topic
        self.partition = partition
    }
}

/// One instance of a producer: all with a smaller epoch are fenced.
package struct ProducerEpoch: Hashable, Sendable {
    package var producerID: Int64
    package var epoch: Int16

    package init(producerID: Int64, epoch: Int16) {
        self.producerID = producerID
        self.epoch = epoch
    }
}

/// What producers with a transactional id ask for: Kafka's requests.
package enum TransactionRequest: Sendable {
    /// InitProducerId. `producer` is what the caller was before; nil when it begins.
    case initProducer(transactionalID: String, timeoutMilliseconds: Int32, producer: ProducerEpoch?)
    /// AddPartitionsToTxn.
    case addPartitions(transactionalID: String, ProducerEpoch, [TransactionPartition])
    /// AddOffsetsToTxn.
    case addOffsets(transactionalID: String, ProducerEpoch, group: String)
    /// EndTxn.
    case end(transactionalID: String, ProducerEpoch, isCommit: Bool)
    /// WriteTxnMarkers: an operator ends by hand what no coordinator knows of.
    case writeMarkers([TransactionMarkers])
    /// DescribeTransactions.
    case describe(transactionalIDs: [String])
    /// ListTransactions: of these states and producers, where there are any, and running for so long.
    case list(states: [String], producerIDs: [Int64], durationMilliseconds: Int64)
}

/// Markers of one producer for many partitions.
package struct TransactionMarkers: Sendable {
    package var producer: ProducerEpoch
    package var isCommit: Bool
    package var coordinatorEpoch: Int32
    package var partitions: [TransactionPartition]

    package init(
        _ producer: ProducerEpoch, isCommit: Bool, coordinatorEpoch: Int32, partitions: [TransactionPartition]
    ) {
        self.producer = producer
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
        self.partitions = partitions
    }
}

/// What goes back to a client, perhaps long after it asked.
package struct TransactionAnswer: Sendable {
    /// By kind of request.
    package enum Body: Sendable {
        case empty
        /// Who the caller is now.
        case producer(ProducerEpoch)
        /// In the order of the request's partitions. Of AddPartitionsToTxn also where all have the same error.
        case errors([ErrorCode])
        /// In the order of the request's ids.
        case descriptions([TransactionDescription])
        case listings([TransactionListing])
    }

    package let origin: ProduceOrigin
    package let error: ErrorCode
    /// For a person; empty without an error.
    package let text: String
    package let body: Body
}

/// A transactional id and its transaction.
package struct TransactionDescription: Sendable {
    package var error: ErrorCode
    package var transactionalID: String
    package var state = ""
    package var timeoutMilliseconds: Int32 = 0
    /// Milliseconds since 1970; -1 when no transaction is ongoing.
    package var startedAt: Int64 = -1
    package var producer = ProducerEpoch(producerID: -1, epoch: -1)
    /// Those of the transaction; once it is decided, those whose marker is still to be written.
    package var partitions: [TransactionPartition] = []

    /// What is said of an id that cannot be described.
    package init(error: ErrorCode, transactionalID: String) {
        self.error = error
        self.transactionalID = transactionalID
    }
}

/// One line of a list.
package struct TransactionListing: Sendable {
    package var transactionalID: String
    package var producerID: Int64
    package var state: String
}
