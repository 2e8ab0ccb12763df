internal import Synchronization

/// What a pool and its buffers share: at a fixed address, so that neither counts references.
///
/// A work id is `pool u16 | generation u16 | slot u32`: a completion that comes twice, late or to the wrong pool
/// matches nothing.
@safe struct BufferPoolState: ~Copyable {
    let base: UnsafeMutableRawPointer
    let bufferBytes: Int
    let count: Int
    let localKey: UInt32
    let remoteKey: UInt32
    let number: UInt16
    private let firstAddress: UInt64
    private let region: MemoryRegion
    private let memory: MemoryBlock
    private let slots: UnsafeMutablePointer<Slot>
    private let free: UnsafeMutablePointer<UInt32>
    private(set) var freeCount: Int
    private(set) var postedCount = 0
    private var isAbandoned = false

    struct Slot {
        var generation: UInt16 = 0
        var isPosted = false
        var queuePair: UInt32 = 0
    }

    static let leaked = Atomic<Int>(0)
    private static let numbers = Atomic<UInt16>(0)

    init(_ memory: MemoryBlock, _ region: consuming MemoryRegion, bufferBytes: Int, count: Int) {
        unsafe base = memory.bytes.baseAddress!
        self.bufferBytes = bufferBytes
        self.count = count
        localKey = region.localKey
        remoteKey = region.remoteKey
        firstAddress = region.address
        number = Self.numbers.wrappingAdd(1, ordering: .relaxed).newValue
        self.memory = memory
        self.region = region
        unsafe slots = .allocate(capacity: count)
        unsafe slots.initialize(repeating: Slot(), count: count)
        unsafe free = .allocate(capacity: count)
        for index in 0..<count { unsafe free[index] = UInt32(count - 1 - index) }
        freeCount = count
    }

    deinit {
        unsafe slots.deallocate()
        unsafe free.deallocate()
    }

    func address(of slot: UInt32) -> UInt64 { firstAddress + UInt64(slot) * UInt64(bufferBytes) }

    mutating func pop() -> UInt32? {
        guard freeCount > 0 else { return nil }
        freeCount -= 1
        return unsafe free[freeCount]
    }

    mutating func post(_ slot: UInt32, _ queuePair: UInt32) -> UInt64 {
        unsafe slots[Int(slot)].isPosted = true
        unsafe slots[Int(slot)].queuePair = queuePair
        postedCount += 1
        return unsafe UInt64(number) << 48 | UInt64(slots[Int(slot)].generation) << 32 | UInt64(slot)
    }

    mutating func unpost(_ workID: UInt64) -> UInt32 {
        let slot = UInt32(truncatingIfNeeded: workID)
        precondition(UInt16(truncatingIfNeeded: workID >> 48) == number, "a completion of another pool's buffer")
        precondition(
            unsafe slot < count && slots[Int(slot)].isPosted
                && slots[Int(slot)].generation == UInt16(truncatingIfNeeded: workID >> 32),
            "a completion of a buffer that the device does not have")
        unsafe slots[Int(slot)].isPosted = false
        unsafe slots[Int(slot)].generation &+= 1
        postedCount -= 1
        return slot
    }

    /// Buffers that the device has from one queue pair.
    func posted(on queuePair: UInt32) -> Int {
        (0..<count).count { unsafe slots[$0].isPosted && slots[$0].queuePair == queuePair }
    }

    static func giveBack(_ slot: UInt32, to state: UnsafeMutablePointer<BufferPoolState>) {
        unsafe state.pointee.free[state.pointee.freeCount] = slot
        unsafe state.pointee.freeCount += 1
        unsafe freeIfDone(state)
    }

    /// The pool is gone: frees the memory once every buffer is home.
    static func abandon(_ state: UnsafeMutablePointer<BufferPoolState>) {
        unsafe state.pointee.isAbandoned = true
        let posted = unsafe state.pointee.postedCount
        if posted > 0 {
            let byteCount = unsafe state.pointee.bufferBytes * state.pointee.count
            leaked.wrappingAdd(byteCount, ordering: .relaxed)
            assertionFailure("a pool was dropped while the device has \(posted) of its buffers: close the queue pair")
        }
        unsafe freeIfDone(state)
    }

    private static func freeIfDone(_ state: UnsafeMutablePointer<BufferPoolState>) {
        guard unsafe state.pointee.isAbandoned && state.pointee.freeCount == state.pointee.count else { return }
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }
}
