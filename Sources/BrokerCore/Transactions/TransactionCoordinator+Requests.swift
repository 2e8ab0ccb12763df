internal import TopicProtocol

extension TransactionCoordinator {
    /// Takes a request. Its answer comes at once or later, exactly one.
    /// - Parameters:
    ///   - partitionExists: Whether there is such a partition.
    ///   - offsetsPartition: The partition of `__consumer_offsets` that holds a group's offsets.
    func handle(
        _ request: TransactionRequest, from origin: ProduceOrigin, now: UInt64,
        partitionExists: (TransactionPartition) -> Bool,
        offsetsPartition: (String) throws(BrokerError) -> TransactionPartition
    ) {
        // What is overdue waits for the turn: the request that ends it may be on its way.
        begin(at: now)
        do throws(BrokerError) {
            guard !isLoading else {
                throw BrokerError(.coordinatorLoadInProgress, "transactions are being read from the log: try again")
            }
            switch request {
            case .initProducer(let id, let timeout, let producer): try initProducer(id, timeout, producer, origin)
            case .addPartitions(let id, let producer, let partitions):
                try addPartitions(id, producer, partitions, origin, partitionExists)
            case .addOffsets(let id, let producer, let group):
                // Who is who first: nothing is made for a stranger.
                let transaction = try current(id, producer)
                try add([try offsetsPartition(group)], to: transaction) { [self] error in
                    if let error { refuse(origin, error) } else { answer(origin) }
                }
            case .end(let id, let producer, let isCommit): try end(id, producer, isCommit: isCommit, origin)
            case .writeMarkers(let markers): writeMarkers(markers, origin)
            case .describe(let ids): answer(origin, .descriptions(ids.map(describe)))
            case .list(let states, let producerIDs, let duration):
                list(states, producerIDs, durationMilliseconds: duration, origin)
            }
        } catch {
            refuse(origin, error)
        }
    }

    // MARK: InitProducerId

    private func initProducer(
        _ id: String, _ timeout: Int32, _ caller: ProducerEpoch?, _ origin: ProduceOrigin
    ) throws(BrokerError) {
        guard !id.isEmpty, id.utf8.count <= options.idBytesMax else {
            throw BrokerError(
                .invalidRequest, "a transactional id has 1 to \(options.idBytesMax) bytes, not \(id.utf8.count)")
        }
        guard timeout > 0, timeout <= options.timeoutMillisecondsMax else {
            throw BrokerError(
                .invalidTransactionTimeout,
                "a transaction timeout of \(timeout) ms is refused, 1 to \(options.timeoutMillisecondsMax) are allowed "
                    + "(--transaction-max-timeout-ms)")
        }
        if let caller, caller.producerID < 0 || caller.epoch < 0 {
            throw BrokerError(
                .invalidRequest,
                "producer \(caller.producerID) with epoch \(caller.epoch) is none: a producer names both, or neither")
        }
        let transaction = if let known = transactions[id] { known } else { try create(id, timeout) }
        if transaction.pending != nil { throw Self.concurrent(transaction) }
        if let caller { try require(caller, isOrWas: transaction) }
        switch transaction.stored.state {
        case .prepareCommit, .prepareAbort: throw Self.concurrent(transaction)
        case .ongoing:
            fence(transaction)
            throw Self.concurrent(transaction)
        case .empty, .completeCommit, .completeAbort, .dead, .prepareEpochFence:
            try renew(transaction, timeout, caller, origin)
        }
    }

    private func create(_ id: String, _ timeout: Int32) throws(BrokerError) -> Transaction {
        guard transactions.count < options.idsMax else {
            throw BrokerError(
                .limitReached,
                "the broker remembers \(transactions.count) transactional ids, the limit is \(options.idsMax) "
                    + "(--transactional-ids-max)")
        }
        try requireRoom(for: Transaction.bytes(ofID: id))
        return add(
            id,
            StoredTransaction(
                producer: ProducerEpoch(producerID: try allocateProducerID(), epoch: -1), timeoutMilliseconds: timeout,
                updatedAt: nowMilliseconds))
    }

    /// Whether who asks again is who had the transactional id last.
    private func require(_ caller: ProducerEpoch, isOrWas transaction: Transaction) throws(BrokerError) {
        let producer = transaction.stored.producer
        // Kafka's rule for one whose epochs were used up, and who has not heard of its new producer id.
        let wasLast = caller.producerID == transaction.lastProducerID && caller.epoch >= Int16.max - 1
        guard producer.epoch == -1 || caller.producerID == producer.producerID || wasLast else {
            throw Self.fenced(transaction)
        }
    }

    /// Gives the caller an epoch of its own, or what it got when it asked before.
    private func renew(
        _ transaction: Transaction, _ timeout: Int32, _ caller: ProducerEpoch?, _ origin: ProduceOrigin
    ) throws(BrokerError) {
        var next = transaction.stored
        next.state = .empty
        next.partitions = []
        next.startedAt = -1
        next.updatedAt = nowMilliseconds
        next.timeoutMilliseconds = timeout
        var lastEpoch: Int16 = -1
        var lastProducerID = transaction.lastProducerID
        let epoch = next.producer.epoch
        if transaction.isEpochExhausted, caller.map({ $0.epoch == epoch }) ?? true {
            lastProducerID = next.producer.producerID
            if caller != nil { lastEpoch = epoch }
            next.producer = ProducerEpoch(producerID: try allocateProducerID(), epoch: 0)
        } else if let caller, epoch >= 0, caller.epoch != epoch {
            guard caller.epoch == transaction.lastEpoch else { throw Self.fenced(transaction) }
            lastEpoch = transaction.lastEpoch
        } else {
            lastEpoch = caller == nil ? -1 : epoch
            next.producer.epoch = epoch + 1
        }
        change(transaction, to: next) { [self] error in
            guard error == .none else { return refuse(origin, Self.notStored(error, transaction.id)) }
            transaction.lastEpoch = lastEpoch
            transaction.lastProducerID = lastProducerID
            answer(origin, .producer(next.producer))
        }
    }

    // MARK: AddPartitionsToTxn

    private func addPartitions(
        _ id: String, _ producer: ProducerEpoch, _ partitions: [TransactionPartition], _ origin: ProduceOrigin,
        _ exists: (TransactionPartition) -> Bool
    ) throws(BrokerError) {
        let found = partitions.map(exists)
        guard !found.contains(false) else {
            let errors = found.map { $0 ? ErrorCode.operationNotAttempted : .unknownTopicOrPartition }
            return answer(origin, .errors(errors))
        }
        let same = { (error: ErrorCode) in TransactionAnswer.Body.errors(partitions.map { _ in error }) }
        do throws(BrokerError) {
            try add(partitions, to: try current(id, producer)) { [self] error in
                if let error { refuse(origin, error, same(error.code)) } else { answer(origin, same(.none)) }
            }
        } catch {
            refuse(origin, error, same(error.code))
        }
    }

    /// The transaction of a producer that is not fenced.
    func current(_ id: String, _ producer: ProducerEpoch) throws(BrokerError) -> Transaction {
        guard !id.isEmpty else { throw BrokerError(.invalidRequest, "a transactional id is not empty") }
        guard let transaction = transactions[id], transaction.stored.producer.producerID == producer.producerID else {
            throw BrokerError(
                .invalidProducerIDMapping,
                "producer \(producer.producerID) is not that of transactional id \(id): initialize it again")
        }
        guard transaction.stored.producer.epoch == producer.epoch else { throw Self.fenced(transaction) }
        return transaction
    }

    private func add(
        _ partitions: [TransactionPartition], to transaction: Transaction, _ done: @escaping (BrokerError?) -> Void
    ) throws(BrokerError) {
        if transaction.pending != nil || transaction.stored.state.isPrepared { throw Self.concurrent(transaction) }
        var next = transaction.stored
        if next.state != .ongoing {
            next.partitions = []
            next.startedAt = nowMilliseconds
        } else if next.partitions.isSuperset(of: partitions) {
            return done(nil)
        }
        next.state = .ongoing
        next.updatedAt = nowMilliseconds
        let before = Transaction.bytes(of: next.partitions)
        next.partitions.formUnion(partitions)
        guard next.partitions.count <= options.partitionsMax else {
            throw BrokerError(
                .limitReached,
                "the transaction of \(transaction.id) would have \(next.partitions.count) partitions, the limit is "
                    + "\(options.partitionsMax) (--transaction-partitions-max)")
        }
        let bytes = Transaction.bytes(of: next.partitions)
        // It must fit one record.
        guard bytes <= Self.transactionBytesMax else {
            throw BrokerError(
                .limitReached,
                "the transaction of \(transaction.id) would take \(bytes) bytes, the limit is "
                    + "\(Self.transactionBytesMax): use fewer partitions, or shorter names")
        }
        try requireRoom(for: bytes - before)
        change(transaction, to: next) { error in
            done(error == .none ? nil : Self.notStored(error, transaction.id))
        }
    }

    static let transactionBytesMax = 768 << 10

    // MARK: Operators

    private func describe(_ id: String) -> TransactionDescription {
        guard let transaction = transactions[id] else {
            return TransactionDescription(error: .transactionalIDNotFound, transactionalID: id)
        }
        let stored = transaction.stored
        let isRunning = stored.state == .ongoing || stored.state.isPrepared
        var description = TransactionDescription(error: .none, transactionalID: id)
        description.state = stored.state.name
        description.timeoutMilliseconds = stored.timeoutMilliseconds
        if isRunning { description.startedAt = stored.startedAt }
        description.producer = stored.producer
        // Of one that is decided: where that is not known yet.
        let partitions = stored.state.isPrepared ? transaction.unmarked : stored.partitions
        description.partitions = partitions.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        return description
    }

    private func list(
        _ states: [String], _ producerIDs: [Int64], durationMilliseconds: Int64, _ origin: ProduceOrigin
    ) {
        let (wanted, ids) = (Set(states), Set(producerIDs))
        let listed = transactions.values.filter { transaction in
            let stored = transaction.stored
            guard stored.producer.epoch >= 0, wanted.isEmpty || wanted.contains(stored.state.name),
                ids.isEmpty || ids.contains(stored.producer.producerID)
            else { return false }
            guard durationMilliseconds >= 0 else { return true }
            return stored.state == .ongoing && nowMilliseconds - stored.startedAt >= durationMilliseconds
        }
        answer(
            origin,
            .listings(
                listed.sorted { $0.id < $1.id }.map {
                    TransactionListing(
                        transactionalID: $0.id, producerID: $0.stored.producer.producerID, state: $0.stored.state.name)
                }))
    }

    // MARK: Refusals

    static func concurrent(_ transaction: Transaction) -> BrokerError {
        BrokerError(
            .concurrentTransactions, "transactional id \(transaction.id) is still busy with what came before: try again"
        )
    }

    static func fenced(_ transaction: Transaction) -> BrokerError {
        BrokerError(.producerFenced, "a newer instance of the producer has transactional id \(transaction.id)")
    }

    static func notStored(_ error: ErrorCode, _ id: String) -> BrokerError {
        BrokerError(
            .coordinatorNotAvailable, "the state of transactional id \(id) was not stored (\(error)): try again")
    }
}
