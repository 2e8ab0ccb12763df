package import RecordFormat

/// What became of one batch handed to `PartitionLog.append`.
package enum AppendResult: Equatable, Sendable {
    /// It is in the log; durable only once `durableOffset` has passed `last`.
    case appended(base: Offset, last: Offset)
    /// An idempotent producer sent it again: it is in the log since then. Acknowledge it once it is durable.
    case duplicate(base: Offset, last: Offset)
    /// It is not in the log.
    case rejected(AppendRejection)
}

/// Why a batch is not in the log.
package enum AppendRejection: Equatable, Sendable {
    /// The sequence number is not the next of this producer: one of its batches is missing.
    case outOfOrderSequence
    /// A newer instance of the producer has taken over.
    case invalidProducerEpoch
    /// The producer has a transaction here, and the batch is not of it.
    case invalidTransactionState
    /// The file system refused. Retriable unless the log is poisoned.
    case storage(LogError)
    /// The partition has a corrupt range and takes no more.
    case fenced(LogFence)
}
