internal import CLinux
import Glibc

/// One connection: the socket, the two rings, private copies of received messages, and the peer's regions.
@safe final class SharedMemoryConnection {
    enum State {
        /// Server: the peer has connected and not said hello.
        case greeting
        /// Server: waits for the user's answer. Client: waits for the server's.
        case requested
        case established
        /// Gone; kept while the user holds messages of it.
        case dead
    }

    let id: ConnectionID
    let socket: Int32
    var state: State
    var privateData: [UInt8] = []
    private(set) var peerDescription = "unknown peer"
    /// A `.full` was answered and `.writable` is owed.
    var owesWritable = false
    /// Something was posted since the last flush.
    var isDirty = false
    private(set) var peerRegions: [UInt32: (memory: MemoryBlock, access: PeerAccess)] = [:]
    private var peerMemoryBytes: UInt64 = 0

    private var ringMemory: MemoryBlock?
    private var out: SharedRing?
    private var incoming: SharedRing?
    /// Private copies of received messages, one buffer per slot.
    private let received: UnsafeMutableRawBufferPointer
    private let bufferBytes: Int
    private var freeBuffers: [UInt32] = []
    private let bufferCount: Int

    init(id: ConnectionID, socket: Int32, state: State, configuration: FabricConfiguration) {
        self.id = id
        self.socket = socket
        self.state = state
        bufferBytes = configuration.messageBufferBytes
        bufferCount = configuration.messagesInFlight
        unsafe received = .allocate(byteCount: bufferBytes * bufferCount, alignment: 64)
        freeBuffers = (0..<UInt32(bufferCount)).reversed()
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        if unsafe clinux_peer_credentials(socket, &pid, &uid, &gid) == 0 { peerDescription = "pid \(pid), uid \(uid)" }
    }

    deinit {
        unsafe received.deallocate()
        Glibc.close(socket)
    }

    // MARK: Rings

    /// Bytes of the memfd that holds both rings.
    static func ringBytes(slotCount: UInt32, slotBytes: Int) -> Int {
        unsafe 2 * (SharedRing.controlBytes + Int(slotCount) * slotBytes)
    }

    /// Lays the rings out in `memory`: the server's incoming ring first, its outgoing one behind it.
    func attach(rings memory: MemoryBlock, slotCount: UInt32, slotBytes: Int, isServer: Bool) {
        let half = unsafe SharedRing.controlBytes + Int(slotCount) * slotBytes
        func ring(_ start: Int) -> SharedRing {
            let base = unsafe memory.bytes.baseAddress! + start
            return unsafe SharedRing(
                control: base, slots: base + SharedRing.controlBytes, slotCount: slotCount, slotBytes: slotBytes,
                messageBytesMax: bufferBytes - FabricConfiguration.messageHeaderBytes)
        }
        ringMemory = memory
        unsafe incoming = ring(isServer ? 0 : half)
        unsafe out = ring(isServer ? half : 0)
    }

    /// Reserves a slot of the outgoing ring, lets `fill` write its payload, and queues it.
    func produce(kind: UInt32, immediate: UInt32, _ fill: (UnsafeMutableRawBufferPointer) -> Int) -> PostResult {
        guard state == .established, unsafe out != nil else { return .closed }
        guard var free = unsafe out!.freeSlots() else { return .refused }
        if free == 0, unsafe !out!.waitForSpace() { free = 1 }
        guard free > 0 else {
            owesWritable = true
            return .full
        }
        let count = unsafe fill(out!.nextPayload)
        unsafe out!.produce(byteCount: count, kind: kind, immediate: immediate)
        isDirty = true
        return .posted
    }

    /// True when there is room again after a `.full`.
    func hasSpace() -> Bool { unsafe (out?.freeSlots() ?? 0) > 0 }

    /// Shows what was produced and consumed, and wakes the peer when it sleeps on either.
    func publish() {
        guard unsafe out != nil, unsafe incoming != nil else { return }
        let consumerSleeps = unsafe out!.publishProduced()
        let producerWaits = unsafe incoming!.publishConsumed()
        // EAGAIN: the socket is full of wake-ups already. Other errors: the hang-up is on its way.
        if consumerSleeps || producerWaits { _ = SocketPacket.wake.send(to: socket) }
    }

    /// Moves what has arrived to `events`, as far as there are private buffers. False: the peer broke the rules.
    func drain(into events: inout [FabricEvent]) -> Bool {
        guard unsafe incoming != nil else { return true }
        var count = 0
        loop: while count < bufferCount {
            switch unsafe incoming!.next() {
            case .empty: break loop
            case .violation: return false
            case .immediate(let value): events.append(.immediate(id, value))
            case .message(let shared):
                guard let buffer = freeBuffers.popLast() else { break loop }
                unsafe received.baseAddress!.advanced(by: Int(buffer) * bufferBytes)
                    .copyMemory(from: shared.baseAddress!, byteCount: shared.count)
                events.append(.received(ReceivedMessage(connection: id, slot: buffer, byteCount: shared.count)))
            }
            unsafe incoming!.consume()
            count += 1
        }
        if count > 0 { isDirty = true }
        return true
    }

    /// False when something has arrived and can be taken.
    func prepareToSleep() -> Bool {
        guard unsafe incoming != nil else { return true }
        if owesWritable, hasSpace() { return false }
        return unsafe incoming!.prepareToSleep() || freeBuffers.isEmpty
    }

    func awake() { unsafe incoming?.awake() }

    // MARK: Messages

    var holdsMessages: Bool { freeBuffers.count < bufferCount }

    func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        let start = Int(message.slot) * bufferBytes
        return unsafe UnsafeMutableRawBufferPointer(rebasing: received[start..<start + message.byteCount])
    }

    func release(_ message: ReceivedMessage) { freeBuffers.append(message.slot) }

    // MARK: The peer's memory

    /// Takes a region that the peer shares. Refused: see ``MemoryBlock/init(fromPeer:byteCount:writable:)``.
    func addPeerRegion(
        key: UInt32, access: UInt8, byteCount: UInt64, descriptor: Int32, limits: FabricConfiguration
    ) throws(FabricError) {
        guard peerRegions.count < limits.peerRegionsMax, peerRegions[key] == nil, access == 1 || access == 2,
            byteCount <= limits.peerMemoryBytesMax - peerMemoryBytes
        else {
            Glibc.close(descriptor)
            throw FabricError(.limit, operation: "share", "the peer shares too much memory")
        }
        let memory = try MemoryBlock(fromPeer: descriptor, byteCount: byteCount, writable: access == 2)
        peerRegions[key] = (memory, access == 2 ? .write : .read)
        peerMemoryBytes += byteCount
    }

    /// The bytes of a remote slice, or nil when they are not there or not for this access.
    func peerBytes(_ slice: RemoteSlice, count: Int, access: PeerAccess) -> UnsafeMutableRawBufferPointer? {
        guard let region = peerRegions[slice.key], region.access == access else { return nil }
        let size = unsafe UInt64(region.memory.bytes.count)
        guard slice.address <= size, UInt64(count) <= size - slice.address else { return nil }
        let start = Int(slice.address)
        return unsafe UnsafeMutableRawBufferPointer(rebasing: region.memory.bytes[start..<start + count])
    }
}
