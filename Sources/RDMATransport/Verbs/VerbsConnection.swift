internal import CVerbs

/// One connection of a ``VerbsFabric``: its queue pair, its message buffers, its credits, and what it has posted.
///
/// Each message begins with 8 bytes of the fabric's own: `kind u8 (1 message, 2 credits only) | 0 u8 | credits u16 |
/// 0 u32`. A credit is one receive that the other side has posted. Messages and immediates take one each; the last one
/// is kept for a credits-only message, so that two sides that ran dry can still tell each other.
final class VerbsConnection {
    enum State {
        case resolvingAddress, resolvingRoute, connecting
        /// Waits for the user's answer.
        case requested
        /// Accepted; the peer's confirmation, or its first message, is on the way.
        case accepting
        case established
        /// Everything posted is coming back.
        case draining
        /// Gone; kept while the user holds messages of it.
        case dead
    }

    /// What a posted work request was for.
    enum Posted {
        case message(slot: UInt32)
        case transfer(token: UInt64)
        case probe
    }

    let id: ConnectionID
    var state: State
    var privateData: [UInt8]
    var peer = "unknown peer"
    var reason = DisconnectReason.closed
    var drainDeadline: UInt64 = 0
    var owesWritable = false
    var peerMessageBytesMax = 0
    private(set) var identifier: ConnectionIdentifier?
    private var queuePair: QueuePair?
    private var region: MemoryRegion?
    /// All message buffers, the receive buffers first. Outlives the registration while messages are held.
    private var memory: MemoryBlock?
    private var memoryAddress: UInt64 = 0
    private var memoryKey: UInt32 = 0
    private let configuration: FabricConfiguration

    private var sends: SendChain
    private var receives: ReceiveChain
    /// Posted work by sequence number; the number of the oldest, and of the next.
    private var posted: [Posted]
    private var oldest: UInt32 = 0
    private var next: UInt32 = 0
    private var unsignaled = 0
    private var freeSendSlots: [UInt32]
    /// Receives posted and not completed.
    private(set) var receivesPosted = 0
    private var heldMessages = 0
    /// Messages that the peer can take.
    private(set) var credits = 0
    /// Receives posted again that the peer does not know of.
    private var owedCredits = 0

    static let header = FabricConfiguration.messageHeaderBytes
    static let signalEvery = 16

    init(id: ConnectionID, identifier: ConnectionIdentifier, state: State, configuration: FabricConfiguration)
    {
        self.id = id
        self.state = state
        self.identifier = identifier
        self.configuration = configuration
        privateData = []
        sends = SendChain(capacity: configuration.postedMax)
        receives = ReceiveChain(capacity: configuration.messagesInFlight)
        posted = Array(repeating: .message(slot: 0), count: configuration.postedMax)
        freeSendSlots = (0..<UInt32(configuration.messagesInFlight)).reversed()
    }

    /// Entries of the completion queue that the connection may need at once.
    static func completionsNeeded(_ configuration: FabricConfiguration) -> Int {
        configuration.postedMax + configuration.messagesInFlight
    }

    // MARK: Life

    /// Makes the queue pair and its buffers, and posts every receive: before the peer can send.
    func prepare(completions: CompletionQueue, domain: ProtectionDomain) throws(FabricError) {
        let bytes = 2 * configuration.messagesInFlight * configuration.messageBufferBytes
        let memory = try MemoryBlock(byteCount: bytes, name: "rdmad-messages")
        let region = try MemoryRegion(memory, access: .localWrite, in: domain)
        memoryAddress = region.address
        memoryKey = region.localKey
        self.memory = memory
        self.region = consume region
        let depths = QueuePairDepths(send: configuration.postedMax, receive: configuration.messagesInFlight)
        queuePair = try QueuePair(
            QueuePairOptions(depths: depths), on: identifier!, in: domain, sends: completions, receives: completions)
        for slot in 0..<UInt32(configuration.messagesInFlight) { appendReceive(slot) }
        guard postReceives() else {
            throw FabricError(.system, operation: "ibv_post_recv", "cannot post receives")
        }
        owedCredits = 0
    }

    /// Takes over what the peer said about itself.
    func adopt(_ greeting: TransportGreeting) {
        privateData = greeting.privateData
        credits = greeting.messagesInFlight
        peerMessageBytesMax = greeting.messageBufferBytes - Self.header
    }

    var greetingLimits: (Int, Int) { (configuration.messagesInFlight, configuration.messageBufferBytes) }

    func established() {
        state = .established
        try? queuePair?.setReceiverNotReadyTimer(code: 12)
    }

    /// Stops: everything posted comes back as flushed.
    func beginDrain() {
        state = .draining
        identifier?.disconnect()
        queuePair?.moveToError()
    }

    /// Nothing posted is outstanding but receives.
    var isIdle: Bool { oldest == next }
    var isDrained: Bool { oldest == next && receivesPosted == 0 }
    var holdsMessages: Bool { heldMessages > 0 }

    /// Destroys queue pair, registration and identifier, in that order. What never came back is completed as flushed.
    func destroy(into events: inout [FabricEvent]) {
        state = .dead
        retire(through: next, status: .flushed, into: &events)
        queuePair = nil
        region = nil
        identifier = nil
    }

    // MARK: Posting

    private var hasRoom: Bool { next &- oldest < UInt32(configuration.postedMax) }

    private func workID(_ kind: UInt64, _ number: UInt32) -> UInt64 {
        kind << 63 | UInt64(id.generation & 0x7fff) << 48 | UInt64(id.index & 0xffff) << 32 | UInt64(number)
    }

    private var buffers: UnsafeMutableRawBufferPointer { unsafe memory!.bytes }

    private func piece(buffer: Int, byteCount: Int) -> ScatterGatherElement {
        let offset = buffer * configuration.messageBufferBytes
        return ScatterGatherElement(
            address: memoryAddress + UInt64(offset), byteCount: byteCount, localKey: memoryKey)
    }

    private func append(
        _ operation: SendOperation, _ what: Posted, _ first: ScatterGatherElement?, _ second: ScatterGatherElement?
    ) {
        unsafe sends.append(operation, workID: workID(0, next), first, second)
        posted[Int(next % UInt32(posted.count))] = what
        next &+= 1
        unsignaled += 1
        if unsignaled >= Self.signalEvery {
            sends.signalLast()
            unsignaled = 0
        }
    }

    /// Queues one message. The last credit is only for messages that give credits.
    func send(isCreditsOnly: Bool, _ encode: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult {
        guard state == .established else { return .closed }
        guard hasRoom, credits > (isCreditsOnly ? 0 : 1), let slot = freeSendSlots.popLast() else {
            owesWritable = owesWritable || !isCreditsOnly
            return .full
        }
        let buffer = configuration.messagesInFlight + Int(slot)
        let start = buffer * configuration.messageBufferBytes
        let limit = min(peerMessageBytesMax + Self.header, configuration.messageBufferBytes)
        let memory = unsafe UnsafeMutableRawBufferPointer(rebasing: buffers[start..<start + limit])
        let count = unsafe encode(UnsafeMutableRawBufferPointer(rebasing: memory[Self.header...]))
        precondition(count <= limit - Self.header)
        let given = min(owedCredits, Int(UInt16.max))
        unsafe memory.storeBytes(
            of: (isCreditsOnly ? 2 : 1) | UInt64(given) << 16, as: UInt64.self)
        owedCredits -= given
        credits -= 1
        append(.send, .message(slot: slot), piece(buffer: buffer, byteCount: count + Self.header), nil)
        return .posted
    }

    func transfer(
        _ operation: SendOperation, _ first: ScatterGatherElement, _ second: ScatterGatherElement?, token: UInt64
    ) -> PostResult {
        guard state == .established else { return .closed }
        var takesCredit = false
        if case .writeWithImmediate = operation { takesCredit = true }
        guard hasRoom, !takesCredit || credits > 1 else {
            owesWritable = true
            return .full
        }
        if takesCredit { credits -= 1 }
        append(operation, .transfer(token: token), first, second)
        return .posted
    }

    /// Queues a WRITE of no bytes when nothing else is under way: the peer's device acknowledges it, its process never
    /// sees it, and it takes no credit and no memory.
    func probe() {
        guard state == .established, isIdle else { return }
        append(.write(RemoteSlice(key: 0, address: 0)), .probe, nil, nil)
    }

    /// Posts what was queued. False: the queue pair refused, and the connection must end.
    func flush(_ statistics: inout VerbsStatistics) -> Bool {
        guard state == .established || state == .accepting, queuePair != nil else { return true }
        guard postReceives() else { return false }
        if owedCredits * 2 >= configuration.messagesInFlight { _ = unsafe send(isCreditsOnly: true) { _ in 0 } }
        guard sends.count > 0 else { return true }
        if unsignaled > 0 {
            sends.signalLast()
            unsignaled = 0
        }
        statistics.requestsPosted += sends.count
        statistics.doorbells += 1
        return sends.post(to: queuePair!) == .posted
    }

    // MARK: Receiving

    private func appendReceive(_ slot: UInt32) {
        unsafe receives.append(
            workID: workID(1, slot), piece(buffer: Int(slot), byteCount: configuration.messageBufferBytes))
    }

    private func postReceives() -> Bool {
        let count = receives.count
        guard count > 0 else { return true }
        receivesPosted += count
        owedCredits += count
        return receives.post(to: queuePair!) == .posted
    }

    /// Gives a receive buffer back to the queue pair, at the next flush.
    func recycle(slot: UInt32) {
        guard state == .established || state == .accepting else { return }
        appendReceive(slot)
    }

    func release(_ message: ReceivedMessage) {
        heldMessages -= 1
        recycle(slot: message.slot)
    }

    func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        let start = Int(message.slot) * configuration.messageBufferBytes + Self.header
        return unsafe UnsafeMutableRawBufferPointer(rebasing: buffers[start..<start + message.byteCount])
    }

    // MARK: Completions

    /// Takes one completion of a receive. False: the peer broke the rules.
    func received(slot: UInt32, _ completion: WorkCompletion, into events: inout [FabricEvent]) -> Bool {
        receivesPosted -= 1
        guard completion.status == .success else { return true }
        guard slot < configuration.messagesInFlight else { return false }
        if let immediate = completion.immediate {
            recycle(slot: slot)
            events.append(.immediate(id, immediate))
            return true
        }
        guard completion.byteCount >= Self.header else { return false }
        let start = Int(slot) * configuration.messageBufferBytes
        let head = unsafe buffers.load(fromByteOffset: start, as: UInt64.self)
        credits += Int(UInt16(truncatingIfNeeded: head >> 16))
        guard credits <= 1 << 16 else { return false }
        switch head & 0xff {
        case 2: recycle(slot: slot)
        case 1:
            heldMessages += 1
            let count = completion.byteCount - Self.header
            events.append(.received(ReceivedMessage(connection: id, slot: slot, byteCount: count)))
        default: return false
        }
        return true
    }

    /// Takes one completion of posted work: everything before it succeeded, for a queue pair completes in order.
    func completed(sequence: UInt32, _ status: TransferStatus, into events: inout [FabricEvent]) {
        guard sequence &- oldest < next &- oldest else { return }
        retire(through: sequence, status: .success, into: &events)
        retire(through: sequence &+ 1, status: status, into: &events)
    }

    private func retire(through end: UInt32, status: TransferStatus, into events: inout [FabricEvent]) {
        while oldest != end {
            switch posted[Int(oldest % UInt32(posted.count))] {
            case .message(let slot): freeSendSlots.append(slot)
            case .transfer(let token): events.append(.completed(id, token: token, status))
            case .probe: break
            }
            oldest &+= 1
        }
    }

    /// True once there is room again after a `.full`.
    func takeWritable() -> Bool {
        guard owesWritable, state == .established, hasRoom, credits > 1, !freeSendSlots.isEmpty else { return false }
        owesWritable = false
        return true
    }
}
