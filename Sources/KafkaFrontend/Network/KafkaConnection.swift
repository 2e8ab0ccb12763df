internal import KafkaProtocol
internal import Logging
internal import NIOCore

/// A client's connection: cuts what comes into requests, hands them to the reactor, and sends the answers in the order of
/// the requests.
///
/// It reads on only while it can take a request: fewer than 16 wait for answers, what was answered is on its way, memory
/// is there, and no quota mutes it. So nothing piles up but what the kernel holds.
/// - Threading: its event loop (``NetworkLoop``).
final class KafkaConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = IOData

    let number: UInt64
    let loop: NetworkLoop
    let host: String
    let receiver: FrameReceiver
    private(set) var context: ChannelHandlerContext?
    var ring = AnswerRing()
    private var writer: AnswerWriter

    /// Received, and not to be handled before ``canTakeRequest``: the rest of one read.
    private var unhandled: [UInt8] = []
    /// The channel asked for more to be read, and was put off.
    private var hasPendingRead = false
    private var waitsForMemory = false
    private var isSettling = false
    private var mustSettleAgain = false
    private var mutedUntil: NIODeadline?
    /// The reactor knows the connection.
    private var isOpened = false
    var isClosing = false
    /// As the client calls itself; for the log.
    var clientID = ""

    private let openedAt: NIODeadline
    /// When something came or was sent last.
    private var activeAt: NIODeadline
    /// When the request that is arriving got its memory, and how much of it was there when that was looked at last.
    private var arriving: (since: NIODeadline, received: Int)?

    init(number: UInt64, loop: NetworkLoop, host: String, receiver: FrameReceiver, isZeroCopy: Bool) {
        self.number = number
        self.loop = loop
        self.host = host
        self.receiver = receiver
        writer = AnswerWriter(isZeroCopy: isZeroCopy, counters: loop.counters)
        openedAt = loop.now
        activeAt = loop.now
    }

    // MARK: What the channel says

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        loop.forget(self)
        if waitsForMemory { loop.pool.cancel(number) }
        receiver.giveUp()
        if isOpened { loop.add(KafkaCommand(connection: number, number: 0, version: 0, body: .closed)) }
        loop.handOver()
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        if canTakeRequest { context.read() } else { hasPendingRead = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        activeAt = loop.now
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

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The peer's reset, for instance: the channel is closed, nobody needs to know why.
        loop.log.debug("kafka connection failed", metadata: ["peer": "\(host)", "why": "\(error)"])
        close()
    }

    // MARK: Requests

    var canTakeRequest: Bool {
        guard let context, !isClosing else { return false }
        return !ring.isFull && writer.isEmpty && context.channel.isWritable && !waitsForMemory && mutedUntil == nil
    }

    /// Handles what was received, in order; keeps what cannot be handled now.
    private func take(_ bytes: UnsafeRawBufferPointer) {
        var rest = unsafe bytes
        // What is received with a request lies in its memory.
        var last: ReceivedFrame?
        defer { withExtendedLifetime(last) {} }
        while unhandled.isEmpty, canTakeRequest {
            do throws(WireError) {
                switch unsafe try receiver.step(&rest) {
                case .incomplete: return
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
        unsafe keep(rest)
    }

    private func keep(_ rest: UnsafeRawBufferPointer) {
        // More than a read comes only when the peer has ended the connection: SwiftNIO reads all there is then.
        guard !isClosing, unhandled.count + rest.count <= 2 * NetworkConfiguration.firstReadBytes else { return }
        unsafe unhandled.append(contentsOf: rest)
    }

    private func needMemory(_ count: Int) {
        waitsForMemory = true
        let memory = loop.pool.take(count, ticket: number) { [loop, number] memory in
            loop.eventLoop.execute { loop.memoryIsThere(memory, for: number) }
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
    func hand(_ body: KafkaCommand.Body, version: Int16, correlationID: Int32) {
        if !isOpened {
            isOpened = true
            let peer = KafkaCommand.Peer(loop: loop.index, host: host, principal: "User:ANONYMOUS")
            loop.add(KafkaCommand(connection: number, number: 0, version: 0, body: .opened(peer)))
        }
        let request = ring.add(version: version, correlationID: correlationID)
        loop.add(KafkaCommand(connection: number, number: request, version: version, body: body))
    }

    // MARK: Answers

    /// Takes an answer in; ``settle()`` sends it.
    func take(_ answer: KafkaAnswer) {
        if case .close(let reason) = answer.body { return refuse(reason) }
        if !ring.fill(answer.number, .body(answer.body)) {
            loop.log.error("an answer to no request", metadata: ["peer": "\(host)", "number": "\(answer.number)"])
        }
        if answer.throttleMilliseconds > 0 { mute(.milliseconds(Int64(answer.throttleMilliseconds))) }
    }

    private func mute(_ time: TimeAmount) {
        let end = NIODeadline.now() + time
        mutedUntil = max(mutedUntil ?? end, end)
        loop.eventLoop.scheduleTask(in: time) { [loop, number] in
            guard let connection = loop.connections[number], let end = connection.mutedUntil,
                end <= NIODeadline.now()
            else { return }
            connection.mutedUntil = nil
            connection.settle()
        }
    }

    /// Goes on with whatever can go on: sends, handles what was kept, reads.
    func settle() {
        guard !isSettling else {
            mustSettleAgain = true
            return
        }
        isSettling = true
        repeat {
            mustSettleAgain = false
            send()
            if !unhandled.isEmpty, canTakeRequest { takeKept() }
        } while !isClosing && (mustSettleAgain || ring.isReady)
        isSettling = false
        loop.handOver()
        guard hasPendingRead, canTakeRequest, let context else { return }
        hasPendingRead = false
        context.read()
    }

    private func takeKept() {
        let bytes = unhandled
        unhandled = []
        unsafe bytes.withUnsafeBytes { unsafe take($0) }
    }

    private func send() {
        while !isClosing, let slot = ring.takeReady() { encode(slot) }
        guard let context, !writer.isEmpty, !isClosing else { return }
        do {
            if try writer.write(to: context) {
                activeAt = loop.now
                context.flush()
            }
        } catch {
            refuse("\(error)")
        }
    }

    private func encode(_ slot: AnswerRing.Slot) {
        do throws(WireError) {
            switch slot.answer {
            case nil, .body(.nothing), .body(.close): break
            case .frame(let bytes): writer.add(bytes)
            case .body(.produce(let response)):
                writer.add(
                    try EncodedFrame(response, version: slot.version, correlationId: slot.correlationID).bytes)
            case .body(.fetch(let response, let ranges)):
                writer.add(
                    try EncodedFrame(response, version: slot.version, correlationId: slot.correlationID),
                    ranges: ranges)
            case .body(.response(let response)):
                writer.add(try Self.frame(response, version: slot.version, correlationID: slot.correlationID))
            }
        } catch {
            refuse("\(error)")
        }
    }

    static func frame(
        _ response: some KafkaResponse, version: Int16, correlationID: Int32
    ) throws(WireError) -> [UInt8] {
        try EncodedFrame(response, version: version, correlationId: correlationID).bytes
    }

    // MARK: Ends

    /// Closes the connection for what came over it, and says so.
    func refuse(_ reason: String) {
        guard !isClosing else { return }
        loop.counters.protocolErrors.count()
        loop.say("kafka connection closed", ["peer": "\(host)", "client": "\(clientID)", "why": "\(reason)"])
        close()
    }

    func close() {
        isClosing = true
        context?.close(promise: nil)
    }

    /// Looks at the clock: who asks nothing, or holds memory and sends nothing, is closed.
    func checkTime(_ limits: NetworkConfiguration) {
        let now = loop.now
        let idle = TimeAmount.milliseconds(limits.connectionsMaxIdleMilliseconds)
        if now - activeAt >= idle, ring.isEmpty || !writer.isEmpty { return timeOut("idle for \(idle.text)") }
        let timeout = TimeAmount.milliseconds(limits.requestTimeoutMilliseconds)
        guard let request = receiver.arriving, let before = arriving, now - before.since >= timeout else { return }
        if canTakeRequest, request.received == before.received || loop.pool.isShort {
            return timeOut("\(request.received) of \(request.count) bytes of a request after \(timeout.text)")
        }
        arriving = (now, request.received)
    }

    private func timeOut(_ reason: String) {
        loop.counters.timeouts.count()
        loop.say("kafka connection timed out", ["peer": "\(host)", "client": "\(clientID)", "why": "\(reason)"])
        close()
    }
}

extension TimeAmount {
    fileprivate var text: String { "\(nanoseconds / 1_000_000) ms" }
}
