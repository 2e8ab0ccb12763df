internal import CVerbs

/// What one connection of a ``VerbsFabric`` touches per message: its chains, its message buffers, its credits, and what
/// it has posted.
///
/// Each message begins with 8 bytes of the fabric's own: `kind u8 (1 message, 2 credits only) | 0 u8 | credits u16 |
/// 0 u32`. A credit is one receive that the other side has posted. Messages and immediates take one each; the last one
/// is kept for a credits-only message, so that two sides that ran dry can still tell each other.
/// - Ownership: made and freed by its ``VerbsConnection``, which keeps the queue pair, the registration and the memory
///   of the buffers.
@unsafe struct VerbsLane: ~Copyable, @unsafe Lane {
    let id: ConnectionID
    var state: VerbsConnection.State
    var isDirty = false
    /// The longest message that the peer takes, in bytes.
    var peerMessageBytesMax = 0

    /// From ``attach(_:buffers:localKey:)`` to ``detach()``.
    private var queuePair: UnsafeMutablePointer<ibv_qp>?
    /// All message buffers, the receive buffers first. They outlive the registration while messages are held.
    private var buffers: UnsafeMutableRawPointer?
    private var localKey: UInt32 = 0
    private let bufferBytes: Int
    /// Buffers per direction.
    private let bufferCount: Int
    private let postedMax: UInt32
    /// What all work ids of the connection have in common.
    private let idBits: UInt64

    private var sends: SendChain
    private var receives: ReceiveChain
    /// Posted work by sequence number, in a ring of a power of two, since the numbers wrap around; then the number of
    /// the oldest, and of the next.
    private let posted: UnsafeMutablePointer<Posted>
    private let postedMask: UInt32
    private var oldest: UInt32
    private var next: UInt32
    /// Posted since the last request with a completion.
    private var unsignaled = 0
    /// Somebody waits for the completion of a request that is queued.
    private var owesSignal = false
    /// A stack of the free send buffers; the last used is the first taken, because it is in the cache.
    private let freeSlots: UnsafeMutablePointer<UInt32>
    private var freeSlotCount: Int
    private var receivesPosted = 0
    private var heldMessages = 0
    /// Messages that the peer can take.
    private var credits = 0
    /// Receives posted again that the peer does not know of.
    private var owedCredits = 0
    /// A `.full` was answered and `.writable` is owed.
    private var owesWritable = false
    /// Of all lanes: how many completions of sends somebody may be sleeping for.
    private let awaited: UnsafeMutablePointer<Int>

    /// What a posted work request was for.
    private enum Posted {
        case message(slot: UInt32)
        case write(token: UInt64)
        case read(token: UInt64)
        case probe
    }

    private static var header: Int { FabricConfiguration.messageHeaderBytes }
    private static var signalEvery: Int { 16 }

    /// - Parameter firstSequence: Of the first request that is posted: for tests of numbers that start anew.
    init(
        id: ConnectionID, state: VerbsConnection.State, configuration: FabricConfiguration,
        awaited: UnsafeMutablePointer<Int>, firstSequence: UInt32 = 0
    ) {
        unsafe self.id = id
        unsafe self.awaited = unsafe awaited
        unsafe self.state = state
        unsafe bufferBytes = configuration.messageBufferBytes
        unsafe bufferCount = configuration.messagesInFlight
        unsafe postedMax = UInt32(configuration.postedMax)
        unsafe idBits = UInt64(id.generation & 0x7fff) << 48 | UInt64(id.index & 0xffff) << 32
        unsafe sends = SendChain(capacity: configuration.postedMax)
        unsafe receives = ReceiveChain(capacity: configuration.messagesInFlight)
        var ring = 1
        while ring < configuration.postedMax { ring *= 2 }
        unsafe posted = .allocate(capacity: ring)
        unsafe posted.initialize(repeating: .probe, count: ring)
        unsafe postedMask = UInt32(ring - 1)
        unsafe oldest = firstSequence
        unsafe next = firstSequence
        unsafe freeSlotCount = configuration.messagesInFlight
        unsafe freeSlots = .allocate(capacity: configuration.messagesInFlight)
        for index in 0..<configuration.messagesInFlight {
            unsafe (freeSlots + index).initialize(to: UInt32(configuration.messagesInFlight - 1 - index))
        }
    }

    deinit {
        unsafe posted.deallocate()
        unsafe freeSlots.deallocate()
    }

    // MARK: Life

    /// Takes the queue pair and the buffers, and posts every receive. False: the queue pair refused.
    mutating func attach(
        _ queuePair: UnsafeMutablePointer<ibv_qp>, buffers: UnsafeMutableRawPointer, localKey: UInt32
    ) -> Bool {
        unsafe self.queuePair = unsafe queuePair
        unsafe self.buffers = unsafe buffers
        unsafe self.localKey = localKey
        for slot in unsafe 0..<bufferCount { unsafe appendReceive(UInt32(slot)) }
        guard unsafe postReceives() else { return false }
        unsafe owedCredits = 0
        return true
    }

    /// What the peer said about itself.
    mutating func adopt(credits: Int, messageBytesMax: Int) {
        unsafe self.credits = credits
        unsafe peerMessageBytesMax = messageBytesMax
    }

    /// Nothing is posted any more, nor will be: what never came back is completed as flushed. The buffers stay
    /// readable.
    mutating func detach(into events: inout [FabricEvent]) {
        unsafe retire(through: next, status: .flushed, into: &events)
        unsafe oweWritable(false)
        unsafe queuePair = nil
    }

    /// Nothing posted is outstanding but receives, and messages that complete with what comes after them.
    var isIdle: Bool { unsafe Int(next &- oldest) <= unsignaled && !owesSignal }
    var isDrained: Bool { unsafe isIdle && receivesPosted == 0 }
    var holdsMessages: Bool { unsafe heldMessages > 0 }
    /// Whether receives are posted again, and what was queued is posted.
    var isFlowing: Bool { unsafe state == .established || state == .accepting }

    // MARK: Posting

    private var hasRoom: Bool { @inline(__always) get { unsafe next &- oldest < postedMax } }

    @inline(__always) private func piece(buffer: Int, byteCount: Int) -> ScatterGatherElement {
        let address = unsafe buffers.unsafelyUnwrapped + buffer &* bufferBytes
        return unsafe ScatterGatherElement(
            address: UInt64(UInt(bitPattern: address)), byteCount: byteCount, localKey: localKey)
    }

    @inline(__always) private mutating func append(
        _ operation: SendOperation, _ what: Posted, _ first: ScatterGatherElement?, _ second: ScatterGatherElement?
    ) {
        unsafe sends.append(operation, workID: idBits | UInt64(next), first, second)
        unsafe posted[Int(next & postedMask)] = what
        unsafe next &+= 1
        unsafe unsignaled += 1
        if unsafe unsignaled >= Self.signalEvery {
            unsafe sends.signalLast()
            unsafe unsignaled = 0
        }
    }

    /// Whether a message can be queued; when not, `.writable` is owed.
    @inline(__always) mutating func reserveMessage() -> PostResult {
        guard unsafe state == .established else { return .closed }
        if unsafe hasRoom && credits > 1 && freeSlotCount > 0 { return .posted }
        unsafe oweWritable(true)
        return .full
    }

    private mutating func oweWritable(_ owes: Bool) {
        guard unsafe owes != owesWritable else { return }
        unsafe owesWritable = owes
        unsafe awaited.pointee += owes ? 1 : -1
    }

    /// The payload of the next message, as long as the peer takes it.
    var nextPayload: UnsafeMutableRawBufferPointer {
        @inline(__always) get {
            let buffer = unsafe bufferCount &+ Int(freeSlots[freeSlotCount &- 1])
            return unsafe UnsafeMutableRawBufferPointer(
                start: buffers.unsafelyUnwrapped + buffer &* bufferBytes + Self.header,
                count: min(peerMessageBytesMax, bufferBytes &- Self.header))
        }
    }

    /// Queues the message that ``nextPayload`` holds.
    @inline(__always) mutating func publish(byteCount: Int) {
        unsafe publish(kind: 1, byteCount: byteCount)
    }

    private mutating func publish(kind: UInt64, byteCount: Int) {
        unsafe freeSlotCount -= 1
        let slot = unsafe freeSlots[freeSlotCount]
        let buffer = unsafe bufferCount &+ Int(slot)
        let given = unsafe min(owedCredits, Int(UInt16.max))
        unsafe (buffers.unsafelyUnwrapped + buffer &* bufferBytes)
            .storeBytes(of: kind | UInt64(given) << 16, as: UInt64.self)
        unsafe owedCredits -= given
        unsafe credits -= 1
        unsafe append(.send, .message(slot: slot), piece(buffer: buffer, byteCount: byteCount + Self.header), nil)
        // Before room runs out: only a completion gives it back.
        if unsafe freeSlotCount &* 2 <= bufferCount || (next &- oldest) &* 2 >= postedMax { unsafe owesSignal = true }
    }

    @inline(__always) mutating func transfer(
        _ operation: SendOperation, _ first: ScatterGatherElement, _ second: ScatterGatherElement?, token: UInt64
    ) -> PostResult {
        guard unsafe state == .established else { return .closed }
        var takesCredit = false
        var what = Posted.read(token: token)
        switch operation {
        case .write: what = .write(token: token)
        case .writeWithImmediate:
            takesCredit = true
            what = .write(token: token)
        default: break
        }
        guard unsafe hasRoom && (!takesCredit || credits > 1) else {
            unsafe oweWritable(true)
            return .full
        }
        if takesCredit { unsafe credits -= 1 } else if case .read = what { unsafe awaited.pointee += 1 }
        unsafe owesSignal = true
        unsafe append(operation, what, first, second)
        return .posted
    }

    /// Queues a WRITE of no bytes when nothing else is under way: the peer's device acknowledges it, its process never
    /// sees it, and it takes no credit and no memory.
    mutating func probe() -> Bool {
        guard unsafe state == .established && isIdle else { return false }
        unsafe owesSignal = true
        unsafe awaited.pointee += 1
        unsafe append(.write(RemoteSlice(key: 0, address: 0)), .probe, nil, nil)
        return true
    }

    /// So many credits are owed that they are worth a message of their own.
    private var owesCredits: Bool { @inline(__always) get { unsafe owedCredits &* 2 >= bufferCount } }

    /// There is something for ``flush(_:)``.
    var needsFlush: Bool { @inline(__always) get { unsafe receives.count > 0 || owesCredits } }

    /// Posts what was queued. False: the queue pair refused, and the connection must end.
    @inline(__always) mutating func flush(_ statistics: inout VerbsStatistics) -> Bool {
        guard unsafe isFlowing, let queuePair = unsafe queuePair else { return true }
        guard unsafe postReceives() else { return false }
        if unsafe owesCredits && state == .established {
            if unsafe hasRoom && credits > 0 && freeSlotCount > 0 {
                unsafe publish(kind: 2, byteCount: 0)
            } else {
                unsafe oweWritable(true)
            }
        }
        guard unsafe sends.count > 0 else { return true }
        // A message alone needs none: nobody is woken to learn that it was sent.
        if unsafe owesSignal {
            if unsafe unsignaled > 0 { unsafe sends.signalLast() }
            unsafe unsignaled = 0
            unsafe owesSignal = false
        }
        unsafe statistics.requestsPosted += sends.count
        statistics.doorbells += 1
        return unsafe sends.post(to: queuePair) == .posted
    }

    // MARK: Receiving

    @inline(__always) private mutating func appendReceive(_ slot: UInt32) {
        unsafe receives.append(
            workID: 1 << 63 | idBits | UInt64(slot), piece(buffer: Int(slot), byteCount: bufferBytes))
    }

    @inline(__always) private mutating func postReceives() -> Bool {
        let count = unsafe receives.count
        guard count > 0, let queuePair = unsafe queuePair else { return true }
        unsafe receivesPosted += count
        unsafe owedCredits += count
        return unsafe receives.post(to: queuePair) == .posted
    }

    /// Gives a receive buffer back to the queue pair, at the next flush.
    @inline(__always) private mutating func recycle(slot: UInt32) {
        if unsafe isFlowing { unsafe appendReceive(slot) }
    }

    @inline(__always) mutating func release(_ message: ReceivedMessage) {
        unsafe precondition(heldMessages > 0, "message already released")
        unsafe heldMessages -= 1
        unsafe recycle(slot: message.slot)
    }

    @inline(__always) func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        unsafe precondition(Int(message.slot) < bufferCount && message.byteCount <= bufferBytes - Self.header)
        return unsafe UnsafeMutableRawBufferPointer(
            start: buffers.unsafelyUnwrapped + Int(message.slot) &* bufferBytes + Self.header, count: message.byteCount)
    }

    // MARK: Completions

    /// Takes one completion of a receive. False: the peer broke the rules.
    @inline(__always)
    mutating func received(slot: UInt32, _ completion: WorkCompletion, into events: inout [FabricEvent]) -> Bool {
        unsafe receivesPosted -= 1
        guard completion.isSuccess else { return true }
        guard unsafe Int(slot) < bufferCount else { return false }
        if let immediate = completion.immediate {
            unsafe recycle(slot: slot)
            unsafe events.append(.immediate(id, immediate))
            return true
        }
        let byteCount = completion.byteCount
        guard unsafe byteCount >= Self.header else { return false }
        let head = unsafe (buffers.unsafelyUnwrapped + Int(slot) &* bufferBytes).load(as: UInt64.self)
        unsafe credits += Int(UInt16(truncatingIfNeeded: head >> 16))
        guard unsafe credits <= 1 << 16 else { return false }
        switch head & 0xff {
        case 2: unsafe recycle(slot: slot)
        case 1:
            unsafe heldMessages += 1
            unsafe events.append(
                .received(ReceivedMessage(connection: id, slot: slot, byteCount: byteCount - Self.header)))
        default: return false
        }
        return true
    }

    /// Takes one completion of posted work: everything before it succeeded, for a queue pair completes in order.
    @inline(__always)
    mutating func completed(sequence: UInt32, _ status: TransferStatus, into events: inout [FabricEvent]) {
        guard unsafe sequence &- oldest < next &- oldest else { return }
        unsafe retire(through: sequence, status: .success, into: &events)
        unsafe retire(through: sequence &+ 1, status: status, into: &events)
    }

    private mutating func retire(through end: UInt32, status: TransferStatus, into events: inout [FabricEvent]) {
        while unsafe oldest != end {
            let what = unsafe posted[Int(oldest & postedMask)]
            switch what {
            case .message(let slot):
                unsafe freeSlots[freeSlotCount] = slot
                unsafe freeSlotCount += 1
            case .write(let token): unsafe events.append(.completed(id, token: token, status))
            case .read(let token):
                unsafe awaited.pointee -= 1
                unsafe events.append(.completed(id, token: token, status))
            case .probe: unsafe awaited.pointee -= 1
            }
            unsafe oldest &+= 1
        }
        if unsafe oldest == next { unsafe (unsignaled, owesSignal) = (0, false) }
    }

    /// True once, when there is room again after a `.full`. Only a completion makes room.
    @inline(__always) mutating func becameWritable() -> Bool {
        guard unsafe owesWritable && state == .established && hasRoom && credits > 1 && freeSlotCount > 0 else {
            return false
        }
        unsafe oweWritable(false)
        return true
    }
}
