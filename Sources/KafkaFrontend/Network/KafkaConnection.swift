internal import Glibc
internal import KafkaProtocol
internal import Logging
internal import NIOCore

/// A client's connection: cuts what comes into requests, hands them to the reactor, and sends the answers in the order
/// of the requests.
///
/// It reads on only while it can take a request: fewer than 16 wait for answers, what was answered is on its way,
/// memory is there, the reactor has served enough of all that was handed to it, and no quota mutes it. So nothing piles
/// up but what the kernel holds.
/// - Threading: its event loop (``NetworkLoop``).
final class KafkaConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = IOData

    let number: UInt64
    let loop: NetworkLoop
    let host: String
    private let isSecured: Bool
    let receiver: FrameReceiver
    private(set) var context: ChannelHandlerContext?
    var ring = AnswerRing()
    private let writer: AnswerWriter
    var authentication: Authentication
    var saslMechanism = ""
    /// Kafka's name for who it is.
    var principal = "User:ANONYMOUS"

    /// The channel asked for more to be read, and was put off.
    private var hasPendingRead = false
    private var waitsForMemory = false
    private var gate = RequestGate()
    private var isSettling = false
    private var mustSettleAgain = false
    /// It has had its turn, and goes on in another one.
    private var isResting = false
    private var muted: (until: NIODeadline, end: Scheduled<Void>)?
    /// The reactor knows the connection.
    private var isOpened = false
    private(set) var isClosing = false
    /// It is closed when the answers are sent.
    var isEnding = false
    /// The peer sends no more.
    private var inputIsClosed = false
    /// Something came: with TLS, that has been agreed on.
    private var hasReceived = false
    /// What ``HeldBytes`` know of answers that the client does not take, and of what it sent before the end.
    private var knownUnread = 0
    private var knownKept = 0
    /// As the client calls itself; for the log.
    var clientID = ""

    /// How often one turn sends answers and takes requests: 16 each time at most.
    private static let roundsMax = 16

    private let openedAt: NIODeadline
    /// When something came or was sent last.
    private var activeAt: NIODeadline
    /// When the request that is arriving got its memory, and how much of it was there when that was looked at last.
    private var arriving: (since: NIODeadline, received: Int)?

    init(
        number: UInt64, loop: NetworkLoop, host: String, receiver: FrameReceiver, isSecured: Bool, users: UserStore?
    ) {
        self.number = number
        self.loop = loop
        self.host = host
        self.receiver = receiver
        self.isSecured = isSecured
        // TLS takes no ranges of files.
        writer = AnswerWriter(isZeroCopy: loop.limits.isZeroCopy && !isSecured, counters: loop.counters)
        authentication = users.map { .handshakeAwaited($0) } ?? .notAsked
        openedAt = loop.now
        activeAt = loop.now
    }

    // MARK: What the channel says

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        // Of one that never became active nobody else says so.
        loop.forget(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        loop.forget(self)
        muted?.end.cancel()
        if waitsForMemory { loop.pool.cancel(number) }
        receiver.giveUp()
        loop.kept.set(0, known: &knownKept, of: number, on: loop)
        loop.unread.set(0, known: &knownUnread, of: number, on: loop)
        if isOpened { loop.add(KafkaCommand(connection: number, number: 0, version: 0, body: .closed)) }
        loop.handOver()
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        if canTakeRequest, !inputIsClosed, !isResting { context.read() } else { hasPendingRead = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        activeAt = loop.now
        hasReceived = true
        let isInPlace = unsafe buffer.withUnsafeReadableBytes { bytes in
            let isInPlace = unsafe receiver.landed(bytes)
            unsafe take(isInPlace ? UnsafeRawBufferPointer(start: nil, count: 0) : bytes)
            return isInPlace
        }
        if !isInPlace { receiver.scratch.giveBack(buffer) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        settle()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        activeAt = loop.now
        settle()
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // As in Kafka, whoever ends the connection gets no answers any more; but what was sent before counts.
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            inputIsClosed = true
            settle()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The peer's reset, for instance: the channel is closed, nobody needs to know why.
        loop.log.debug("kafka connection failed", metadata: ["peer": "\(host)", "why": "\(error)"])
        close()
    }

    // MARK: Requests

    var canTakeRequest: Bool {
        guard let context, !isClosing, !isEnding else { return false }
        if case .checking = authentication { return false }
        return !ring.isFull && writer.isEmpty && context.channel.isWritable && !waitsForMemory && !gate.isShut
            && muted == nil
    }

    /// Handles what was received, in order; keeps what cannot be handled now.
    private func take(_ bytes: UnsafeRawBufferPointer) {
        var rest = unsafe bytes
        // What is received with a request lies in its memory.
        var last: ReceivedFrame?
        defer { withExtendedLifetime(last) {} }
        if !receiver.hasKept, unsafe handle(&rest, &last) == .all { return }
        guard !isClosing else { return }
        unsafe receiver.keep(rest)
        loop.kept.set(receiver.keptBytes, known: &knownKept, of: number, on: loop)
    }

    /// The same of what was kept. When the peer has ended the connection, SwiftNIO reads all that it has sent: that may
    /// be much, and has a limit for all connections.
    private func takeKept() {
        unsafe receiver.withKept { rest in
            var last: ReceivedFrame?
            _ = unsafe handle(&rest, &last)
        }
    }

    private enum Handled { case all, notAll }

    /// Handles requests off the front of `rest` while it can.
    /// - Parameter last: The last of them that has memory: `rest` may lie in it.
    /// - Returns: whether all was taken in that there is.
    private func handle(_ rest: inout UnsafeRawBufferPointer, _ last: inout ReceivedFrame?) -> Handled {
        while canTakeRequest {
            do throws(WireError) {
                if let next = unsafe try receiver.next(&rest),
                    !gate.admits(next, isAlone: ring.isEmpty, of: number, on: loop)
                {
                    break
                }
                switch unsafe try receiver.step(&rest) {
                case .incomplete: return .all
                case .passing(let request): unsafe try handle(request, nil)
                case .received(let frame):
                    arriving = nil
                    unsafe try handle(UnsafeRawBufferPointer(frame.bytes), frame)
                    last = frame
                case .needsMemory(let count): needMemory(count)
                }
            } catch {
                refuse("\(error)")
            }
        }
        return .notAll
    }

    func roomIsThere(_ lane: RequestLane) {
        gate.open(lane)
        settle()
    }

    private func needMemory(_ count: Int) {
        waitsForMemory = true
        let memory = loop.pool.take(count, ticket: number) {
            { [loop, number] memory in loop.eventLoop.execute { loop.memoryIsThere(memory, for: number) } }
        }
        if let memory { begin(memory) }
    }

    /// Memory for the request that waits for it.
    func begin(_ memory: FrameMemory) {
        waitsForMemory = false
        arriving = (loop.now, 0)
        receiver.begin(memory)
    }

    /// Hands a request to the reactor.
    /// - Parameter share: What it takes until it is served.
    func hand(_ body: KafkaCommand.Body, version: Int16, correlationID: Int32, share: RequestShare) {
        if !isOpened {
            isOpened = true
            let peer = KafkaCommand.Peer(loop: loop.index, host: host, principal: principal)
            loop.add(KafkaCommand(connection: number, number: 0, version: 0, body: .opened(peer)))
        }
        let request = ring.add(version: version, correlationID: correlationID)
        loop.add(
            KafkaCommand(connection: number, number: request, version: version, body: body, share: share))
    }

    // MARK: Answers

    /// Takes an answer in; ``settle()`` sends it.
    func take(_ answer: KafkaAnswer) {
        if case .close(let reason) = answer.body { return refuse(reason) }
        if let slot = ring.waiting(answer.number) {
            do throws(WireError) {
                ring.fill(answer.number, try Self.encode(answer.body, for: slot))
            } catch {
                return refuse("\(error)")
            }
        } else {
            loop.log.error("an answer to no request", metadata: ["peer": "\(host)", "number": "\(answer.number)"])
        }
        if answer.throttleMilliseconds > 0 { mute(.milliseconds(Int64(answer.throttleMilliseconds))) }
    }

    private func mute(_ time: TimeAmount) {
        let until = NIODeadline.now() + time
        if let muted, muted.until >= until { return }
        muted?.end.cancel()
        let end = loop.eventLoop.scheduleTask(in: time) { [loop, number] in
            guard let connection = loop.connections[number] else { return }
            connection.muted = nil
            connection.settle()
        }
        muted = (until, end)
    }

    /// Goes on with whatever can go on: sends, handles what was kept, reads.
    func settle() {
        guard !isSettling else {
            mustSettleAgain = true
            return
        }
        isSettling = true
        var (rounds, mustGoOn) = (0, true)
        while mustGoOn, rounds < Self.roundsMax {
            rounds += 1
            mustSettleAgain = false
            send()
            if ring.isEmpty { gate.openToShort() }
            if receiver.hasMore, canTakeRequest { takeKept() }
            mustGoOn = !isClosing && (mustSettleAgain || ring.isReady && !writer.isFull)
        }
        isSettling = false
        sayWhatIsHeld()
        loop.handOver()
        if mustGoOn { return rest() }
        if inputIsClosed, !receiver.hasMore { close() }
        guard hasPendingRead, canTakeRequest, !inputIsClosed, !isResting, let context else { return }
        hasPendingRead = false
        context.read()
    }

    /// Goes on when the loop's other connections have had their turn. SwiftNIO looks at no socket while there are tasks
    /// that are due, those of tasks included: so this one is due a moment later.
    private func rest() {
        guard !isResting else { return }
        isResting = true
        loop.eventLoop.scheduleTask(in: .microseconds(20)) { [loop, number] in
            guard let connection = loop.connections[number] else { return }
            connection.isResting = false
            connection.settle()
        }
    }

    private func sayWhatIsHeld() {
        guard !isClosing else { return }
        // What SwiftNIO still has of them is little while it takes more.
        let handed = context?.channel.isWritable == true ? 0 : writer.handedBytes
        let unread = ring.byteCount + writer.byteCount + handed
        loop.unread.set(unread, known: &knownUnread, of: number, on: loop)
        loop.kept.set(receiver.keptBytes, known: &knownKept, of: number, on: loop)
    }

    private func send() {
        // No more than is soon written.
        while !isClosing, !writer.isFull, let answer = ring.takeReady() {
            switch answer {
            case .frame(let bytes): writer.add(bytes)
            case .fetch(let frame, let ranges): writer.add(frame, ranges: ranges)
            }
        }
        guard let context, !isClosing else { return }
        if isEnding, ring.isEmpty, writer.isEmpty { return end(context) }
        guard !writer.isEmpty else { return }
        do {
            if try writer.write(to: context) {
                activeAt = loop.now
                // What goes by sendfile is to wake the client once, not once for its header and again for its pages.
                let corks = writer.hasWrittenRange
                if corks { cork(context, true) }
                context.flush()
                if corks { cork(context, false) }
                if isEnding { mustSettleAgain = true }
            }
        } catch {
            refuse("\(error)")
        }
    }

    /// Without it the client is only woken more often; so whether it can be set does not matter.
    private func cork(_ context: ChannelHandlerContext, _ isOn: Bool) {
        try? context.channel.syncOptions?.setOption(.tcpOption(.init(rawValue: TCP_CORK)), value: isOn ? 1 : 0)
    }

    /// Closes when everything is written.
    private func end(_ context: ChannelHandlerContext) {
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { [loop, number] _ in loop.connections[number]?.close() }
        context.writeAndFlush(NIOAny(IOData.byteBuffer(ByteBuffer())), promise: written)
    }

    // MARK: Ends

    /// Closes the connection for what came over it, and says so.
    func refuse(_ reason: String) {
        guard !isClosing else { return }
        loop.counters.protocolErrors.count()
        loop.say(
            "kafka connection closed",
            ["peer": "\(host)", "client": "\(clientID.logged)", "why": "\(reason.logged)"])
        close()
    }

    func close() {
        isClosing = true
        context?.close(promise: nil)
    }

    /// Looks at the clock: who asks nothing, or holds memory and sends nothing, is closed.
    func checkTime(_ limits: NetworkConfiguration) {
        let now = loop.now
        let authentication = TimeAmount.milliseconds(limits.authenticationTimeoutMilliseconds)
        if !self.authentication.isOver || !hasReceived && isSecured, now - openedAt >= authentication {
            return timeOut("did not say who it is in \(authentication.text)")
        }
        let idle = TimeAmount.milliseconds(limits.connectionsMaxIdleMilliseconds)
        let takesAnswers = writer.isEmpty && context?.channel.isWritable == true
        if now - activeAt >= idle, ring.isEmpty || !takesAnswers { return timeOut("idle for \(idle.text)") }
        let timeout = TimeAmount.milliseconds(limits.requestTimeoutMilliseconds)
        guard let request = receiver.arriving, let before = arriving, now - before.since >= timeout else { return }
        // Who is not read from because of us, for answers that it would take or a quota, is not late.
        let isOurs = takesAnswers && (ring.isFull || gate.isShut || muted != nil)
        if !isOurs, request.received == before.received || loop.pool.waiterCount > 0 {
            return timeOut("\(request.received) of \(request.count) bytes of a request after \(timeout.text)")
        }
        arriving = (now, request.received)
    }

    private func timeOut(_ reason: String) {
        loop.counters.timeouts.count()
        loop.say(
            "kafka connection timed out", ["peer": "\(host)", "client": "\(clientID.logged)", "why": "\(reason)"])
        close()
    }
}

extension TimeAmount {
    fileprivate var text: String { "\(nanoseconds / 1_000_000) ms" }
}
