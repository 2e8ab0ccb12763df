internal import CLinux
internal import Synchronization

/// The side of a ring that takes slots.
@unsafe struct SharedRingConsumer {
    private let ring: SharedRing
    /// Longest message that is taken.
    private let messageBytesMax: Int
    /// Messages consumed, modulo 2³².
    private var position: UInt32 = 0
    /// Messages between two looks at `consumed` by the producer: it is told once per quarter of the ring.
    private let tellingMask: UInt32

    init(_ ring: SharedRing, messageBytesMax: Int) {
        unsafe precondition(messageBytesMax <= ring.slotBytes - SharedRing.slotHeaderBytes)
        unsafe self.ring = unsafe ring
        unsafe self.messageBytesMax = messageBytesMax
        unsafe tellingMask = max(ring.slotCount / 4, 1) - 1
    }

    /// What the next slot holds; `.empty` when there is none. It stays the consumer's until ``consume()``.
    @inline(__always) func next() -> SharedRingItem {
        let slot = unsafe ring.slot(position)
        // A message of more than 48 bytes goes on in the second line: fetched beside the first, not after it.
        unsafe clinux_prefetch(slot + 64)
        let sequence = unsafe SharedRing.word(slot, 0).pointee.load(ordering: .acquiring)
        let expected = unsafe position &+ 1
        guard sequence == expected else {
            // What was there a lap ago, or nothing yet.
            let isEmpty = unsafe sequence == expected &- ring.slotCount || sequence == 0
            return unsafe isEmpty ? .empty : .violation
        }
        let kind = unsafe SharedRing.word(slot, 8).pointee.load(ordering: .relaxed)
        if unsafe kind == SharedRing.immediateKind {
            return unsafe .immediate(SharedRing.word(slot, 12).pointee.load(ordering: .relaxed))
        }
        let byteCount = Int(unsafe SharedRing.word(slot, 4).pointee.load(ordering: .relaxed))
        guard unsafe kind == SharedRing.messageKind, unsafe byteCount <= messageBytesMax else {
            return unsafe .violation
        }
        return unsafe .message(UnsafeRawBufferPointer(start: slot + SharedRing.slotHeaderBytes, count: byteCount))
    }

    /// Gives the slot back. Returns true when the producer was told, and may wait for that.
    @inline(__always) mutating func consume() -> Bool {
        unsafe position &+= 1
        guard unsafe position & tellingMask == 0 else { return false }
        unsafe ring.controlWord(SharedRing.consumedOffset).pointee.store(position, ordering: .releasing)
        return true
    }

    /// True when the producer waits for space and is ours to wake. A full fence must lie between telling and this.
    @inline(__always) func takeWaiter() -> Bool {
        let flag = unsafe ring.controlWord(SharedRing.producerWaitsOffset)
        guard unsafe flag.pointee.load(ordering: .relaxed) != 0 else { return false }
        return unsafe flag.pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
    }

    /// Asks to be woken by the next message. Fence, then look at ``hasNext`` before sleeping.
    func announceSleeping() {
        unsafe ring.controlWord(SharedRing.consumerSleepsOffset).pointee.store(1, ordering: .relaxed)
    }

    /// Takes that back.
    func withdrawSleeping() {
        unsafe ring.controlWord(SharedRing.consumerSleepsOffset).pointee.store(0, ordering: .relaxed)
    }

    /// Something is there to be taken, if only a lie.
    var hasNext: Bool { if case .empty = unsafe next() { false } else { true } }
}

/// What a ring's next slot holds. The message's bytes are shared with the peer: copy before looking.
@unsafe enum SharedRingItem {
    case empty
    case message(UnsafeRawBufferPointer)
    case immediate(UInt32)
    case violation
}
