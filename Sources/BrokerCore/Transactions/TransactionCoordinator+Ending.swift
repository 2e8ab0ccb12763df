internal import TopicProtocol

// EndTxn, timeouts, markers.
extension TransactionCoordinator {
    func end(
        _ id: String, _ producer: ProducerEpoch, isCommit: Bool, _ origin: ProduceOrigin
    ) throws(BrokerError) {
        let transaction = try current(id, producer)
        if transaction.pending != nil { throw Self.concurrent(transaction) }
        switch transaction.stored.state {
        case .ongoing:
            prepare(transaction, isCommit: isCommit) { [self] error in
                if error == .none {
                    transaction.ender = origin
                } else {
                    refuse(origin, Self.notStored(error, id))
                }
            }
        // Asked again, for the answer was lost.
        case .completeCommit where isCommit, .completeAbort where !isCommit: answer(origin)
        case .prepareCommit where isCommit, .prepareAbort where !isCommit: throw Self.concurrent(transaction)
        default:
            throw BrokerError(
                .invalidTransactionState,
                "transactional id \(id) is in state \(transaction.stored.state.name): there is nothing to "
                    + (isCommit ? "commit" : "abort"))
        }
    }

    /// Aborts a transaction of an instance that is gone or late: from now on it is fenced.
    func fence(_ transaction: Transaction) {
        prepare(transaction, isCommit: false, isFencing: true) { _ in }
    }

    /// Aborts what has run for longer than its producer has allowed.
    func expire(_ transaction: Transaction) {
        // While something else is being written, or could not be: a little later.
        transaction.deadline = now + Self.retryNanoseconds
        if transaction.pending == nil, transaction.stored.state == .ongoing { fence(transaction) }
    }

    /// Decides the outcome; once that is durable, nothing but the markers is left to do.
    private func prepare(
        _ transaction: Transaction, isCommit: Bool, isFencing: Bool = false, _ done: @escaping (ErrorCode) -> Void
    ) {
        var next = transaction.stored
        next.state = isCommit ? .prepareCommit : .prepareAbort
        next.updatedAt = nowMilliseconds
        if isFencing, next.producer.epoch < .max { next.producer.epoch += 1 }
        change(transaction, to: next) { [self] error in
            if error == .none, isFencing { transaction.lastEpoch = -1 }
            done(error)
            if error == .none { writeMarkers(of: transaction) }
        }
    }

    // MARK: Markers

    static let retryNanoseconds: UInt64 = 1_000_000_000

    /// Has all markers of a decided transaction written.
    func writeMarkers(of transaction: Transaction) {
        transaction.unmarked = transaction.stored.partitions
        guard !transaction.unmarked.isEmpty else { return complete(transaction) }
        for partition in transaction.unmarked.sorted(by: { ($0.topic, $0.partition) < ($1.topic, $1.partition) }) {
            writeMarker(of: transaction, to: partition)
        }
    }

    private func writeMarker(of transaction: Transaction, to partition: TransactionPartition) {
        write(transaction.stored.producer, isCommit: transaction.stored.state == .prepareCommit, to: partition) {
            [self] error in
            switch error {
            // A partition that is gone needs none; where the producer is fenced already, the transaction has ended.
            case .none, .unknownTopicOrPartition, .invalidProducerEpoch:
                transaction.unmarked.remove(partition)
                if transaction.unmarked.isEmpty { complete(transaction) }
            default:
                transaction.failed.append(partition)
                transaction.retryAt = now + Self.retryNanoseconds
                wake(transaction)
            }
        }
    }

    func retryMarkers(of transaction: Transaction) {
        let failed = transaction.failed
        transaction.failed = []
        transaction.retryAt = .max
        for partition in failed { writeMarker(of: transaction, to: partition) }
    }

    /// All markers are durable. Whether the record that says so becomes durable need not be awaited: a start that does
    /// not find it writes the markers again, which ends nothing.
    private func complete(_ transaction: Transaction) {
        var next = transaction.stored
        next.state = next.state == .prepareCommit ? .completeCommit : .completeAbort
        next.partitions = []
        next.updatedAt = nowMilliseconds
        write(TransactionRecord(transaction.id, next))
        adopt(next, in: transaction)
        if let ender = transaction.ender { answer(ender) }
        transaction.ender = nil
    }

    /// Writes markers for an operator.
    func writeMarkers(_ all: [TransactionMarkers], _ origin: ProduceOrigin) {
        let count = all.reduce(0) { $0 + $1.partitions.count }
        guard count > 0 else { return answer(origin, .errors([])) }
        var errors = [ErrorCode](repeating: .none, count: count)
        var missing = count
        var index = 0
        for markers in all {
            for partition in markers.partitions {
                let place = index
                index += 1
                write(
                    markers.producer, isCommit: markers.isCommit, coordinatorEpoch: markers.coordinatorEpoch,
                    to: partition
                ) { [self] error in
                    errors[place] = error
                    missing -= 1
                    if missing == 0 { answer(origin, .errors(errors)) }
                }
            }
        }
    }
}
