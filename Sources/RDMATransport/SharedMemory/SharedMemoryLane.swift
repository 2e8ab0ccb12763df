internal import CLinux
import Glibc

/// What one established shared-memory connection touches per message.
/// - Ownership: made and freed by its ``SharedMemoryConnection``, which keeps what the pointers here lead to.
@unsafe struct SharedMemoryLane: @unsafe Lane {
    let id: ConnectionID
    let socket: Int32
    private var out: SharedRingProducer
    private var incoming: SharedRingConsumer
    /// Messages and immediates may flow. False: kept while the user holds messages.
    var isOpen = true
    /// A `.full` was answered and `.writable` is owed.
    var owesWritable = false
    /// The peer broke the rules: to be ended by the next poll.
    var isViolated = false
    /// It stands in the list of lanes to be flushed.
    var isDirty = false
    /// Since the last flush the producer on the other side was told of free slots.
    private var hasTold = false
    /// Since the last flush something was published.
    private var hasPublished = false

    /// Private copies of received messages, one buffer per message in flight.
    private let received: UnsafeMutableRawPointer
    private let bufferBytes: Int
    private let bufferCount: Int
    /// A stack of the free ones; the last used is the first taken, because it is in the cache.
    private let freeBuffers: UnsafeMutablePointer<UInt32>
    private var freeCount: Int

    /// The peer's regions, at most as many as may be shared.
    private let peerRegions: UnsafeMutablePointer<PeerRegion>
    private var peerRegionCount = 0
    private let peerRegionsMax: Int

    @unsafe private struct PeerRegion {
        var key: UInt32
        var isWritable: Bool
        var byteCount: UInt64
        var base: UnsafeMutableRawPointer
    }

    init(
        id: ConnectionID, socket: Int32, out: SharedRing, incoming: SharedRing, configuration: FabricConfiguration
    ) {
        unsafe self.id = id
        unsafe self.socket = socket
        unsafe self.out = unsafe SharedRingProducer(out)
        unsafe self.incoming = unsafe SharedRingConsumer(
            incoming, messageBytesMax: configuration.limits.messageBytesMax)
        unsafe bufferBytes = configuration.messageBufferBytes
        unsafe bufferCount = configuration.messagesInFlight
        unsafe received = .allocate(byteCount: bufferBytes * bufferCount, alignment: 64)
        unsafe freeBuffers = .allocate(capacity: bufferCount)
        unsafe freeCount = bufferCount
        unsafe peerRegionsMax = configuration.peerRegionsMax
        unsafe peerRegions = .allocate(capacity: max(peerRegionsMax, 1))
        for index in unsafe 0..<bufferCount { unsafe freeBuffers[index] = UInt32(bufferCount - 1 - index) }
    }

    func deallocate() {
        unsafe received.deallocate()
        unsafe freeBuffers.deallocate()
        unsafe peerRegions.deallocate()
    }

    // MARK: Sending

    /// Whether a slot is free; when not, `.writable` is owed.
    @inline(__always) mutating func reserve() -> PostResult {
        guard let free = unsafe out.freeSlots() else {
            unsafe isViolated = true
            return .closed
        }
        if free > 0 { return .posted }
        unsafe owesWritable = true
        return .full
    }

    /// The payload of the reserved slot.
    var nextPayload: UnsafeMutableRawBufferPointer { @inline(__always) get { unsafe out.nextPayload } }

    @inline(__always) mutating func publish(byteCount: Int, kind: UInt32, immediate: UInt32) {
        unsafe out.publish(byteCount: byteCount, kind: kind, immediate: immediate)
        unsafe hasPublished = true
    }

    /// True once, when there is room again after a `.full`.
    @inline(__always) mutating func becameWritable() -> Bool {
        guard unsafe owesWritable else { return false }
        guard let free = unsafe out.freeSlots() else {
            unsafe isViolated = true
            return false
        }
        guard free > 0 else { return false }
        unsafe owesWritable = false
        return true
    }

    /// Whether the peer must be woken for what was published or told; a full fence must lie before.
    @inline(__always) mutating func takeWakeUp() -> Bool {
        let wakesConsumer = unsafe hasPublished && out.takeSleeper()
        let wakesProducer = unsafe hasTold && incoming.takeWaiter()
        unsafe hasPublished = false
        unsafe hasTold = false
        return wakesConsumer || wakesProducer
    }

    // MARK: Receiving

    /// Moves what has arrived to `events`, as far as there are private buffers. Returns whether the peer was told of
    /// free slots, so that a flush is due.
    @inline(__always) mutating func drain(into events: inout [FabricEvent]) -> Bool {
        guard case .empty = unsafe incoming.next() else { return unsafe drainSome(into: &events) }
        return false
    }

    @inline(never) private mutating func drainSome(into events: inout [FabricEvent]) -> Bool {
        var count = 0
        loop: while unsafe count < bufferCount {
            switch unsafe incoming.next() {
            case .empty: break loop
            case .violation:
                unsafe isViolated = true
                break loop
            case .immediate(let value): unsafe events.append(.immediate(id, value))
            case .message(let shared):
                guard unsafe freeCount > 0 else { break loop }
                unsafe freeCount -= 1
                let buffer = unsafe freeBuffers[freeCount]
                unsafe (received + Int(buffer) &* bufferBytes)
                    .copyMemory(from: shared.baseAddress.unsafelyUnwrapped, byteCount: shared.count)
                unsafe events.append(
                    .received(ReceivedMessage(connection: id, slot: buffer, byteCount: shared.count)))
            }
            if unsafe incoming.consume() { unsafe hasTold = true }
            count += 1
        }
        return unsafe hasTold
    }

    var holdsMessages: Bool { unsafe freeCount < bufferCount }

    @inline(__always) func bytes(of message: ReceivedMessage) -> UnsafeMutableRawBufferPointer {
        unsafe precondition(Int(message.slot) < bufferCount && message.byteCount <= bufferBytes)
        return unsafe UnsafeMutableRawBufferPointer(
            start: received + Int(message.slot) &* bufferBytes, count: message.byteCount)
    }

    @inline(__always) mutating func release(_ message: ReceivedMessage) {
        unsafe precondition(freeCount < bufferCount, "message already released")
        unsafe freeBuffers[freeCount] = message.slot
        unsafe freeCount += 1
    }

    // MARK: Sleeping

    /// Says that this side is about to sleep. Fence, then ask ``mustStayAwake``.
    func announceSleep() {
        unsafe incoming.announceSleeping()
        if unsafe owesWritable { unsafe out.announceWaiting() }
    }

    /// Something has arrived that can be taken, or there is the room that was asked for.
    mutating func mustStayAwake() -> Bool {
        if unsafe owesWritable, unsafe out.freeSlots() != 0 { return true }
        return unsafe freeCount > 0 && incoming.hasNext
    }

    func withdrawSleep() {
        unsafe incoming.withdrawSleeping()
        if unsafe owesWritable { unsafe out.withdrawWaiting() }
    }

    // MARK: The peer's memory

    /// Remembers a region that the peer shares and that has been mapped.
    mutating func addPeerRegion(key: UInt32, isWritable: Bool, _ bytes: UnsafeMutableRawBufferPointer) {
        unsafe precondition(peerRegionCount < peerRegionsMax)
        unsafe (peerRegions + peerRegionCount).initialize(
            to: PeerRegion(
                key: key, isWritable: isWritable, byteCount: UInt64(bytes.count), base: bytes.baseAddress!))
        unsafe peerRegionCount += 1
    }

    func hasPeerRegion(_ key: UInt32) -> Bool { unsafe peerRegion(key) != nil }

    @inline(__always) private func peerRegion(_ key: UInt32) -> UnsafeMutablePointer<PeerRegion>? {
        for index in unsafe 0..<peerRegionCount where unsafe peerRegions[index].key == key {
            return unsafe peerRegions + index
        }
        return nil
    }

    /// The first byte of a remote slice, or nil when it is not there or not for this access.
    @inline(__always)
    func peerBytes(_ slice: RemoteSlice, count: Int, isWritable: Bool) -> UnsafeMutableRawPointer? {
        guard let region = unsafe peerRegion(slice.key), unsafe region.pointee.isWritable == isWritable else {
            return nil
        }
        let size = unsafe region.pointee.byteCount
        guard slice.address <= size, UInt64(count) <= size - slice.address else { return nil }
        return unsafe region.pointee.base + Int(slice.address)
    }
}
