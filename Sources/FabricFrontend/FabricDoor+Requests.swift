internal import BrokerCore
internal import Logging
internal import RDMATransport
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// Requests that are answered at once.
extension FabricDoor {
    func serve(_ request: Request, id: UInt32, _ session: Session) throws(FrameError) {
        guard session.version >= request.oldestVersion else {
            let text = "the connection speaks version \(session.version), this request needs \(request.oldestVersion)"
            return answer(session, id, BrokerError(.unsupportedVersion, text))
        }
        switch request {
        case .createTopic(let name, let partitions, let configs):
            stage(
                .create(TopicCreation(name, partitions: Int(partitions), configs: configs)), session, id,
                "topic created", ["topic": "\(name)", "partitions": "\(partitions)"])
        case .deleteTopic(let name): stage(.delete(name), session, id, "topic deleted", ["topic": "\(name)"])
        case .listTopics(let after):
            let list = broker.listTopics(after: after, limit: 256)
            answer(session, id) { list.encode(into: &$0) }
        case .describeTopic(let name, let first):
            do throws(BrokerError) {
                let description = try broker.describeTopic(name, firstPartition: first)
                answer(session, id) { description.encode(into: &$0) }
            } catch {
                answer(session, id, error)
            }
        case .allocateProducerID:
            do throws(BrokerError) {
                let producer = try broker.allocateProducerID()
                answer(session, id) { writer in
                    writer.integer(producer)
                    writer.integer(Int16(0))
                }
            } catch {
                answer(session, id, error)
            }
        case .produce(let partition, let byteCount, let key, let address):
            try announce(session, id, partition, Int(byteCount), RemoteSlice(key: key, address: address))
        case .produceEager: preconditionFailure("handled by receive")
        case .openRing(let key, let address, let byteCount):
            openRing(session, id, RemoteRegion(key: key, address: address, byteCount: byteCount))
        case .subscribe(let partition, let offset, let isolation):
            do throws(BrokerError) {
                let start = try subscribe(session, partition, offset, isReadCommitted: isolation == .readCommitted)
                // The effective start, so that a consumer of "latest" knows it.
                answer(session, id) { $0.integer(start.rawValue) }
            } catch {
                answer(session, id, error)
            }
        case .unsubscribe(let partition):
            unsubscribe(session, partition)
            answer(session, id) { _ in }
        case .ringCredit(let position):
            guard let ring = session.ring, position >= ring.released, position <= ring.written,
                position % UInt64(RingEntry.alignment) == 0
            else { throw FrameError("ring credit \(position), which was not written") }
            session.ring!.released = position
            session.mayPush = true
        case .group(let request): serve(request, id: id, session)
        case .admin(let request): serve(request, id: id, session)
        }
    }

    private func openRing(_ session: Session, _ id: UInt32, _ remote: RemoteRegion) {
        guard session.ring == nil else {
            return answer(session, id, BrokerError(.invalidRequest, "the connection has a ring already"))
        }
        guard remote.byteCount >= 4096, remote.byteCount <= limits.ringBytesMax,
            remote.byteCount % UInt64(RingEntry.alignment) == 0,
            remote.address.addingReportingOverflow(remote.byteCount).overflow == false
        else {
            let text =
                "a ring has 4096 to \(limits.ringBytesMax) bytes (--ring-bytes-max), a multiple of 64; this one "
                + "\(remote.byteCount)"
            return answer(session, id, BrokerError(.invalidRequest, text))
        }
        session.ring = Ring(remote: remote)
        answer(session, id) { _ in }
    }

    /// - Returns: Where reading begins.
    private func subscribe(
        _ session: Session, _ address: PartitionAddress, _ offset: Int64, isReadCommitted: Bool
    ) throws(BrokerError) -> Offset {
        guard let partition = broker.partition(address) else {
            throw BrokerError(.unknownTopicOrPartition, "there is no \(address)")
        }
        guard session.ring != nil else { throw BrokerError(.invalidRequest, "open a ring before subscribing") }
        guard session.subscriptions[address] != nil || session.subscriptions.count < limits.subscriptionsMax else {
            let text =
                "the connection reads \(session.subscriptions.count) partitions, the limit is "
                + "\(limits.subscriptionsMax) (--subscriptions-max)"
            throw BrokerError(.limitReached, text)
        }
        let start: Offset =
            switch offset {
            case -1: isReadCommitted ? try broker.lastStableOffset(of: partition) : partition.highWatermark
            case -2: partition.log.logStartOffset
            default: Offset(max(offset, 0))
            }
        guard offset >= -2, start >= partition.log.logStartOffset, start <= partition.highWatermark else {
            let range = "\(partition.log.logStartOffset)...\(partition.highWatermark)"
            throw BrokerError(.offsetOutOfRange, "offset \(offset) of \(partition.topic) is outside \(range)")
        }
        unsubscribe(session, address)
        let subscription = Subscription(
            session: session, partition: partition, cursor: LogCursor(start), isReadCommitted: isReadCommitted)
        session.subscriptions[address] = subscription
        readers[address, default: [:]][session.number] = subscription
        session.makeReady(subscription)
        return start
    }

    /// Nothing more is pushed of a partition.
    func unsubscribe(_ session: Session, _ address: PartitionAddress) {
        guard let subscription = session.subscriptions.removeValue(forKey: address) else { return }
        readers[address]?[session.number] = nil
        if readers[address]?.isEmpty == true { readers[address] = nil }
        if subscription.isReady { session.ready.removeAll { $0 === subscription } }
    }

    func lookAtAllSubscriptions() {
        for session in order { session.subscriptions.values.forEach(session.makeReady) }
    }

    // MARK: Answers

    func answer(_ session: Session, _ id: UInt32, _ error: BrokerError) {
        unsafe post(session) {
            unsafe Response.encodeAnswer(id: id, error: error.code, text: error.description, into: $0)
        }
    }

    func answer(_ session: Session, _ id: UInt32, body: (inout FrameWriter) -> Void) {
        unsafe post(session) { unsafe Response.encodeAnswer(id: id, error: .none, text: "", into: $0, body: body) }
    }

    /// Answers with what may be longer than a frame.
    func answerLong(
        _ session: Session, _ id: UInt32, error: ErrorCode = .none, text: String = "", body: (inout FrameWriter) -> Void
    ) {
        let message = Fragments.message {
            Response.encodeAnswer(id: id, error: error, text: text, into: &$0, body: body)
        }
        guard let message else {
            let text = "the answer is longer than \(FrameLimits.messageBytesMax) bytes"
            return answer(session, id, BrokerError(.messageTooLarge, text))
        }
        keep(message, session)
        sendAnswers(session)
    }

    /// Sends a frame, or keeps it until there is room.
    func post(_ session: Session, _ encode: (UnsafeMutableRawBufferPointer) -> Int) {
        if session.answers.isEmpty {
            let result = unsafe fabric.send(on: session.connection, encode)
            if result != .full { return }
        }
        let limit = fabric.limits.messageBytesMax
        keep(
            unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                count = unsafe encode(UnsafeMutableRawBufferPointer(buffer))
            }, session)
    }

    private func keep(_ message: [UInt8], _ session: Session) {
        guard session.answers.count < Session.answersMax, session.answerBytes < Session.answerBytesMax else {
            let waiting = "\(session.answers.count) answers of \(session.answerBytes) bytes wait"
            return end(session.connection, "\(waiting): the client asks and does not listen")
        }
        session.answers.append(message)
        session.answerBytes += message.count
        answerBytes += message.count
        // Those who do not listen together take no more than this, whatever their number.
        while answerBytes > limits.answerBytesMax, let worst = order.max(by: { $0.answerBytes < $1.answerBytes }) {
            end(
                worst.connection,
                "answers of \(worst.answerBytes) bytes wait, the most of all that have more than "
                    + "\(limits.answerBytesMax): the client asks and does not listen")
            forgetAnswers(worst)
        }
    }

    func forgetAnswers(_ session: Session) {
        answerBytes -= session.answerBytes
        session.answers = []
        session.answerPosition = 0
        session.answerBytes = 0
    }

    private func sendAnswers(_ session: Session) {
        var sent = 0
        while sent < session.answers.count {
            let message = session.answers[sent]
            let result = unsafe fabric.send(on: session.connection) {
                unsafe Fragments.encode(message, from: &session.answerPosition, into: $0)
            }
            if result == .full { break }
            // Of what a connection that is ending does not take nothing is kept.
            guard result != .posted || session.answerPosition == message.count else { continue }
            session.answerPosition = 0
            session.answerBytes -= message.count
            answerBytes -= message.count
            sent += 1
        }
        session.answers.removeFirst(sent)
    }

    /// Sends what waited: answers first, then acknowledgements.
    func drainOutbox(_ session: Session) {
        sendAnswers(session)
        if session.answers.isEmpty { sendAcks(session) }
        session.mayPush = true
        resume(session)
    }
}
