internal import BrokerCore
internal import KafkaProtocol
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

/// A produce request some of whose batches are not acknowledged yet.
struct PendingProduce {
    let connection: DoorConnection
    let number: UInt32
    /// Answered when the request came: only a failure ends the connection.
    let isUnacknowledged: Bool
    let throttleMilliseconds: UInt32
    /// Whether the client knows that a transaction can be saved by aborting it (KIP-890).
    let isAbortable: Bool
    /// Batches that are not acknowledged.
    var missing: Int
    var response: ProduceResponse
}

// Produce: batches were checked where they landed; here each finds its partition, and later its acknowledgement.
extension KafkaDoor {
    func produce(_ request: ProduceRequest, _ batches: [ReceivedBatch], _ memory: ReceivedFrame, _ call: KafkaCall) {
        counters.requests += 1
        counters.batches += batches.count
        let throttle = unsafe charge(call, memory.bytes.count, \.produce)
        let slot = freeProduces.popLast() ?? produces.count
        if slot == produces.count { produces.append(nil) }
        var pending = PendingProduce(
            connection: call.connection, number: call.number, isUnacknowledged: request.acks == 0,
            throttleMilliseconds: throttle, isAbortable: request.transactionalId != nil && call.version >= 11,
            missing: 0, response: ProduceResponse())
        pending.response.responses.reserveCapacity(request.topicData.count)
        pending.response.throttleTimeMs = Int32(clamping: throttle)
        var index = 0
        var failure: (error: KafkaError, text: String)?
        for topic in request.topicData {
            let partitions = broker.partitions(of: topic.name)
            var result = ProduceResponse.TopicProduceResponse()
            result.name = topic.name
            result.partitionResponses.reserveCapacity(topic.partitionData.count)
            for data in topic.partitionData {
                var partitionResult = ProduceResponse.PartitionProduceResponse()
                partitionResult.index = data.index
                partitionResult.baseOffset = -1
                let admitted = admit(batches[index], data.index, partitions, acks: request.acks, topic.name, memory)
                switch admitted {
                case .success(let (partition, range)):
                    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[range])
                    // Where in the response: the topic in the session's low half, the partition as the request's id.
                    let origin = ProduceOrigin(
                        door: number, session: UInt64(slot) << 32 | UInt64(pending.response.responses.count),
                        requestID: UInt32(result.partitionResponses.count))
                    unsafe broker.stage(ProducedBatch(bytes: bytes, origin: origin), in: partition)
                    partitionResult.logStartOffset = partition.log.logStartOffset.rawValue
                    pending.missing += 1
                case .failure(let refusal):
                    counters.refusedBatches += 1
                    partitionResult.errorCode = refusal.error
                    partitionResult.errorMessage = refusal.text
                    partitionResult.recordErrors = refusal.records.map { .init($0) }
                    failure = (refusal.error, refusal.text ?? refusal.error.name)
                }
                result.partitionResponses.append(partitionResult)
                index += 1
            }
            pending.response.responses.append(result)
        }
        if pending.missing > 0 { stagedFrames.append(memory) }
        if pending.isUnacknowledged {
            if let failure {
                close(call, "a batch with acks 0 was refused: \(failure.text)")
            } else {
                send(call.connection, call.number, .nothing, throttleMilliseconds: throttle)
            }
        }
        produces[slot] = pending
        if pending.missing == 0 { finish(slot) }
    }

    private struct Refusal: Error {
        let error: KafkaError
        var text: String?
        /// The places in the batch of those that it is refused for.
        var records: [Int32] = []
    }

    private func admit(
        _ batch: ReceivedBatch, _ index: Int32, _ partitions: [Partition]?, acks: Int16, _ topic: String,
        _ memory: ReceivedFrame
    ) -> Result<(Partition, Range<Int>), Refusal> {
        guard (-1...1).contains(acks) else { return .failure(Refusal(error: .invalidRequiredAcks)) }
        guard let partitions, partitions.indices.contains(Int(index)) else {
            return .failure(Refusal(error: .unknownTopicOrPartition))
        }
        let partition = partitions[Int(index)]
        guard !partition.isInternal else {
            return .failure(
                Refusal(error: .invalidTopicException, text: "\(topic) is the broker's own topic"))
        }
        switch batch {
        case .batch(let range, let keyless):
            guard range.count <= partition.log.options.batchBytesMax else {
                return .failure(
                    Refusal(
                        error: .messageTooLarge,
                        text: "a batch of \(range.count) bytes, \(topic) takes \(partition.log.options.batchBytesMax) "
                            + "(max.message.bytes)"))
            }
            if partition.log.options.cleanupPolicy.contains(.compact) {
                let bytes = unsafe UnsafeRawBufferPointer(rebasing: memory.bytes[range])
                if let refusal = unsafe refusal(of: bytes, keyless: keyless, topic) { return .failure(refusal) }
            }
            return .success((partition, range))
        case .invalid(let error, let text): return .failure(Refusal(error: error, text: text))
        }
    }

    /// A compacted topic keeps the last record of each key, and none without one. Compressed batches that no event loop
    /// has looked into are taken unseen, and compaction leaves them as they are.
    /// - Parameter keyless: What an event loop has found.
    private func refusal(of batch: UnsafeRawBufferPointer, keyless: [Int32]?, _ topic: String) -> Refusal? {
        do throws(RecordBatchError) {
            let places = if let keyless { keyless } else { unsafe try RecordBatch.keylessRecords(batch) }
            guard !places.isEmpty else { return nil }
            return Refusal(
                error: .invalidRecord,
                text: "\(topic) is compacted, and record \(places[0]) of the batch has no key",
                records: places)
        } catch {
            return Refusal(error: .invalidRecord, text: error.message)
        }
    }

    /// Takes note of what became of a batch; the last one of a request has it answered.
    func acknowledge(_ origin: ProduceOrigin, _ ack: ProduceAck) {
        let slot = Int(origin.session >> 32)
        let (topic, place) = (Int(origin.session & 0xffff_ffff), Int(origin.requestID))
        produces[slot]!.missing -= 1
        if ack.error == .none {
            produces[slot]!.response.responses[topic].partitionResponses[place].baseOffset = ack.baseOffset
        } else {
            let isAbortable = produces[slot]!.isAbortable && ack.error == .invalidTransactionState
            produces[slot]!.response.responses[topic].partitionResponses[place].errorCode =
                isAbortable ? .transactionAbortable : KafkaError(ack.error)
            produces[slot]!.response.responses[topic].partitionResponses[place].logStartOffset = -1
            counters.refusedBatches += 1
            if produces[slot]!.isUnacknowledged {
                let pending = produces[slot]!
                send(pending.connection, pending.number, .close("a batch with acks 0 was refused: \(ack.error)"))
            }
        }
        if produces[slot]!.missing == 0 { finish(slot) }
    }

    private func finish(_ slot: Int) {
        let pending = produces[slot]!
        produces[slot] = nil
        freeProduces.append(slot)
        guard !pending.isUnacknowledged else { return }
        send(
            pending.connection, pending.number, .produce(pending.response),
            throttleMilliseconds: pending.throttleMilliseconds)
    }
}
