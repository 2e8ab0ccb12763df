internal import Synchronization

/// The side of a ring that writes slots.
@unsafe struct SharedRingProducer {
    private let ring: SharedRing
    /// Messages published, modulo 2³².
    private var position: UInt32 = 0
    /// `consumed`, as last seen.
    private var consumedSeen: UInt32 = 0

    init(_ ring: SharedRing) { unsafe self.ring = unsafe ring }

    /// Free slots, looking at the consumer's word only when there is none that we know of. Nil: the consumer lies.
    @inline(__always) mutating func freeSlots() -> UInt32? {
        let known = unsafe ring.slotCount &- (position &- consumedSeen)
        return unsafe known > 0 ? known : lookForSpace()
    }

    private mutating func lookForSpace() -> UInt32? {
        let consumed = unsafe ring.controlWord(SharedRing.consumedOffset).pointee.load(ordering: .acquiring)
        guard unsafe position &- consumed <= ring.slotCount else { return nil }
        unsafe consumedSeen = consumed
        return unsafe ring.slotCount &- (position &- consumed)
    }

    /// The payload of the next slot. Call only when there is a free one; then ``publish(byteCount:kind:immediate:)``.
    var nextPayload: UnsafeMutableRawBufferPointer {
        @inline(__always) get {
            unsafe UnsafeMutableRawBufferPointer(
                start: ring.slot(position) + SharedRing.slotHeaderBytes,
                count: ring.slotBytes - SharedRing.slotHeaderBytes)
        }
    }

    /// Makes the next slot the consumer's. The header goes last: a consumer that polls has its line.
    @inline(__always) mutating func publish(byteCount: Int, kind: UInt32, immediate: UInt32) {
        let slot = unsafe ring.slot(position)
        unsafe slot.storeBytes(of: UInt32(truncatingIfNeeded: byteCount), toByteOffset: 4, as: UInt32.self)
        unsafe slot.storeBytes(of: kind, toByteOffset: 8, as: UInt32.self)
        unsafe slot.storeBytes(of: immediate, toByteOffset: 12, as: UInt32.self)
        unsafe position &+= 1
        unsafe SharedRing.word(slot, 0).pointee.store(position, ordering: .releasing)
    }

    /// True when the consumer sleeps and is ours to wake. A full fence must lie between publishing and this: the
    /// consumer stores its flag, fences and looks again, so either we see the flag or it sees the message.
    @inline(__always) func takeSleeper() -> Bool {
        let flag = unsafe ring.controlWord(SharedRing.consumerSleepsOffset)
        guard unsafe flag.pointee.load(ordering: .relaxed) != 0 else { return false }
        return unsafe flag.pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
    }

    /// Asks to be woken when slots become free. Fence, then look at ``freeSlots()`` again before sleeping.
    func announceWaiting() {
        unsafe ring.controlWord(SharedRing.producerWaitsOffset).pointee.store(1, ordering: .relaxed)
    }

    /// Takes that back.
    func withdrawWaiting() {
        unsafe ring.controlWord(SharedRing.producerWaitsOffset).pointee.store(0, ordering: .relaxed)
    }
}
