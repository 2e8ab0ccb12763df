internal import CVerbs

/// One connection's cold side: its identifier, its queue pair, its registered buffers, who the peer is. Messages go
/// through its lane.
@safe final class VerbsConnection {
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

    let id: ConnectionID
    let lane: UnsafeMutablePointer<VerbsLane>
    var privateData: [UInt8]
    var peer = "unknown peer"
    var reason = DisconnectReason.closed
    var drainDeadline: UInt64 = 0
    private(set) var identifier: ConnectionIdentifier?
    private var queuePair: QueuePair?
    private var region: MemoryRegion?
    /// Outlives the registration while messages are held.
    private var memory: MemoryBlock?
    private let configuration: FabricConfiguration

    /// - Parameter awaited: ``VerbsLanes/awaited``, which outlives the connection.
    init(
        id: ConnectionID, identifier: ConnectionIdentifier, state: State, configuration: FabricConfiguration,
        awaited: UnsafeMutablePointer<Int>
    ) {
        self.id = id
        self.identifier = identifier
        self.configuration = configuration
        privateData = []
        unsafe lane = .allocate(capacity: 1)
        unsafe lane.initialize(
            to: VerbsLane(id: id, state: state, configuration: configuration, awaited: awaited))
    }

    deinit {
        unsafe lane.deinitialize(count: 1)
        unsafe lane.deallocate()
    }

    /// Entries of each completion queue that the connection may need at once.
    static func completionsNeeded(_ configuration: FabricConfiguration) -> Int {
        max(configuration.postedMax, configuration.messagesInFlight)
    }

    var state: State {
        get { unsafe lane.pointee.state }
        set { unsafe lane.pointee.state = newValue }
    }

    /// Makes the queue pair and its buffers, and posts every receive: before the peer can send.
    func prepare(
        sends: CompletionQueue, receives: CompletionQueue, domain: ProtectionDomain
    ) throws(FabricError) {
        let bytes = 2 * configuration.messagesInFlight * configuration.messageBufferBytes
        let memory = try MemoryBlock(byteCount: bytes, name: "rdmad-messages")
        let region = try MemoryRegion(memory, access: .localWrite, in: domain)
        let localKey = region.localKey
        self.memory = memory
        self.region = consume region
        let depths = QueuePairDepths(send: configuration.postedMax, receive: configuration.messagesInFlight)
        let queuePair = try QueuePair(
            QueuePairOptions(depths: depths), on: identifier!, in: domain, sends: sends, receives: receives)
        let raw = unsafe queuePair.raw
        self.queuePair = consume queuePair
        guard unsafe lane.pointee.attach(raw, buffers: memory.bytes.baseAddress!, localKey: localKey) else {
            throw FabricError(.system, operation: "ibv_post_recv", "cannot post receives")
        }
    }

    /// Takes over what the peer said about itself.
    func adopt(_ greeting: TransportGreeting) {
        privateData = greeting.privateData
        unsafe lane.pointee.adopt(
            credits: greeting.messagesInFlight,
            messageBytesMax: greeting.messageBufferBytes - FabricConfiguration.messageHeaderBytes)
    }

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

    var isDrained: Bool { unsafe lane.pointee.isDrained }
    var holdsMessages: Bool { unsafe lane.pointee.holdsMessages }

    /// Destroys queue pair, registration and identifier, in that order. What never came back is completed as flushed.
    func destroy(into events: inout [FabricEvent]) {
        state = .dead
        unsafe lane.pointee.detach(into: &events)
        queuePair = nil
        region = nil
        identifier = nil
    }
}
