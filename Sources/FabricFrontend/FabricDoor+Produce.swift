internal import BrokerCore
internal import Compression
internal import Logging
internal import RDMATransport
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// From the announcement of a batch to its acknowledgement.
extension FabricDoor {
    func origin(_ session: Session, _ id: UInt32) -> ProduceOrigin {
        ProduceOrigin(door: number, session: session.number, requestID: id)
    }

    private func admitProduce(_ session: Session) throws(FrameError) {
        session.producesInFlight += 1
        guard session.producesInFlight <= limits.producesInFlightMax else {
            throw FrameError(
                "more than \(limits.producesInFlightMax) batches announced and not acknowledged (--in-flight-max)")
        }
    }

    /// A batch that lies in the client's memory.
    func announce(
        _ session: Session, _ id: UInt32, _ partition: PartitionAddress, _ byteCount: Int, _ remote: RemoteSlice
    ) throws(FrameError) {
        try admitProduce(session)
        var produce = PendingProduce(
            requestID: id, partition: partition, byteCount: byteCount, state: .announced(remote))
        // Checked before any memory is set aside for it.
        let known = broker.partition(partition)
        let bytesMax = batchBytesMax(known)
        if byteCount > min(bytesMax, fabric.limits.transferBytesMax) {
            produce.state = .failed(.messageTooLarge)
            say(
                .warning, "batch refused",
                session.metadata(
                    "a batch of \(byteCount) bytes, the limit is \(bytesMax) (--max-message-bytes, max.message.bytes)"))
        } else if byteCount < RecordBatchHeader.byteCount {
            produce.state = .failed(.corruptMessage)
        } else if let known {
            if known.isInternal { produce.state = .failed(.invalidTopic) }
        } else {
            produce.state = .failed(.unknownTopicOrPartition)
        }
        session.produces.append(produce)
        resume(session)
        stageLanded(session)
    }

    /// The broker's limit, or the topic's where that is lower.
    private func batchBytesMax(_ partition: Partition?) -> Int {
        min(limits.batchBytesMax, partition?.log.options.batchBytesMax ?? .max)
    }

    /// A batch that came with its announcement.
    /// - Throws: and the message is still the caller's.
    func announceEager(
        _ session: Session, _ id: UInt32, _ partition: PartitionAddress, _ batch: UnsafeMutableRawBufferPointer,
        _ message: ReceivedMessage
    ) throws(FrameError) {
        try admitProduce(session)
        counters.eagerBatches += 1
        let isTooShort = batch.count < RecordBatchHeader.byteCount
        session.produces.append(
            unsafe PendingProduce(
                requestID: id, partition: partition, byteCount: batch.count,
                state: isTooShort ? .failed(.corruptMessage) : .eager(message, batch)))
        if isTooShort { fabric.release(message) }
        stageLanded(session)
    }

    /// Whether the quota allows for a batch, and for those before it: it is used in the order of announcements, else
    /// pulls would overtake an eager batch and hold landing memory behind it.
    private func isPaid(_ session: Session, _ index: Int) -> Bool {
        guard session.quota?.produce != nil else { return true }
        while session.paidProduces <= index {
            let produce = session.produces[session.paidProduces]
            if !produce.hasFailed {
                if let time = session.quota?.produce?.wait(now: now) {
                    throttle(session, until: time)
                    return false
                }
                session.quota?.produce?.charge(produce.byteCount, now: now)
            }
            session.paidProduces += 1
        }
        return true
    }

    /// Posts the pulls that wait, in order, as far as there is memory, room and quota.
    func resume(_ session: Session) {
        // Behind those that wait for memory.
        guard stalled.isEmpty else { return stall(session) }
        while true {
            switch pullNext(session) {
            case .posted: continue
            case .noMemory: return stall(session)
            case .nothing: return
            }
        }
    }

    private enum PullOutcome {
        case posted, noMemory
        /// Nothing is announced, or something else calls again: room, the quota's time, the end.
        case nothing
    }

    private func pullNext(_ session: Session) -> PullOutcome {
        for index in session.produces.indices {
            guard case .announced(let remote) = session.produces[index].state else { continue }
            guard isPaid(session, index) else { return .nothing }
            let byteCount = session.produces[index].byteCount
            guard let offset = landingRun(byteCount) else { return .noMemory }
            let token = nextToken
            let slice = LocalSlice(region: region, offset: offset, count: byteCount)
            guard fabric.read(on: session.connection, from: remote, into: slice, token: token) == .posted else {
                // When it is full, .writable calls again.
                landing.free(offset: offset, byteCount: byteCount)
                return .nothing
            }
            nextToken += 1
            transfers[token] = .pull(session, offset: offset, byteCount: byteCount)
            session.produces[index].state = .pulling
            session.produces[index].token = token
            return .posted
        }
        return .nothing
    }

    /// Memory for a batch to land in, from the oldest hot ones when need be.
    private func landingRun(_ byteCount: Int) -> Int? {
        while true {
            if let offset = landing.allocate(byteCount) { return offset }
            guard let run = hot.evictOldest() else { return nil }
            landing.free(offset: run.offset, byteCount: run.byteCount)
        }
    }

    private func stall(_ session: Session) {
        if !stalled.contains(where: { $0 === session }) { stalled.append(session) }
    }

    /// Called each turn: memory may have come back. A batch for each session, round after round.
    func resumeStalled() {
        var queue = stalled
        stalled.removeAll(keepingCapacity: true)
        var next = 0
        while next < queue.count {
            let session = queue[next]
            switch pullNext(session) {
            case .posted: queue.append(session)
            case .noMemory:
                stalled += queue[next...]
                return
            case .nothing: break
            }
            next += 1
        }
    }

    func pulled(_ session: Session, token: UInt64, offset: Int, byteCount: Int, _ status: TransferStatus) {
        guard sessionsByNumber[session.number] != nil,
            let index = session.produces.firstIndex(where: { $0.token == token })
        else { return landing.free(offset: offset, byteCount: byteCount) }
        counters.pulledBatches += 1
        if status == .success {
            session.produces[index].state = .landed
            session.produces[index].offset = offset
        } else {
            landing.free(offset: offset, byteCount: byteCount)
            session.produces[index].state = .failed(.corruptMessage)
            if status == .remoteAccessError {
                // Over verbs the connection is gone with it; here it must not depend on the fabric.
                end(session.connection, "announced memory that cannot be read")
            }
        }
        stageLanded(session)
    }

    /// Hands the batches at the front that have landed to the broker: in announced order.
    func stageLanded(_ session: Session) {
        var done = 0
        loop: for index in session.produces.indices {
            var produce = session.produces[index]
            let bytes: UnsafeMutableRawBufferPointer
            switch produce.state {
            case .announced, .pulling: break loop
            case .failed(let error):
                broker.refuse(origin(session, produce.requestID), error)
                counters.refusedBatches += 1
                done += 1
                continue
            case .landed:
                unsafe bytes = UnsafeMutableRawBufferPointer(
                    rebasing: memory.bytes[produce.offset..<produce.offset + produce.byteCount])
                stagedRuns.append((produce.offset, produce.byteCount))
            case .eager(let message, let batch):
                guard isPaid(session, index) else { break loop }
                // Kept where consumers are served from: for so few bytes a copy costs less than reading them from the
                // file. Not while others wait for memory.
                if stalled.isEmpty, let offset = landingRun(batch.count) {
                    unsafe bytes = UnsafeMutableRawBufferPointer(
                        rebasing: memory.bytes[offset..<offset + batch.count])
                    unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(batch))
                    fabric.release(message)
                    produce.offset = offset
                    stagedRuns.append((offset, batch.count))
                } else {
                    unsafe bytes = unsafe batch
                    stagedMessages.append(message)
                }
            }
            done += 1
            unsafe stage(bytes, produce, session)
        }
        session.produces.removeFirst(done)
        session.paidProduces = max(0, session.paidProduces - done)
    }

    private func stage(_ bytes: UnsafeMutableRawBufferPointer, _ produce: PendingProduce, _ session: Session) {
        let origin = origin(session, produce.requestID)
        guard let partition = broker.partition(produce.partition) else {
            counters.refusedBatches += 1
            return broker.refuse(origin, .unknownTopicOrPartition)
        }
        guard !partition.isInternal else {
            counters.refusedBatches += 1
            return broker.refuse(origin, .invalidTopic)
        }
        do throws(RecordBatchError) {
            unsafe try check(UnsafeRawBufferPointer(bytes), partition)
            unsafe broker.stage(
                ProducedBatch(bytes: bytes, origin: origin, memory: produce.offset >= 0 ? produce.offset : nil),
                in: partition)
        } catch {
            counters.refusedBatches += 1
            say(.warning, "batch refused", session.metadata("\(error)"))
            broker.refuse(origin, Self.code(of: error))
        }
    }

    private func check(_ batch: UnsafeRawBufferPointer, _ partition: Partition) throws(RecordBatchError) {
        _ = unsafe try RecordBatch.validate(batch, bytesMax: batchBytesMax(partition))
        let isCompacted = partition.log.options.cleanupPolicy.contains(.compact)
        let keyless: [Int32]
        if let inspector {
            inspector.beginRequest()
            keyless = unsafe try inspector.inspect(batch)
        } else if isCompacted {
            keyless = unsafe try RecordBatch.keylessRecords(batch)
        } else {
            return
        }
        guard !isCompacted || keyless.isEmpty else {
            throw RecordBatchError(
                .missingKey, "\(partition.topic) is compacted, and record \(keyless[0]) of the batch has no key")
        }
    }

    private static func code(of error: RecordBatchError) -> ErrorCode {
        switch error.code {
        case .tooLarge: .messageTooLarge
        case .malformedRecord, .missingKey: .invalidRecord
        case .noMemory: .storageError
        case .unsupportedCompression: .unsupportedCompressionType
        default: .corruptMessage
        }
    }

    func batchesWritten(_ appended: [AppendedBatch]) {
        for batch in appended {
            hot.insert(
                batch.partition, base: batch.base, next: batch.next, unit: landing.unit(at: batch.memory),
                offset: batch.memory, byteCount: batch.byteCount)
        }
        for run in stagedRuns where !hot.holds(landing.unit(at: run.offset)) {
            landing.free(offset: run.offset, byteCount: run.byteCount)
        }
        stagedRuns.removeAll(keepingCapacity: true)
        for message in stagedMessages { fabric.release(message) }
        stagedMessages.removeAll(keepingCapacity: true)
    }

    func deliver(_ acks: [(origin: ProduceOrigin, ack: ProduceAck)], readable: [Partition]) -> Bool {
        for partition in readable {
            guard let readers = readers[partition.address] else { continue }
            for reader in readers.values { reader.session.makeReady(reader) }
        }
        for (origin, ack) in acks { sessionsByNumber[origin.session]?.acks.append(ack) }
        // Each turn begins with another one, for whoever comes first finds the most memory: with the one that found
        // none.
        var hasMore = false
        firstServed = nextServed.flatMap { number in order.firstIndex { $0.number == number } } ?? firstServed &+ 1
        nextServed = nil
        // Somebody waits for what is pushed; who produced it has more to do meanwhile.
        for place in order.indices {
            let session = order[(firstServed &+ place) % order.count]
            if session.mayPush, push(session) { hasMore = true }
        }
        for session in order where !session.acks.isEmpty && session.answers.isEmpty { sendAcks(session) }
        fabric.flush()
        return hasMore
    }

    /// Many acknowledgements travel in one message.
    func sendAcks(_ session: Session) {
        while !session.acks.isEmpty {
            var count = 0
            let result = unsafe fabric.send(on: session.connection) { buffer in
                let encoded = unsafe Response.encodeAcks(session.acks[...], into: buffer)
                count = encoded.count
                return encoded.byteCount
            }
            guard result == .posted else { return }
            session.acks.removeFirst(count)
            // Only now may the client announce more: what waits here is bounded by what it may have in flight.
            session.producesInFlight -= count
        }
    }
}
