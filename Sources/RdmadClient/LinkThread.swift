internal import CLinux
internal import Glibc
internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// One connection: connects, and connects again when it is lost; hands events to the agent; sleeps when nothing
/// happens. Every connection has a fabric of its own, so that nothing of a lost one is left.
///
/// "The link's thread" is whoever has the turn (`LinkTurns.swift`): a thread of its own, or a caller's.
final class Link<F: Fabric>: LinkPort, RunnableLink, @unchecked Sendable {
    // Unchecked: used with the turn only; agents get it as a parameter of calls with the turn.
    let handle: LinkHandle
    let agent: any LinkAgent
    let address: BrokerAddress
    let open: () throws(FabricError) -> (F, ConnectionID)
    let patience: LinkPatience
    var fabric: F?
    var connection: ConnectionID?
    var isEstablished = false
    /// Of the protocol, as the broker chose it.
    var version: UInt16 = 0
    private var events: [FabricEvent] = []
    var pending: [UInt32: (answer: (Result<[UInt8], ClientError>) -> Void, what: String, deadline: UInt64)] = [:]
    /// The agent's requests that found the connection full. They end with it: the agent asks again on the next one.
    var unposted: [(request: Request, answer: (Result<[UInt8], ClientError>) -> Void, deadline: UInt64)] = []
    /// Requests from other threads that found the connection full, or not there yet.
    var waiting: [LinkHandle.Call] = []
    /// The message that is being sent in fragments, and where the next one begins.
    var outgoing: (message: [UInt8], position: Int)?
    /// The message that is coming in fragments.
    var incoming = FragmentAssembler()
    private var lastID: UInt32 = 0
    var lastFailure = ClientError(.connection, "not connected yet")
    /// When the time without a useful connection began.
    var lostSince: UInt64
    var establishedAt: UInt64 = 0
    var wasEstablished = false
    /// Batches were acknowledged or came on the connection of now.
    var hasMovedData = false
    var isDropping = false
    var nextAttempt: UInt64 = 0
    var backoffNanoseconds = backoffNanosecondsMin
    private let spinNanoseconds: UInt64
    var hasEnded = false
    private var closingSince: UInt64?
    /// Its own thread has the turn.
    var isOnItsThread = false
    /// Of a connection that was lost in a caller's turn: its end takes time that callers did not ask for.
    var retired: F?
    private var lastEvent = monotonicNanoseconds()
    /// When the agent wants its next turn at the latest.
    private var deadline: UInt64?
    private var hasSlept = true
    /// The fabric had something when the sleep ended, or did not let it begin.
    private var isReadable = true

    static var backoffNanosecondsMin: UInt64 { 50_000_000 }
    static var backoffNanosecondsMax: UInt64 { 1_000_000_000 }
    /// A connection that lived so long was a good one, even if nothing was moved on it.
    static var goodLifeNanoseconds: UInt64 { 1_000_000_000 }

    /// How long a closed link may take to end.
    static var goodbyeNanoseconds: UInt64 { 5_000_000_000 }

    init(
        handle: LinkHandle, agent: any LinkAgent, address: BrokerAddress, patience: LinkPatience,
        open: @escaping () throws(FabricError) -> (F, ConnectionID)
    ) {
        self.handle = handle
        self.agent = agent
        self.address = address
        self.open = open
        self.patience = patience
        lostSince = monotonicNanoseconds()
        spinNanoseconds = sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? 20_000 : 0
    }

    /// The link's thread: runs it, or leaves that to callers while they do it often.
    func run() {
        while true {
            isOnItsThread = true
            retired?.shutdown()
            retired = nil
            var never = TimeLimit.at(.max)
            run(until: &never) {
                guard handle.isWanted.load(ordering: .relaxed), servesCallers, !hasWaiters else { return false }
                handle.isWanted.store(false, ordering: .relaxed)
                return true
            }
            isOnItsThread = false
            if hasEnded { break }
            handle.endTurn()
            handle.waitForTurn()
        }
        handle.link = nil
        handle.endTurn()
        retired?.shutdown()
        fabric?.shutdown()
        fabric = nil
    }

    /// Runs rounds, and sleeps when nothing happens for a while, until somebody is done, the time is over or the link
    /// has ended; with the turn.
    func run(until limit: inout TimeLimit, _ isDone: () -> Bool) {
        while !hasEnded {
            let now = round(at: nil)
            if limit.isReached(now) || hasEnded || isDone() { return }
            if now - lastEvent >= spinNanoseconds {
                let attempt = connection == nil ? nextAttempt : .max
                isReadable = sleep(until: min(deadline ?? .max, attempt, limit.time(now)), now)
                hasSlept = true
            } else {
                clinux_pause()
            }
        }
    }

    /// Takes what came from other threads and the fabric, and has the agent post. Does not wait; with the turn.
    @discardableResult func round(at time: UInt64?) -> UInt64 {
        guard !hasEnded else { return 0 }
        let isWoken = handle.takeNews()
        if isWoken || hasSlept, takeCalls() { closingSince = closingSince ?? monotonicNanoseconds() }
        if let closingSince, mayEnd(since: closingSince) {
            fail(.closed)
            return closingSince
        }
        let now = time ?? monotonicNanoseconds()
        // That may block; callers did not ask for it.
        if connection == nil, isOnItsThread { connect(now) }
        // What ended the sleep may have been another thread, with something to post: that goes first.
        let happened = hasSlept && !isReadable ? false : pollFabric()
        // Only then may there be something to post, or may something have expired; in between, turns would only be
        // in the callers' way.
        if happened || isWoken || hasSlept || now >= deadline ?? .max {
            postWaiting()
            deadline = agent.turn(self, now: now)
            fabric?.flush()
            expire(now)
        }
        hasSlept = false
        if happened { lastEvent = now }
        return now
    }

    var hasWaiters: Bool { agent.hasWaiters || !pending.isEmpty || !waiting.isEmpty || !unposted.isEmpty }

    var servesCallers: Bool { isEstablished && !hasEnded && closingSince == nil }

    /// Whether a link that was closed may end: the agent has said goodbye, cannot, or takes too long.
    private func mayEnd(since: UInt64) -> Bool {
        let now = monotonicNanoseconds()
        defer { fabric?.flush() }
        return !isEstablished || now - since >= Self.goodbyeNanoseconds || agent.finish(self, now: now)
    }

    // MARK: LinkPort

    var messageBytesMax: Int { fabric?.limits.messageBytesMax ?? 0 }

    var trouble: ClientError? { isEstablished ? nil : lastFailure }

    func nextRequestID() -> UInt32 {
        lastID &+= 1
        return lastID
    }

    func post(_ request: Request, id: UInt32) -> PostResult {
        guard let connection, isEstablished else { return .closed }
        if request.mayBeLong { return postLong(request, id: id, on: connection) }
        return unsafe fabric!.send(on: connection) { unsafe request.encode(id: id, into: $0) }
    }

    func ask(_ request: Request, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void) {
        ask(request, timeoutNanoseconds: LinkPatience.answerNanoseconds, answer)
    }

    func ask(
        _ request: Request, timeoutNanoseconds: UInt64, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void
    ) {
        let deadline = monotonicNanoseconds() + timeoutNanoseconds
        // Behind those that wait, so that requests keep their order.
        guard unposted.isEmpty, ask(request, deadline: deadline, answer) else {
            return unposted.append((request, answer, deadline))
        }
    }

    /// Returns false when the connection is full: ask again after `.writable`.
    private func ask(
        _ request: Request, deadline: UInt64, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void
    ) -> Bool {
        if isEstablished, request.oldestVersion > version {
            let text = "the broker speaks version \(version), this needs \(request.oldestVersion): update it"
            answer(.failure(.refused(request.name, .unsupportedVersion, text)))
            return true
        }
        let id = nextRequestID()
        switch post(request, id: id) {
        case .posted: pending[id] = (answer, request.name, deadline)
        case .full: return false
        case .refused: answer(.failure(.tooLong(request.name)))
        // It is about to be reported as lost.
        case .closed: answer(.failure(ClientError(.connection, "\(request.name): the connection has ended")))
        }
        return true
    }

    /// Posts what found the connection full, or not there.
    private func postWaiting() {
        guard isEstablished, outgoing != nil || !unposted.isEmpty || !waiting.isEmpty else { return }
        postFragments()
        // Taken out first: an answer may ask for more, or end the link, and with it the queue.
        while !unposted.isEmpty {
            let next = unposted.removeFirst()
            guard ask(next.request, deadline: next.deadline, next.answer) else { return unposted.insert(next, at: 0) }
        }
        while !waiting.isEmpty {
            let next = waiting.removeFirst()
            guard ask(next.request, deadline: next.deadline, next.answer) else { return waiting.insert(next, at: 0) }
        }
    }

    func drop(_ why: ClientError) {
        guard let connection, !isDropping else { return }
        isDropping = true
        lastFailure = why
        fabric?.disconnect(connection)
    }

    func fail(_ error: ClientError) {
        guard !hasEnded else { return }
        hasEnded = true
        let calls = handle.inbox.withLock { inbox in
            inbox.failure = error
            return inbox.calls
        }
        for call in waiting + calls { call.answer(.failure(error)) }
        waiting = []
        endRequests(error)
        agent.failed(error)
    }

    /// Answers everything that was asked on the connection of now.
    func endRequests(_ error: ClientError) {
        let answers = pending.values.map(\.answer) + unposted.map(\.answer)
        pending = [:]
        unposted = []
        for answer in answers { answer(.failure(error)) }
    }

    // MARK: Events

    /// Returns whether anything happened.
    private func pollFabric() -> Bool {
        guard let fabric else { return false }
        events.removeAll(keepingCapacity: true)
        guard fabric.poll(into: &events) > 0 else { return false }
        for event in events {
            guard self.fabric === fabric else { break }
            switch event {
            case .established: established()
            case .rejected(let id, let failure): rejected(failure, fabric, id)
            case .received(let message): receive(message, fabric)
            case .immediate(_, let value):
                hasMovedData = true
                agent.advanced(value)
            case .disconnected(_, let reason): lost(reason)
            case .writable, .completed, .requested: break
            }
        }
        return true
    }

    private func receive(_ message: ReceivedMessage, _ fabric: F) {
        defer { fabric.release(message) }
        do throws(FrameError) {
            let frame = unsafe UnsafeRawBufferPointer(fabric.bytes(of: message))
            switch unsafe try incoming.take(frame) {
            case .whole: unsafe take(try Response.parse(frame))
            case .more: break
            case .last(let message): try take(message)
            }
        } catch {
            drop(ClientError(.protocolViolation, "\(address) sent a malformed frame: \(error)"))
        }
    }

    func take(_ response: Response) {
        switch response {
        case .answer(let id, let error, let text, let body):
            guard let entry = pending.removeValue(forKey: id) else { return }
            // The one error whose answer has a body.
            let isAnswer = error == .none || error == .memberIDRequired
            entry.answer(isAnswer ? .success(unsafe Array(body)) : .failure(.refused(entry.what, error, text)))
        case .produceAcks(let acks):
            hasMovedData = true
            agent.received(acks)
        case .subscriptionEnded(let partition, let error, let offset):
            agent.ended(partition, error, offset: offset)
        }
    }

    /// Takes requests from other threads. Returns true when the link is to end.
    private func takeCalls() -> Bool {
        let (calls, isClosed, isCut) = handle.inbox.withLock { inbox in
            defer {
                inbox.calls.removeAll(keepingCapacity: true)
                inbox.isCut = false
            }
            return (inbox.calls, inbox.isClosed, inbox.isCut)
        }
        waiting += calls
        if isCut { drop(ClientError(.connection, "the connection to \(address) was cut")) }
        return isClosed
    }

    private func expire(_ now: UInt64) {
        for (id, entry) in pending where now >= entry.deadline {
            pending[id] = nil
            entry.answer(.failure(ClientError(.timeout, "\(entry.what): \(address) did not answer in time")))
        }
        // Answered when the queues are whole again: an answer may ask for more.
        let late =
            waiting.filter { now >= $0.deadline }.map(\.answer)
            + unposted.filter { now >= $0.deadline }.map(\.answer)
        guard !late.isEmpty else { return }
        waiting.removeAll { now >= $0.deadline }
        unposted.removeAll { now >= $0.deadline }
        for answer in late { answer(.failure(lastFailure)) }
    }

    /// Returns whether the fabric may have something.
    private func sleep(until deadline: UInt64, _ now: UInt64) -> Bool {
        handle.sleeps.store(true, ordering: .sequentiallyConsistent)
        defer { handle.sleeps.store(false, ordering: .sequentiallyConsistent) }
        // What came before the flag was seen by nobody's wake().
        guard !handle.hasNews, !agent.hasWork else { return true }
        guard fabric?.prepareToSleep(awaitingWrites: false) ?? true else { return true }
        var entries = [pollfd(fd: handle.wakeDescriptor, events: Int16(POLLIN), revents: 0)]
        if let fabric { entries.append(pollfd(fd: fabric.pollDescriptor, events: Int16(POLLIN), revents: 0)) }
        var timeout: UInt64 = 1000
        if deadline != .max { timeout = deadline > now ? min(timeout, (deadline - now) / 1_000_000 + 1) : 0 }
        _ = unsafe poll(&entries, nfds_t(entries.count), Int32(timeout))
        if entries[0].revents != 0 { LinkHandle.takeSignal(handle.wakeDescriptor) }
        return entries.count > 1 && entries[1].revents != 0
    }
}
