internal import RecordFormat

/// A batch from its first record to its acknowledgement. Guarded by the producer's lock.
final class ProducerBatch: @unchecked Sendable {
    // Unchecked: inside the lock, and after its end in one place only.
    let slot: Int
    let partition: Int
    var builder: RecordBatchBuilder
    let created: UInt64
    /// Wall clock when it was opened, since 1970.
    let openedMilliseconds: Int64
    /// Bytes, once sealed.
    var byteCount = 0
    var baseSequence: Int32 = 0
    /// Answered with the batch's base offset, or the error.
    var waiters: [(index: Int, continuation: CheckedContinuation<Result<Int64, ClientError>, Never>)] = []

    init(slot: Int, partition: Int, builder: RecordBatchBuilder, created: UInt64, openedMilliseconds: Int64) {
        self.slot = slot
        self.partition = partition
        self.builder = builder
        self.created = created
        self.openedMilliseconds = openedMilliseconds
    }
}

/// One partition of a producer: its open batch, what waits to be announced, what is announced. Guarded by the lock.
struct ProducerPartition {
    var open: ProducerBatch?
    /// Sealed, in sequence.
    var sealed: [ProducerBatch] = []
    var inFlight: [ProducerBatch] = []
    /// Refused for now: announced again, in sequence, once nothing of the partition is in flight.
    var refused: [ProducerBatch] = []
    var retryAt: UInt64 = 0
    var nextSequence: Int32 = 0
    /// A batch failed for good: the ones behind it can never follow.
    var failure: ClientError?
}
