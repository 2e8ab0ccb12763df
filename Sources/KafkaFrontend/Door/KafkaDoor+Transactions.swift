internal import BrokerCore
internal import KafkaProtocol
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// Transactions: Kafka's requests become the coordinator's, which has Kafka's names for all of it.
extension KafkaDoor {
    func initTransactionalProducer(_ request: InitProducerIdRequest, _ id: String, _ call: KafkaCall) {
        let caller = ProducerEpoch(producerID: request.producerId, epoch: request.producerEpoch)
        ask(
            .initProducer(
                transactionalID: id, timeoutMilliseconds: request.transactionTimeoutMs,
                producer: caller.producerID == -1 ? nil : caller)
        ) { [self] found in
            var response = InitProducerIdResponse()
            response.errorCode = error(found.error, call, fencedSince: 4)
            response.producerEpoch = -1
            if case .producer(let producer) = found.body {
                response.producerId = producer.producerID
                response.producerEpoch = producer.epoch
            }
            answer(call, response)
        }
    }

    func addPartitions(_ request: AddPartitionsToTxnRequest, _ call: KafkaCall) {
        let partitions = request.topics.flatMap { topic in Self.partitions(topic.name, topic.partitions) }
        let producer = ProducerEpoch(producerID: request.producerId, epoch: request.producerEpoch)
        ask(.addPartitions(transactionalID: request.transactionalId, producer, partitions)) { [self] found in
            var errors = Self.errors(of: found, count: partitions.count)[...]
            var response = AddPartitionsToTxnResponse()
            response.resultsByTopic = request.topics.map { topic in
                var result = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult()
                result.name = topic.name
                result.resultsByPartition = topic.partitions.map { index in
                    var partition = AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult()
                    partition.partitionIndex = index
                    partition.partitionErrorCode = error(errors.removeFirst(), call, fencedSince: 2)
                    return partition
                }
                return result
            }
            answer(call, response)
        }
    }

    func addOffsets(_ request: AddOffsetsToTxnRequest, _ call: KafkaCall) {
        let producer = ProducerEpoch(producerID: request.producerId, epoch: request.producerEpoch)
        ask(.addOffsets(transactionalID: request.transactionalId, producer, group: request.groupId)) { [self] found in
            var response = AddOffsetsToTxnResponse()
            response.errorCode = error(found.error, call, fencedSince: 2)
            answer(call, response)
        }
    }

    func endTransaction(_ request: EndTxnRequest, _ call: KafkaCall) {
        let producer = ProducerEpoch(producerID: request.producerId, epoch: request.producerEpoch)
        ask(.end(transactionalID: request.transactionalId, producer, isCommit: request.committed)) { [self] found in
            var response = EndTxnResponse()
            response.errorCode = error(found.error, call, fencedSince: 2)
            answer(call, response)
        }
    }

    func commitTransactionOffsets(_ request: TxnOffsetCommitRequest, _ call: KafkaCall) {
        let offsets = request.topics.map { topic in
            TopicOffsets(
                topic: topic.name,
                partitions: topic.partitions.map {
                    TopicOffsets.Partition(
                        partition: UInt32(bitPattern: $0.partitionIndex), offset: $0.committedOffset,
                        leaderEpoch: $0.committedLeaderEpoch, metadata: $0.committedMetadata ?? "")
                })
        }
        let caller = GroupCaller(
            group: request.groupId, generation: request.generationId, memberID: request.memberId,
            instanceID: request.groupInstanceId.flatMap(nonEmpty))
        let producer = ProducerEpoch(producerID: request.producerId, epoch: request.producerEpoch)
        let then = { [self, share] (found: GroupAnswer) in
            defer { withExtendedLifetime(share) {} }
            let errors = Self.errors(found)
            var response = TxnOffsetCommitResponse()
            var index = 0
            response.topics = request.topics.map { topic in
                var result = TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic()
                result.name = topic.name
                result.partitions = topic.partitions.map { wanted in
                    var partition = TxnOffsetCommitResponse.TxnOffsetCommitResponsePartition()
                    partition.partitionIndex = wanted.partitionIndex
                    // Also where a client counts on what it did not add: the transaction can be aborted (KIP-890).
                    let isAbortable = call.version >= 4 && errors(index) == .invalidTxnState
                    partition.errorCode = isAbortable ? .transactionAbortable : errors(index)
                    index += 1
                    return partition
                }
                return result
            }
            answer(call, response)
        }
        ask(then: then) { [self] origin in broker.commit(offsets, of: caller, in: producer, from: origin, now: now) }
    }

    func writeMarkers(_ request: WriteTxnMarkersRequest, _ call: KafkaCall) {
        // There are no other brokers, and an operator who ends a transaction by hand does so where data is.
        for marker in request.markers {
            for topic in marker.topics where Broker.isInternal(topic.name) {
                return close(call, "WriteTxnMarkers for \(topic.name), which is the broker's own")
            }
        }
        let markers = request.markers.map { marker in
            TransactionMarkers(
                ProducerEpoch(producerID: marker.producerId, epoch: marker.producerEpoch),
                isCommit: marker.transactionResult, coordinatorEpoch: marker.coordinatorEpoch,
                partitions: marker.topics.flatMap { Self.partitions($0.name, $0.partitionIndexes) })
        }
        let count = markers.reduce(0) { $0 + $1.partitions.count }
        ask(.writeMarkers(markers)) { [self] found in
            var errors = Self.errors(of: found, count: count)[...]
            var response = WriteTxnMarkersResponse()
            response.markers = request.markers.map { marker in
                var result = WriteTxnMarkersResponse.WritableTxnMarkerResult()
                result.producerId = marker.producerId
                result.topics = marker.topics.map { topic in
                    var topicResult = WriteTxnMarkersResponse.WritableTxnMarkerTopicResult()
                    topicResult.name = topic.name
                    topicResult.partitions = topic.partitionIndexes.map { index in
                        var partition = WriteTxnMarkersResponse.WritableTxnMarkerPartitionResult()
                        partition.partitionIndex = index
                        partition.errorCode = KafkaError(errors.removeFirst())
                        return partition
                    }
                    return topicResult
                }
                return result
            }
            answer(call, response)
        }
    }

    // MARK: Operators

    func describeTransactions(_ request: DescribeTransactionsRequest, _ call: KafkaCall) {
        let ids = request.transactionalIds.unique()
        ask(.describe(transactionalIDs: ids)) { [self] found in
            var response = DescribeTransactionsResponse()
            if case .descriptions(let all) = found.body {
                response.transactionStates = all.map(Self.state)
            } else {
                response.transactionStates = ids.map { id in
                    Self.state(TransactionDescription(error: found.error, transactionalID: id))
                }
            }
            answer(call, response)
        }
    }

    private static func state(_ found: TransactionDescription) -> DescribeTransactionsResponse.TransactionState {
        var state = DescribeTransactionsResponse.TransactionState()
        state.errorCode = KafkaError(found.error)
        state.transactionalId = found.transactionalID
        state.transactionState = found.state
        state.transactionTimeoutMs = found.timeoutMilliseconds
        state.transactionStartTimeMs = found.startedAt
        state.producerId = found.producer.producerID
        state.producerEpoch = found.producer.epoch
        for partition in found.partitions {
            if state.topics.last?.topic != partition.topic {
                var topic = DescribeTransactionsResponse.TopicData()
                topic.topic = partition.topic
                state.topics.append(topic)
            }
            state.topics[state.topics.count - 1].partitions.append(Int32(bitPattern: partition.partition))
        }
        return state
    }

    func listTransactions(_ request: ListTransactionsRequest, _ call: KafkaCall) {
        ask(
            .list(
                states: request.stateFilters, producerIDs: request.producerIdFilters,
                durationMilliseconds: request.durationFilter)
        ) { [self] found in
            var response = ListTransactionsResponse()
            response.errorCode = KafkaError(found.error)
            response.unknownStateFilters = request.stateFilters.filter { !Broker.transactionStates.contains($0) }
            if case .listings(let all) = found.body {
                response.transactionStates = all.map { listing in
                    var state = ListTransactionsResponse.TransactionState()
                    state.transactionalId = listing.transactionalID
                    state.producerId = listing.producerID
                    state.transactionState = listing.state
                    return state
                }
            }
            answer(call, response)
        }
    }

    func describeProducers(_ request: DescribeProducersRequest, _ call: KafkaCall) {
        let topics = request.topics.unique(by: \.name)
        let wanted = topics.enumerated().flatMap { place, topic in
            topic.partitionIndexes.unique().map { (place: place, partition: $0) }
        }
        var response = DescribeProducersResponse()
        response.topics = topics.map { topic in
            var result = DescribeProducersResponse.TopicResponse()
            result.name = topic.name
            return result
        }
        var (next, left) = (0, options.describedProducersMax)
        doInPieces(call) { [self] in
            guard next < wanted.count else {
                answer(call, response)
                return false
            }
            let one = wanted[next]
            next += 1
            let found = producers(of: topics[one.place].name, one.partition, &left)
            response.topics[one.place].partitions.append(found)
            return true
        }
    }

    /// - Parameter left: How many producers the answer still takes; the first ones of an answer it takes in any case.
    private func producers(
        of topic: String, _ index: Int32, _ left: inout Int
    ) -> DescribeProducersResponse.PartitionResponse {
        var found = DescribeProducersResponse.PartitionResponse()
        found.partitionIndex = index
        guard let partitions = broker.partitions(of: topic), partitions.indices.contains(Int(index)) else {
            found.errorCode = .unknownTopicOrPartition
            return found
        }
        let log = partitions[Int(index)].log
        do throws(LogError) {
            let count = try log.activeProducerCount
            guard count == 0 || count <= left || left == options.describedProducersMax else {
                let max = options.describedProducersMax
                found.errorCode = .policyViolation
                found.errorMessage = "One answer names \(max) producers: ask about fewer partitions at once."
                return found
            }
            found.activeProducers = try log.activeProducers.map(Self.producer)
            left = max(0, left - count)
        } catch {
            found.errorCode = .kafkaStorageError
            found.errorMessage = BrokerError(error).kafkaMessage
        }
        return found
    }

    private static func producer(_ found: ActiveProducer) -> DescribeProducersResponse.ProducerState {
        var producer = DescribeProducersResponse.ProducerState()
        producer.producerId = found.producerID
        producer.producerEpoch = Int32(found.epoch)
        producer.lastSequence = found.lastSequence
        producer.lastTimestamp = found.lastTimestamp
        producer.coordinatorEpoch = found.coordinatorEpoch
        producer.currentTxnStartOffset = found.transactionStart?.rawValue ?? -1
        return producer
    }

    // MARK: Parts

    private static func partitions(_ topic: String, _ indexes: [Int32]) -> [TransactionPartition] {
        indexes.map { TransactionPartition(topic: topic, partition: UInt32(bitPattern: $0)) }
    }

    /// One for each partition of a request.
    private static func errors(of answer: TransactionAnswer, count: Int) -> [ErrorCode] {
        if case .errors(let errors) = answer.body { return errors }
        return Array(repeating: answer.error, count: count)
    }

    /// Clients of older versions know a fenced producer by another error.
    private func error(_ code: ErrorCode, _ call: KafkaCall, fencedSince version: Int16) -> KafkaError {
        code == .producerFenced && call.version < version ? .invalidProducerEpoch : KafkaError(code)
    }
}
