internal import CLinux
internal import Synchronization

/// One direction of a connection: a ring of fixed slots in memory that both processes map, one producer, one consumer.
///
/// ```
/// control:  producer u32 @0 | consumer u32 @64 | consumer sleeps u32 @128 | producer waits u32 @192   (256 bytes)
/// slot:     byte count u32 | kind u32 | immediate u32 | 0 u32 | payload …
/// ```
/// The indices count slots and wrap at 2³²; each side keeps a copy of its own and caches the other's, so that a
/// shared cache line is touched once per group of messages. Nothing read here is trusted: an index or length outside
/// its range is a protocol violation.
@unsafe struct SharedRing {
    static let controlBytes = 256
    static let slotHeaderBytes = 16
    static let messageKind: UInt32 = 1
    static let immediateKind: UInt32 = 2

    private let control: UnsafeMutableRawPointer
    private let slots: UnsafeMutableRawPointer
    let slotCount: UInt32
    let slotBytes: Int
    /// Longest message that is taken.
    private let messageBytesMax: Int
    /// Next slot to produce or consume, on this side.
    private(set) var position: UInt32 = 0
    /// Position last shown to the other side.
    private var published: UInt32 = 0
    /// The other side's position, as last seen.
    private var otherSeen: UInt32 = 0

    init(
        control: UnsafeMutableRawPointer, slots: UnsafeMutableRawPointer, slotCount: UInt32, slotBytes: Int,
        messageBytesMax: Int
    ) {
        precondition(slotCount.nonzeroBitCount == 1)
        unsafe precondition(messageBytesMax <= slotBytes - Self.slotHeaderBytes)
        unsafe self.messageBytesMax = messageBytesMax
        unsafe self.control = control
        unsafe self.slots = slots
        unsafe self.slotCount = slotCount
        unsafe self.slotBytes = slotBytes
    }

    private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        unsafe (control + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    private func slot(_ position: UInt32) -> UnsafeMutableRawPointer {
        unsafe slots + Int(position & (slotCount - 1)) * slotBytes
    }

    // MARK: Producer

    /// Free slots, looking at the consumer's index only when the cached one says full. Nil: the peer lies.
    mutating func freeSlots() -> UInt32? {
        if unsafe position &- otherSeen >= slotCount {
            unsafe otherSeen = unsafe word(64).pointee.load(ordering: .acquiring)
            guard unsafe position &- otherSeen <= slotCount else { return nil }
        }
        return unsafe slotCount - (position &- otherSeen)
    }

    /// The payload of the next slot. Call only when there is a free one; then ``produce(byteCount:kind:immediate:)``.
    var nextPayload: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: slot(position) + Self.slotHeaderBytes, count: slotBytes - Self.slotHeaderBytes)
    }

    mutating func produce(byteCount: Int, kind: UInt32, immediate: UInt32) {
        let slot = unsafe self.slot(position)
        unsafe slot.storeBytes(of: UInt32(byteCount), as: UInt32.self)
        unsafe slot.storeBytes(of: kind, toByteOffset: 4, as: UInt32.self)
        unsafe slot.storeBytes(of: immediate, toByteOffset: 8, as: UInt32.self)
        unsafe position &+= 1
    }

    /// Shows what was produced. Returns true when the consumer sleeps and must be woken.
    mutating func publishProduced() -> Bool {
        guard unsafe position != published else { return false }
        unsafe published = unsafe position
        unsafe word(0).pointee.store(position, ordering: .releasing)
        // Either we see its flag, or it sees our index: it stores the flag, fences, and looks again.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard unsafe word(128).pointee.load(ordering: .relaxed) != 0 else { return false }
        return unsafe word(128).pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
    }

    /// Asks to be woken when a slot becomes free. Returns false when there is one already.
    mutating func waitForSpace() -> Bool {
        unsafe word(192).pointee.store(1, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return unsafe freeSlots() == 0
    }

    // MARK: Consumer

    /// What the next slot holds; `.empty` when there is none.
    mutating func next() -> SharedRingItem {
        if unsafe position == otherSeen {
            unsafe otherSeen = unsafe word(0).pointee.load(ordering: .acquiring)
            let ready = unsafe otherSeen &- position
            if ready == 0 { return unsafe .empty }
            guard unsafe ready <= slotCount else { return unsafe .violation }
        }
        let slot = unsafe self.slot(position)
        let kind = unsafe slot.load(fromByteOffset: 4, as: UInt32.self)
        if unsafe kind == Self.immediateKind {
            return unsafe .immediate(unsafe slot.load(fromByteOffset: 8, as: UInt32.self))
        }
        // Read once: the peer can change it while we look.
        let byteCount = Int(unsafe slot.load(as: UInt32.self))
        guard unsafe kind == Self.messageKind, unsafe byteCount <= messageBytesMax else {
            return unsafe .violation
        }
        return unsafe .message(UnsafeRawBufferPointer(start: slot + Self.slotHeaderBytes, count: byteCount))
    }

    mutating func consume() { unsafe position &+= 1 }

    /// Gives consumed slots back. Returns true when the producer waits for space and must be woken.
    mutating func publishConsumed() -> Bool {
        guard unsafe position != published else { return false }
        unsafe published = unsafe position
        unsafe word(64).pointee.store(position, ordering: .releasing)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard unsafe word(192).pointee.load(ordering: .relaxed) != 0 else { return false }
        return unsafe word(192).pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
    }

    /// Announces sleep. Returns false when something arrived meanwhile.
    mutating func prepareToSleep() -> Bool {
        unsafe word(128).pointee.store(1, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return unsafe word(0).pointee.load(ordering: .acquiring) == position
    }

    /// Takes the announcement back.
    func awake() { unsafe word(128).pointee.store(0, ordering: .relaxed) }
}

/// What a ring's next slot holds. The message's bytes are shared with the peer: copy before looking.
@unsafe enum SharedRingItem {
    case empty
    case message(UnsafeRawBufferPointer)
    case immediate(UInt32)
    case violation
}
