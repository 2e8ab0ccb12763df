internal import BrokerCore
internal import Compression
internal import Logging
internal import RDMATransport
internal import Reactor
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

/// A fabric's connections, each a ``Session``: pulls what producers announce, pushes what consumers subscribe to.
///
/// The broker owns every transfer: clients never reach its memory. Memory is one arena, registered once: three
/// quarters for landing batches and keeping the youngest of them, one for pushing what is read from files.
final class FabricDoor<F: Fabric> {
    let fabric: F
    let address: String
    let number: Int
    let broker: Broker
    let log: Logger
    private let throttle = LogThrottle()
    let limits: DoorLimits
    /// Nil unless each record is to be looked at.
    let inspector: RecordInspector?
    /// Nil when clients say who they are.
    let seats: Seats?
    let memory: MemoryBlock
    let region: RegionID
    var landing: LandingArena
    var pushing: LandingArena
    /// For the headers of pushes whose batches lie elsewhere.
    var headers: LandingArena
    var hot: HotCache
    let windows: WindowCache
    var saidWindowsRefused = false
    private var polls: UInt32 = 0
    var sessions: [ConnectionID: Session] = [:]
    var sessionsByNumber: [UInt64: Session] = [:]
    /// The sessions; where among them this turn begins; and the number of the one that found no memory to push from.
    var order: [Session] = []
    var firstServed = 0
    var nextServed: UInt64?
    /// Who reads a partition, by the session's number.
    var readers: [PartitionAddress: [UInt64: Subscription]] = [:]
    /// This turn's time, in nanoseconds of the monotonic clock.
    var now: UInt64 = 0
    /// When the first session that is throttled may go on.
    private var throttledUntil = UInt64.max
    var counters = DoorCounters()
    /// What each posted transfer is, by token.
    var transfers: [UInt64: Transfer] = [:]
    var nextToken: UInt64 = 1
    /// Memory of the batches staged in this turn.
    var stagedRuns: [(offset: Int, byteCount: Int)] = []
    var stagedMessages: [ReceivedMessage] = []
    /// Bytes of answers that wait for their clients.
    var answerBytes = 0
    /// Bytes of requests that are coming in fragments, and when the first of them must be whole.
    var fragmentBytes = 0
    var fragmentsDue = UInt64.max
    /// Sessions whose requests wait for their turn, and how many requests this turn still takes.
    private var backlogged: [Session] = []
    private var requestsLeft = 0
    /// Sessions with announced produces that wait for memory or room.
    var stalled: [Session] = []
    /// Everything had been served that came before; how long there has been more since then.
    private(set) var heardUntil: UInt64 = 0
    private var busyNanoseconds: UInt64 = 0
    /// What is logged when the broker has changed something.
    var changing: [Change: [(message: Logger.Message, metadata: Logger.Metadata)]] = [:]
    private var events: [FabricEvent] = []
    private var nextSession: UInt64 = 1

    enum Transfer {
        case pull(Session, offset: Int, byteCount: Int)
        case push(Session, offset: Int, byteCount: Int)
        case hotPush(Session, header: Int, unit: Int)
        case windowPush(Session, header: Int, Window)
        /// A ring's skip entry: its memory is constant.
        case skip
    }

    /// The constant skip entry and the headers lie in front of the arenas.
    static var skipOffset: Int { 0 }
    static var headersStart: Int { 4096 }
    static var headersBytes: Int { 64 << 10 }
    static var arenaStart: Int { headersStart + headersBytes }

    init(
        fabric: F, address: String, number: Int, broker: Broker, memory: MemoryBlock, limits: DoorLimits,
        seats: Seats? = nil, log: Logger
    ) throws(FabricError) {
        self.fabric = fabric
        self.address = address
        self.number = number
        self.broker = broker
        self.log = log
        self.limits = limits
        inspector = limits.inspectsRecords ? RecordInspector() : nil
        self.seats = seats
        self.memory = memory
        region = try fabric.register(memory, access: .none)
        let unit = LandingArena.batchUnitBytes
        let bytes = unsafe (memory.bytes.count - Self.arenaStart) / unit * unit
        let forPushing = bytes / 4 / unit * unit
        pushing = LandingArena(start: Self.arenaStart, byteCount: forPushing)
        landing = LandingArena(start: Self.arenaStart + forPushing, byteCount: bytes - forPushing)
        headers = LandingArena(
            start: Self.headersStart, byteCount: Self.headersBytes, unitBytes: RingEntry.headerBytes)
        hot = HotCache(unitCount: landing.unitCount)
        windows = WindowCache(byteCountMax: limits.windowBytesMax, domain: fabric.pinningDomain)
        unsafe RingEntry.encodeSkip(into: memory.bytes)
    }

    var pollDescriptor: Int32 { fabric.pollDescriptor }
    var wakeDescriptor: Int32 { windows.wakeDescriptor }

    var nextDeadline: UInt64? {
        let next = min(throttledUntil, fragmentsDue)
        return next == .max ? nil : next
    }

    func poll(now: UInt64) -> Int {
        let before = self.now
        self.now = now
        if now >= throttledUntil { resumeThrottled() }
        if now >= fragmentsDue { giveUpLateFragments() }
        requestsLeft = limits.turnRequests
        serveBacklog()
        let count = fabric.poll(into: &events)
        for event in events { handle(event) }
        events.removeAll(keepingCapacity: true)
        if !stalled.isEmpty { resumeStalled() }
        takeWindows()
        polls &+= 1
        if polls & 0xfff == 0 { dropIdleWindows() }
        noteHeard(since: before, isQuiet: count == 0)
        return count
    }

    /// While there is always more, a second of turns is enough to have heard of everybody; what one long turn kept
    /// waiting counts as one short turn.
    private func noteHeard(since before: UInt64, isQuiet: Bool) {
        busyNanoseconds += min(now - min(now, before), 10_000_000)
        guard isQuiet && backlogged.isEmpty || busyNanoseconds >= 1_000_000_000 else { return }
        busyNanoseconds = 0
        heardUntil = now
    }

    /// A session waits for its client's quota.
    func throttle(_ session: Session, until time: UInt64) {
        if !session.isThrottled { counters.throttles += 1 }
        session.isThrottled = true
        throttledUntil = min(throttledUntil, time)
    }

    /// Those whose time has not come are throttled again.
    private func resumeThrottled() {
        throttledUntil = .max
        for session in order where session.isThrottled {
            session.isThrottled = false
            session.mayPush = true
            resume(session)
            stageLanded(session)
        }
    }

    func prepareToSleep() -> Bool {
        dropIdleWindows()
        // WRITEs give memory back: that matters when somebody waits for it.
        return backlogged.isEmpty && fabric.prepareToSleep(awaitingWrites: !stalled.isEmpty || nextServed != nil)
    }

    func shutdown() {
        for session in sessions.values { fabric.disconnect(session.connection) }
        fabric.shutdown()
        windows.stop()
        sessions = [:]
        sessionsByNumber = [:]
        order = []
    }

    // MARK: Events

    private func handle(_ event: FabricEvent) {
        switch event {
        case .requested(let id): admit(id)
        case .established(let id): if let session = sessions[id] { say(.info, "connected", session.metadata) }
        case .rejected: break
        case .received(let message): receive(message)
        case .immediate(let id, _): end(id, "an immediate value, which clients do not send")
        case .completed(_, let token, let status): completed(token, status)
        case .writable(let id): if let session = sessions[id] { drainOutbox(session) }
        case .disconnected(let id, let reason): remove(id, reason)
        }
    }

    private func admit(_ id: ConnectionID) {
        let seat = seats.map { _ in Seats.name(fabric.listener(of: id)) }
        let peer = (seat.map { "\($0), " } ?? "") + fabric.peerDescription(of: id)
        let hello = fabric.privateData(of: id)
        var answer = Handshake.answer(hello: hello)
        if sessions.count >= limits.connectionsMax, case .success = answer {
            answer = .failure(.init(error: .limitReached, text: "full at \(sessions.count) (--max-connections)"))
        }
        if let seats, case .success = answer, order.count(where: { $0.seat == seat }) >= seats.connectionsMax {
            answer = .failure(.init(error: .limitReached, text: "full (--max-connections-per-seat)"))
        }
        switch answer {
        case .failure(let refusal):
            say(.warning, "connection refused", ["peer": "\(peer)", "why": "\(refusal.text)"])
            if refusal.error != .limitReached { counters.protocolErrors += 1 }
            fabric.reject(id, privateData: Handshake.refusal(refusal))
        case .success(let version):
            let welcome = Handshake.Welcome(
                version: version, batchBytesMax: limits.batchBytesMax, producesInFlightMax: limits.producesInFlightMax)
            do throws(FabricError) {
                try fabric.accept(id, privateData: Handshake.welcome(welcome))
            } catch {
                say(.error, "cannot accept a connection", ["peer": "\(peer)", "why": "\(error)"])
                return
            }
            let quotas = broker.quotas
            let session = Session(
                connection: id, number: nextSession, peer: peer, seat: seat, version: version,
                quota: seat.map { quotas.seat($0) } ?? quotas.client(Handshake.clientID(hello: hello), now: now))
            nextSession += 1
            sessions[id] = session
            sessionsByNumber[session.number] = session
            order.append(session)
            counters.connections += 1
        }
    }

    private func receive(_ message: ReceivedMessage) {
        guard let session = sessions[message.connection] else { return fabric.release(message) }
        if session.backlog.isEmpty {
            if takes(message) { return serve(message, session) }
            backlogged.append(session)
        }
        session.backlog.append(message)
    }

    /// Whether a message is served in this turn: of those that are not about data only so many are, for who floods the
    /// broker with them must not hold up the others.
    private func takes(_ message: ReceivedMessage) -> Bool {
        let frame = unsafe fabric.bytes(of: message)
        if let type = unsafe frame.first, Request.isAboutData(type: type) { return true }
        guard requestsLeft > 0 else { return false }
        requestsLeft -= 1
        return true
    }

    /// A message of each session, round after round.
    private func serveBacklog() {
        guard !backlogged.isEmpty else { return }
        var queue = backlogged
        backlogged.removeAll(keepingCapacity: true)
        var next = 0
        while next < queue.count, let message = queue[next].backlog.first, takes(message) {
            let session = queue[next]
            session.backlog.removeFirst()
            serve(message, session)
            if !session.backlog.isEmpty { queue.append(session) }
            next += 1
        }
        backlogged += queue[next...]
    }

    private func serve(_ message: ReceivedMessage, _ session: Session) {
        // Nothing after what broke the protocol can be trusted.
        guard !session.isEnding else { return fabric.release(message) }
        do throws(FrameError) {
            let frame = unsafe fabric.bytes(of: message)
            if session.version >= 2, unsafe session.fragments.isPart(UnsafeRawBufferPointer(frame)) {
                unsafe try takeFragment(frame, session)
                return fabric.release(message)
            }
            let (id, request) = unsafe try Request.parse(frame)
            if case .produceEager(let partition, let batch) = request {
                // Its buffer is held until the batch has been written.
                return unsafe try announceEager(session, id, partition, batch, message)
            }
            try serve(request, id: id, session)
        } catch {
            end(message.connection, error.description)
        }
        fabric.release(message)
    }

    private func completed(_ token: UInt64, _ status: TransferStatus) {
        switch transfers.removeValue(forKey: token) {
        case .pull(let session, let offset, let byteCount):
            pulled(session, token: token, offset: offset, byteCount: byteCount, status)
        case .push(let session, let offset, let byteCount):
            pushing.free(offset: offset, byteCount: byteCount)
            session.mayPush = true
        case .hotPush(let session, let header, let unit):
            headers.free(offset: header, byteCount: RingEntry.headerBytes)
            hot.release(unit)
            session.mayPush = true
        case .windowPush(let session, let header, let window):
            headers.free(offset: header, byteCount: RingEntry.headerBytes)
            window.readers -= 1
            session.mayPush = true
        case .skip, nil: break
        }
    }

    /// Cuts off a client that broke the protocol.
    func end(_ id: ConnectionID, _ why: String) {
        guard let session = sessions[id], !session.isEnding else { return }
        session.isEnding = true
        counters.protocolErrors += 1
        say(.warning, "protocol error: connection closed", session.metadata(why))
        fabric.disconnect(id)
    }

    private func remove(_ id: ConnectionID, _ reason: DisconnectReason) {
        guard let session = sessions.removeValue(forKey: id) else { return }
        sessionsByNumber[session.number] = nil
        order.removeAll { $0 === session }
        stalled.removeAll { $0 === session }
        backlogged.removeAll { $0 === session }
        forgetAnswers(session)
        for message in session.backlog { fabric.release(message) }
        session.backlog = []
        fragmentBytes -= session.fragments.byteCount
        for address in Array(session.subscriptions.keys) { unsubscribe(session, address) }
        // Its transfers have all completed; what had landed and not been staged was never acknowledged.
        for produce in session.produces {
            if case .eager(let message, _) = produce.state { fabric.release(message) }
            if produce.offset >= 0 { landing.free(offset: produce.offset, byteCount: produce.byteCount) }
        }
        session.produces = []
        let level: Logger.Level = reason == .closed ? .info : .warning
        say(level, "disconnected", session.metadata("\(reason)"))
    }

    /// Logs what clients cause, now and then.
    func say(_ level: Logger.Level, _ message: Logger.Message, _ metadata: @autoclosure () -> Logger.Metadata) {
        throttle.log(log, level, now: now, message, metadata())
    }
}

extension Session {
    var metadata: Logger.Metadata { ["peer": "\(peer)", "session": "\(number)"] }
    func metadata(_ why: String) -> Logger.Metadata {
        var metadata = metadata
        metadata["why"] = "\(why)"
        return metadata
    }
}

/// What one client may ask of a door.
package struct DoorLimits: Sendable {
    /// Connections of the door (`--max-connections`).
    package var connectionsMax = 1000
    /// Partitions that one connection reads (`--subscriptions-max`).
    package var subscriptionsMax = 1024
    /// Longest batch, in bytes (`--max-message-bytes`).
    package var batchBytesMax = 1_048_588
    /// Whether each record of a batch is looked at, not only its header and checksum (`--validate-records`).
    package var inspectsRecords = false
    /// Batches announced and not acknowledged, per connection (`--in-flight-max`).
    package var producesInFlightMax = 64
    /// Shorter hot batches are pushed from there only to who has everything else: for a backlog of them one read and
    /// one WRITE of many are cheaper (measured: docs/adr/0013-hot-batches-and-windows.md).
    package var hotBacklogBytesMin = 32 << 10
    /// Bytes of answers that wait for their clients, of all connections.
    package var answerBytesMax = 64 << 20
    /// Bytes of requests that are coming in fragments, of all connections.
    package var fragmentBytesMax = 64 << 20
    /// How long such a request may take to become whole (`--fragment-timeout-ms`).
    package var fragmentTimeoutMilliseconds: UInt64 = 30_000
    /// Bytes of log files pinned at once, for pushing from them; 0 for none.
    package var windowBytesMax = 64 << 20
    /// Requests that are not about data, of all connections, before the data has its turn.
    package var turnRequests = 64
    /// Bytes pushed to one connection before the next has its turn.
    package var turnPushBytes = 1 << 20
    /// Bytes read from a log for one push.
    package var pushBytes = 256 << 10
    /// Messages on their way, per connection and direction: a power of two. For tests.
    package var messagesInFlight = FabricConfiguration.broker.messagesInFlight
    /// Longest ring that a client may open, in bytes (`--ring-bytes-max`).
    package var ringBytesMax: UInt64 = 1 << 30
    package init() {}
}
