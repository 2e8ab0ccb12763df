package import RecordFormat

/// A transaction whose records in a partition do not count.
package struct AbortedTransaction: Hashable, Sendable {
    package let producerID: Int64
    /// Of its first record here.
    package let firstOffset: Offset
    /// Of the marker that ended it.
    package let lastOffset: Offset
    /// Below it, everything was decided when the marker was written: no later marker is about anything there.
    package let lastStableOffset: Offset

    package init(producerID: Int64, firstOffset: Offset, lastOffset: Offset, lastStableOffset: Offset) {
        self.producerID = producerID
        self.firstOffset = firstOffset
        self.lastOffset = lastOffset
        self.lastStableOffset = lastStableOffset
    }
}

/// A transaction of a partition that a marker has ended.
struct EndedTransaction: Equatable {
    let transaction: AbortedTransaction
    let isCommitted: Bool
}

/// An idempotent producer as a partition knows it.
package struct ActiveProducer: Hashable, Sendable {
    package let producerID: Int64
    package let epoch: Int16
    /// Of its last batch; -1 when it has only ended transactions here.
    package let lastSequence: Int32
    /// Milliseconds since 1970; -1 for unknown.
    package let lastTimestamp: Int64
    /// Of the last marker; -1 for none.
    package let coordinatorEpoch: Int32
    /// Where its transaction begins; nil when none is ongoing here.
    package let transactionStart: Offset?
}
