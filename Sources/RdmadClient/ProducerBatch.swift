internal import RecordFormat
internal import TopicProtocol

/// A batch from its first record to its acknowledgement. Guarded by the producer's lock.
final class ProducerBatch: @unchecked Sendable {
    // Unchecked: inside the lock, and after its end in one place only.
    typealias Outcome = Result<Producer.RecordMetadata?, ClientError>

    /// Told where its record ended up; nil when its task was cancelled. An object, because an optional continuation is
    /// copied by its type's metadata, for every record.
    typealias Waiter = Answer<Outcome>

    let slot: Int
    let partition: Int
    /// Up to date once the batch is not open any more: see ``ProducerPartition/builder``.
    var builder: RecordBatchBuilder
    /// When it was opened, on the monotonic clock.
    let created: UInt64
    /// Place among the sealed batches of its partition: grows without wrapping, as sequences do not.
    var number: UInt64 = 0
    /// Bytes, once it has its header.
    var byteCount = 0
    /// The compressor has seen it; its records may be as they were.
    var isCompressed = false
    /// It has its place in the sequence: it was announced with the identity that its partition has now.
    var hasPlace = false
    /// It may be in the log: a broker was told of it and never answered, or the answer left that open.
    var isUncertain = false
    /// The connection whose broker was told of it and has not answered: it may be reading the memory.
    var unansweredOn: Int?
    /// Those who wait for one record, with its place in the batch.
    var waiters: [(index: Int, waiter: Waiter)] = []
    /// Those who wait for the whole batch.
    var flushes: [ProducerFlush] = []

    init(slot: Int, partition: Int, builder: RecordBatchBuilder, created: UInt64) {
        self.slot = slot
        self.partition = partition
        self.builder = builder
        self.created = created
    }

    /// Takes its place in the sequence away, with its header. No broker is reading it, or has it.
    func loseItsPlace() {
        guard byteCount > 0 else { return }
        builder.unseal()
        (byteCount, hasPlace) = (0, false)
    }
}

/// Who the broker takes the batches of a partition to come from. Sequences count from 0 under each of them.
struct ProducerIdentity: Equatable {
    var id: Int64 = -1
    /// Of two with the same id, the partition takes nothing of the lower one any more.
    var epoch: Int16 = 0
}

/// One call of flush: how many batches it still waits for. Guarded by the producer's lock.
final class ProducerFlush: @unchecked Sendable {
    // Unchecked: inside the lock, but for the answer.
    var remaining: Int
    /// The first of them that failed.
    var error: ClientError?
    /// With the error, if there is one; nil when its task was cancelled.
    let answer = Answer<ClientError??>()

    init(remaining: Int, error: ClientError?) {
        self.remaining = remaining
        self.error = error
    }
}

/// One partition of a producer: its open batch, what waits to be announced, what is announced. Guarded by the lock.
struct ProducerPartition: @unchecked Sendable {
    // Unchecked: inside the lock.
    private(set) var open: ProducerBatch?
    /// The open batch's. Here, because a record then touches no object, whose references would be counted.
    private(set) var builder: RecordBatchBuilder?
    /// Wall clock when the open batch was opened, since 1970.
    private(set) var openedMilliseconds: Int64 = 0
    /// Sealed, in sequence.
    var sealed: [ProducerBatch] = []
    var inFlight: [ProducerBatch] = []
    /// Refused for now: announced again, in sequence, once nothing of the partition is in flight.
    var refused: [ProducerBatch] = []
    var retryAt: UInt64 = 0
    /// A batch was acknowledged or refused since the link's last turn, and when one was, or the first was announced, by
    /// the turns' clock.
    var isAnswered = false
    var answeredAt: UInt64 = 0
    /// Why the broker refused a batch last.
    var lastRefusal: ErrorCode?
    var identity: ProducerIdentity
    var nextSequence: Int32 = 0
    var nextNumber: UInt64 = 0
    /// The broker misses a batch before the first refused one: the sequence begins anew, with another identity, once
    /// nothing is in flight; also when those that were refused have expired.
    var hasGap = false
    /// Nothing was acknowledged of the sequence yet that began anew.
    var isUnproven = false
    /// The broker takes nothing for this partition any more.
    var failure: ClientError?

    init(identity: ProducerIdentity) { self.identity = identity }

    /// When the broker counts as silent: the oldest batch in flight is due, and others were not answered for long
    /// either. Nil: nothing is in flight.
    func isSilentAt(delivery: UInt64, silence: UInt64) -> UInt64? {
        inFlight.first.map { max($0.created + delivery, answeredAt + silence) }
    }

    /// The first batch that has not been announced, or not on the connection of now: it may expire.
    var firstWaiting: ProducerBatch? { refused.first ?? sealed.first }

    mutating func removeFirstWaiting() {
        if refused.isEmpty { sealed.removeFirst() } else { refused.removeFirst() }
    }

    /// Whether no batch with an earlier place waits for an answer, or was refused.
    func hasNothingBefore(_ batch: ProducerBatch) -> Bool {
        !inFlight.contains { $0.number < batch.number } && !refused.contains { $0.number < batch.number }
    }

    /// Opens a batch.
    mutating func begin(_ batch: ProducerBatch, milliseconds: Int64) {
        (open, builder, openedMilliseconds) = (batch, batch.builder, milliseconds)
    }

    /// Adds a record to the open batch. False: it does not fit; nil: no batch is open.
    mutating func append(
        _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ headers: [RecordHeader],
        timestampMilliseconds: Int64
    ) -> Bool? {
        unsafe builder?.append(
            key: key, value: value, headers: headers, timestampMilliseconds: timestampMilliseconds)
    }

    /// Takes the open batch out, with what is in it.
    mutating func takeOpen() -> ProducerBatch? {
        guard let batch = open, let builder else { return nil }
        batch.builder = builder
        (open, self.builder) = (nil, nil)
        return batch
    }

    /// Takes out everything that is not in flight.
    mutating func takeUnannounced() -> [ProducerBatch] {
        defer { (refused, sealed) = ([], []) }
        return refused + sealed + (takeOpen().map { [$0] } ?? [])
    }
}
