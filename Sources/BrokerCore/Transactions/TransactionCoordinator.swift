internal import TopicProtocol

/// Transactions: Kafka's coordinator (KIP-98) as a state machine, for every door.
///
/// Synchronous, without a clock of its own: requests and the time go in; answers (``takeAnswers()``), records for
/// `__transaction_state` (``takeWrites()``) and markers for partitions (``takeMarkers()``) come out;
/// ``finish(_:error:)`` says that one of these is durable. Whatever is told to anybody is in the log before; so a
/// coordinator that reads the log again goes on where the last one was.
/// - Threading: one owner.
final class TransactionCoordinator {
    let options: TransactionOptions
    /// A producer id that nobody ever had.
    let allocateProducerID: () throws(BrokerError) -> Int64
    private(set) var transactions: [String: Transaction] = [:]
    private var byProducer: [Int64: Transaction] = [:]
    /// Transactions are being read from the log: nothing is answered yet.
    private(set) var isLoading = true
    private(set) var now: UInt64 = 0
    private var clock: (monotonic: UInt64, wall: Int64) = (0, 0)
    /// Nothing is due before this.
    private(set) var nextDeadline = UInt64.max
    /// What ids and transactions take in memory.
    private(set) var byteCount = 0
    private var answers: [TransactionAnswer] = []
    private var writes: [TransactionWrite] = []
    private var markers: [MarkerWrite] = []
    private var completions: [UInt64: (ErrorCode) -> Void] = [:]
    private var lastToken: UInt64 = 0

    init(options: TransactionOptions, allocateProducerID: @escaping () throws(BrokerError) -> Int64) {
        self.options = options
        self.allocateProducerID = allocateProducerID
    }

    // MARK: Time

    /// Says what time it is, in nanoseconds of a monotonic clock and in milliseconds since 1970.
    func setClock(now: UInt64, nowMilliseconds: Int64) {
        self.now = now
        clock = (now, nowMilliseconds)
    }

    /// Milliseconds since 1970.
    var nowMilliseconds: Int64 { clock.wall + Int64((now - min(now, clock.monotonic)) / 1_000_000) }

    /// Aborts what has run for too long, and tries again what failed.
    /// - Parameter heardUntil: Requests of later may be on their way: what was due by then has run for too long.
    func advance(now: UInt64, heardUntil: UInt64 = .max) {
        self.now = now
        guard now >= nextDeadline, !isLoading else { return }
        for transaction in transactions.values.filter({ now >= $0.nextDeadline }).sorted(by: { $0.id < $1.id }) {
            if now >= transaction.retryAt { retryMarkers(of: transaction) }
            if min(now, heardUntil) >= transaction.deadline { expire(transaction) }
        }
        nextDeadline = transactions.values.reduce(.max) { min($0, $1.nextDeadline) }
    }

    /// Says what time it is, and does nothing of what is due.
    func begin(at now: UInt64) { self.now = now }

    /// Has a transaction looked at when it is due.
    func wake(_ transaction: Transaction) { nextDeadline = min(nextDeadline, transaction.nextDeadline) }

    // MARK: What goes out

    func answer(_ origin: ProduceOrigin, _ body: TransactionAnswer.Body = .empty) {
        answers.append(TransactionAnswer(origin: origin, error: .none, text: "", body: body))
    }

    func refuse(_ origin: ProduceOrigin, _ error: BrokerError, _ body: TransactionAnswer.Body = .empty) {
        answers.append(TransactionAnswer(origin: origin, error: error.code, text: error.description, body: body))
    }

    /// What became due since the last call, in order.
    func takeAnswers() -> [TransactionAnswer] {
        guard !answers.isEmpty else { return [] }
        defer { answers = [] }
        return answers
    }

    var hasWrites: Bool { !writes.isEmpty || !markers.isEmpty }

    /// Records to be written since the last call, in order.
    func takeWrites() -> [TransactionWrite] {
        defer { writes = [] }
        return writes
    }

    /// Markers to be written since the last call.
    func takeMarkers() -> [MarkerWrite] {
        defer { markers = [] }
        return markers
    }

    /// Says what became of a record or a marker.
    func finish(_ token: UInt64, error: ErrorCode) { completions.removeValue(forKey: token)?(error) }

    /// Has a record written; `done` is called once.
    func write(_ record: TransactionRecord, _ done: @escaping (ErrorCode) -> Void = { _ in }) {
        lastToken += 1
        completions[lastToken] = done
        writes.append(TransactionWrite(token: lastToken, record: record))
    }

    /// Has a marker written; `done` is called once.
    func write(
        _ producer: ProducerEpoch, isCommit: Bool, coordinatorEpoch: Int32? = nil, to partition: TransactionPartition,
        _ done: @escaping (ErrorCode) -> Void
    ) {
        lastToken += 1
        completions[lastToken] = done
        markers.append(
            MarkerWrite(
                token: lastToken, partition: partition, producer: producer, isCommit: isCommit,
                coordinatorEpoch: coordinatorEpoch))
    }

    /// Makes a transaction what it is to be next, once that is durable.
    /// - Parameter done: Told whether it is.
    func change(
        _ transaction: Transaction, to next: StoredTransaction, _ done: @escaping (ErrorCode) -> Void
    ) {
        transaction.pending = next
        write(TransactionRecord(transaction.id, next)) { [self] error in
            transaction.pending = nil
            if error == .none { adopt(next, in: transaction) }
            done(error)
        }
    }

    /// Takes note of what a transaction is now.
    func adopt(_ next: StoredTransaction, in transaction: Transaction) {
        let before = transaction.stored
        byteCount += Transaction.bytes(of: next.partitions) - Transaction.bytes(of: before.partitions)
        if next.producer.producerID != before.producer.producerID {
            byProducer[before.producer.producerID] = nil
            byProducer[next.producer.producerID] = transaction
        }
        transaction.adopt(next)
        if next.state != .ongoing {
            transaction.deadline = .max
        } else if before.state != .ongoing {
            let elapsed = max(0, nowMilliseconds - next.startedAt)
            let left = max(0, Int64(next.timeoutMilliseconds) - elapsed)
            transaction.deadline = now + UInt64(left) * 1_000_000
            wake(transaction)
        }
    }

    // MARK: Transactional ids

    func add(_ id: String, _ stored: StoredTransaction) -> Transaction {
        let transaction = Transaction(id: id, stored)
        transactions[id] = transaction
        byProducer[stored.producer.producerID] = transaction
        byteCount += transaction.byteCount
        return transaction
    }

    private func drop(_ transaction: Transaction) {
        transactions[transaction.id] = nil
        byProducer[transaction.stored.producer.producerID] = nil
        byteCount -= transaction.byteCount
    }

    /// Whether so much more may be kept.
    func requireRoom(for bytes: Int) throws(BrokerError) {
        guard byteCount + bytes > options.totalBytesMax else { return }
        throw BrokerError(
            .limitReached,
            "transactional ids and their transactions would take \(byteCount + bytes) bytes of memory, the limit is "
                + "\(options.totalBytesMax) (--transactions-bytes-max)")
    }

    /// Whether a producer's records may go to a partition now: it has said so, and the transaction is ongoing.
    func refusal(of producer: ProducerEpoch, in partition: TransactionPartition) -> ErrorCode? {
        // The producer tries again, whatever it speaks.
        if isLoading { return .notEnoughReplicas }
        guard let transaction = byProducer[producer.producerID] else { return .invalidProducerIDMapping }
        guard producer.epoch == transaction.stored.producer.epoch else { return .invalidProducerEpoch }
        guard transaction.stored.state == .ongoing, transaction.pending?.state ?? .ongoing == .ongoing,
            transaction.stored.partitions.contains(partition)
        else { return .invalidTransactionState }
        return nil
    }

    /// Forgets ids that nobody has used for long.
    func expireIDs() {
        guard !isLoading else { return }
        let limit = nowMilliseconds - options.expirationMilliseconds
        for transaction in transactions.values.sorted(by: { $0.id < $1.id }) {
            let stored = transaction.stored
            guard stored.updatedAt <= limit, transaction.pending == nil, stored.state != .ongoing,
                !stored.state.isPrepared
            else { continue }
            var dead = stored
            dead.state = .dead
            transaction.pending = dead
            write(TransactionRecord(transaction.id, nil)) { [self] error in
                transaction.pending = nil
                if error == .none { drop(transaction) }
            }
        }
    }

    // MARK: Loading

    /// Takes a record from the log, oldest first.
    func load(_ record: TransactionRecord) {
        guard let stored = record.transaction, stored.state != .dead else {
            if let known = transactions[record.transactionalID] { drop(known) }
            return
        }
        if let known = transactions[record.transactionalID] {
            adopt(stored, in: known)
        } else {
            let transaction = add(
                record.transactionalID,
                StoredTransaction(
                    producer: stored.producer, timeoutMilliseconds: stored.timeoutMilliseconds,
                    updatedAt: stored.updatedAt))
            adopt(stored, in: transaction)
        }
    }

    /// The log was read: what was decided gets its markers, what is ongoing the rest of its time.
    func finishLoading() {
        isLoading = false
        for transaction in transactions.values.sorted(by: { $0.id < $1.id }) where transaction.stored.state.isPrepared {
            writeMarkers(of: transaction)
        }
    }
}

/// A record for `__transaction_state`; the coordinator hears of it again by its token.
struct TransactionWrite {
    let token: UInt64
    let record: TransactionRecord
}

/// The end of a transaction in a partition; the coordinator hears of it again by its token.
struct MarkerWrite {
    let token: UInt64
    let partition: TransactionPartition
    let producer: ProducerEpoch
    let isCommit: Bool
    /// Nil: the broker's own coordinator, which nobody is newer than.
    let coordinatorEpoch: Int32?
}
