package import RecordFormat
internal import TopicLog
package import TopicProtocol

// Transactions: requests to the coordinator, its records to `__transaction_state`, markers to partitions, and what
// producers may append.
extension Broker {
    /// Where transactional ids are kept: Kafka's name, partitions by id, compacted.
    package static let transactionsTopic = "__transaction_state"
    /// What of the broker's own writes an acknowledgement is for: stands in the place of a request's number.
    static let groupWrite: UInt32 = 0, transactionWrite: UInt32 = 1

    /// The names of the states that a transaction may be in.
    package static var transactionStates: Set<String> { TransactionState.names }

    package var isLoadingTransactions: Bool { transactions.isLoading }

    /// Takes a request about transactions. Exactly one ``TransactionAnswer`` follows, at once or later.
    /// - Parameter now: Nanoseconds of the monotonic clock.
    package func handle(_ request: TransactionRequest, from origin: ProduceOrigin, now: UInt64) {
        transactions.handle(request, from: origin, now: now) { [self] in
            partition($0) != nil && !Self.isInternal($0.topic)
        } offsetsPartition: { [self] (group) throws(BrokerError) in
            // Its records are not to wait for the topic, or the marker could come before them.
            guard topics[Self.offsetsTopic] != nil || !directory.isChanging else {
                throw BrokerError(.concurrentTransactions, "\(Self.offsetsTopic) cannot be made just now: try again")
            }
            let count = try offsetsPartitions().count
            return TransactionPartition(
                topic: Self.offsetsTopic, partition: UInt32(Self.place(of: groups.name(of: group), among: count)))
        }
    }

    /// Takes offsets that count once a transaction is committed (TxnOffsetCommit). Exactly one ``GroupAnswer`` follows.
    /// - Parameter caller: Without a generation and a member: whoever has the transaction may commit.
    package func commit(
        _ offsets: [TopicOffsets], of caller: GroupCaller, in producer: ProducerEpoch, from origin: ProduceOrigin,
        now: UInt64
    ) {
        do throws(BrokerError) {
            guard let count = topics[Self.offsetsTopic]?.count else {
                throw BrokerError(.invalidTransactionState, "group \(caller.group) is in no transaction")
            }
            let place = TransactionPartition(
                topic: Self.offsetsTopic,
                partition: UInt32(Self.place(of: groups.name(of: caller.group), among: count)))
            if let error = transactions.refusal(of: producer, in: place) {
                let text = "group \(caller.group) is not in an ongoing transaction of producer \(producer.producerID)"
                throw BrokerError(error == .notEnoughReplicas ? .coordinatorLoadInProgress : error, text)
            }
            groups.commit(caller, offsets, in: producer, origin, now: now)
        } catch {
            groups.refuse(origin, error)
        }
    }

    /// Whether a transaction may still change what a group has committed for a partition: who asks for stable offsets
    /// is to ask again.
    package func isOffsetPending(group: String, topic: String, partition: UInt32) -> Bool {
        groups.isPending(OffsetKey(topic: topic, partition: partition), of: group)
    }

    /// Everything below has been decided, and may be read by who wants only what is committed.
    package func lastStableOffset(of partition: Partition) throws(BrokerError) -> Offset {
        do throws(LogError) {
            return try partition.log.lastStableOffset(below: partition.highWatermark)
        } catch {
            throw BrokerError(error)
        }
    }

    // MARK: Producers

    /// Why a client's batch may not be appended, if it may not.
    func refusal(of batch: ProducedBatch, in partition: Partition) -> ErrorCode? {
        let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(batch.bytes))
        guard header.isTransactional || header.isControl else { return nil }
        // Markers are the coordinator's; and only its batches go without a sequence.
        guard !header.isControl, header.producerID >= 0, header.baseSequence >= 0 else { return .invalidRecord }
        return transactions.refusal(
            of: ProducerEpoch(producerID: header.producerID, epoch: header.producerEpoch),
            in: TransactionPartition(topic: partition.topic, partition: partition.address.partition))
    }

    private func partition(_ place: TransactionPartition) -> Partition? {
        guard let list = topics[place.topic], Int(place.partition) < list.count else { return nil }
        return list[Int(place.partition)]
    }

    // MARK: Writing

    /// What transactions do in a turn before batches are appended.
    func advanceTransactions(now: UInt64, heardUntil: UInt64) {
        // The offsets that markers are about are in memory before.
        if let transactionsLoader, !groups.isLoading { load(transactionsLoader) }
        transactions.advance(now: now, heardUntil: heardUntil)
        guard transactions.hasWrites, mayWriteTransactions else { return }
        for write in transactions.takeWrites() {
            do throws(BrokerError) { try stage(write) } catch {
                effects.troubles[Self.transactionsTopic] = error.description
                transactions.finish(write.token, error: error.code)
            }
        }
        for marker in transactions.takeMarkers() { stage(marker) }
    }

    /// Tells the coordinator what became of its records and markers.
    func finishTransactions() {
        while !transactionAcks.isEmpty {
            let acks = transactionAcks
            transactionAcks.removeAll(keepingCapacity: true)
            for (token, error) in acks {
                if let marker = markersInFlight.removeValue(forKey: token), error == .none { apply(marker) }
                transactions.finish(token, error: error)
            }
        }
        effects.transactionAnswers += transactions.takeAnswers()
    }

    /// Whether the loop must take another turn at once.
    var mustAdvanceTransactions: Bool {
        transactionsLoader != nil || (transactions.hasWrites && mayWriteTransactions)
    }

    /// Not while another change has the directory and the topic is still to be made.
    private var mayWriteTransactions: Bool { !directory.isChanging || topics[Self.transactionsTopic] != nil }

    private func stage(_ write: TransactionWrite) throws(BrokerError) {
        let record = write.record
        let partitions = try ownPartitions(Self.transactionsTopic, count: transactions.options.topicPartitions)
        let batch = GroupBatch(
            [(key: record.key, value: record.value)], timestampMilliseconds: transactions.nowMilliseconds)
        stageOwn(
            batch, token: write.token, Self.transactionWrite,
            in: partitions[Self.place(of: record.transactionalID, among: partitions.count)])
    }

    private func stage(_ marker: MarkerWrite) {
        guard let partition = partition(marker.partition) else {
            return transactions.finish(marker.token, error: .unknownTopicOrPartition)
        }
        if let error = refusal(of: marker, in: partition) { return transactions.finish(marker.token, error: error) }
        let batch = GroupBatch(
            EndTransactionMarker(isCommit: marker.isCommit, coordinatorEpoch: marker.coordinatorEpoch ?? 0),
            of: marker.producer, timestampMilliseconds: transactions.nowMilliseconds)
        if marker.partition.topic == Self.offsetsTopic { markersInFlight[marker.token] = marker }
        stageOwn(batch, token: marker.token, Self.transactionWrite, in: partition)
    }

    /// Why a marker may not be written that an operator gave, if it may not: a newer coordinator has written one.
    private func refusal(of marker: MarkerWrite, in partition: Partition) -> ErrorCode? {
        guard let epoch = marker.coordinatorEpoch else { return nil }
        do throws(LogError) {
            let known = try partition.log.coordinatorEpoch(of: marker.producer.producerID)
            return epoch < known ? .transactionCoordinatorFenced : nil
        } catch {
            return BrokerError(error).code
        }
    }

    /// A marker is durable where offsets are: they count now, or never.
    private func apply(_ marker: MarkerWrite) {
        endOffsets(of: marker.producer.producerID, isCommit: marker.isCommit, in: Int(marker.partition.partition))
    }

    /// - Parameter place: The partition of `__consumer_offsets` with the marker.
    func endOffsets(of producerID: Int64, isCommit: Bool, in place: Int) {
        guard let count = topics[Self.offsetsTopic]?.count else { return }
        groups.endTransaction(of: producerID, isCommit: isCommit) { Self.place(of: $0, among: count) == place }
    }

    // MARK: Loading

    private func load(_ loader: OffsetsLoader) {
        let hasMore = step(loader, Self.transactionsTopic) { [transactions] (_, record) in
            // What a later version wrote is left alone.
            guard let key = unsafe record.key, let known = unsafe TransactionRecord(key: key, value: record.value)
            else { return }
            transactions!.load(known)
        }
        guard !hasMore else { return }
        transactionsLoader = nil
        transactions.finishLoading()
    }
}
