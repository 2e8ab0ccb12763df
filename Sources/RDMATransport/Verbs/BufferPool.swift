internal import Synchronization

/// Registered memory cut into buffers of one size, each of which belongs to the program or to the device, never both.
///
/// ``take()`` gives a ``RegisteredBuffer``; posting consumes it, so that touching it afterwards does not compile; the
/// completion gives it back through ``reclaim(_:)``. A stale or foreign completion traps. Dropping a buffer puts it
/// back into the pool.
///
/// ```
///   take() ─► RegisteredBuffer ── post(…) ──► device ── completion ──► reclaim(_:) ─► RegisteredBuffer
///     ▲              │ dropped
///     └──────────────┘
/// ```
/// - Ownership: one owner. The memory is freed when pool and buffers are gone; while the device has a buffer it is
///   never freed: a pool dropped then leaks (``leakedBytes``), and traps in debug builds. End the queue pair with
///   ``QueuePair/close(returning:otherwise:)`` first.
/// - Threading: one thread, its buffers included.
/// - Complexity: every operation O(1), without allocation, lock or reference counting.
@safe public struct BufferPool: ~Copyable {
    let state: UnsafeMutablePointer<BufferPoolState>

    /// Registers `count` buffers of `bufferBytes` bytes each.
    public init(
        bufferBytes: Int, count: Int, access: MemoryAccess = .localWrite, in domain: ProtectionDomain
    ) throws(FabricError) {
        precondition(bufferBytes > 0 && bufferBytes <= 1 << 30 && count > 0 && count <= 1 << 24)
        let memory = try MemoryBlock(byteCount: bufferBytes * count, name: "rdma-buffers")
        let region = try MemoryRegion(memory, access: access, in: domain)
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: BufferPoolState(memory, region, bufferBytes: bufferBytes, count: count))
    }

    deinit { unsafe BufferPoolState.abandon(state) }

    /// A buffer, or nil when all are taken. Its bytes are what its last user left.
    public borrowing func take() -> RegisteredBuffer? {
        guard let slot = unsafe state.pointee.pop() else { return nil }
        return unsafe RegisteredBuffer(state: state, slot: slot, byteCount: 0)
    }

    /// The buffer that a completion gives back. Of a receive, ``RegisteredBuffer/byteCount`` says what arrived.
    ///
    /// Traps when the completion is not of a buffer of this pool that the device has.
    public borrowing func reclaim(_ completion: WorkCompletion) -> RegisteredBuffer {
        let slot = unsafe state.pointee.unpost(completion.workID)
        let isReceive = completion.status == .success && completion.operation.rawValue & 128 != 0
        return unsafe RegisteredBuffer(
            state: state, slot: slot, byteCount: isReceive ? min(completion.byteCount, state.pointee.bufferBytes) : 0)
    }

    /// True when the completion is of a buffer of this pool.
    public borrowing func owns(_ completion: WorkCompletion) -> Bool {
        unsafe UInt16(truncatingIfNeeded: completion.workID >> 48) == state.pointee.number
    }

    /// Buffers that ``take()`` can give.
    public var availableCount: Int { unsafe state.pointee.freeCount }
    /// Buffers that the device has.
    public var postedCount: Int { unsafe state.pointee.postedCount }
    /// Length of each buffer.
    public var bufferBytes: Int { unsafe state.pointee.bufferBytes }

    /// Bytes that dropped pools could not free because the device had them, in this process.
    public static var leakedBytes: Int { BufferPoolState.leaked.load(ordering: .relaxed) }
}

/// A buffer of a ``BufferPool`` that belongs to the program.
///
/// - Ownership: one owner. Posting consumes it; dropping it puts it back into the pool.
@safe public struct RegisteredBuffer: ~Copyable {
    let state: UnsafeMutablePointer<BufferPoolState>
    let slot: UInt32
    private var count: Int

    init(state: UnsafeMutablePointer<BufferPoolState>, slot: UInt32, byteCount: Int) {
        unsafe self.state = state
        self.slot = slot
        count = byteCount
    }

    deinit { unsafe BufferPoolState.giveBack(slot, to: state) }

    /// Bytes that mean something: what arrived, or what is to be sent. At most ``capacity``.
    public var byteCount: Int {
        get { count }
        set {
            precondition(newValue >= 0 && newValue <= capacity, "a buffer holds \(capacity) bytes, not \(newValue)")
            count = newValue
        }
    }

    /// Bytes that fit.
    public var capacity: Int { unsafe state.pointee.bufferBytes }

    /// The first ``byteCount`` bytes, in place.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { unsafe _overrideLifetime(RawSpan(_unsafeStart: address, byteCount: count), borrowing: self) }
    }

    /// All ``capacity`` bytes, in place.
    public var mutableBytes: MutableRawSpan {
        @_lifetime(&self)
        mutating get {
            unsafe _overrideLifetime(MutableRawSpan(_unsafeStart: address, byteCount: capacity), mutating: &self)
        }
    }

    /// Copies `source` to the front and makes it the buffer's contents.
    public mutating func copy(from source: RawSpan) {
        byteCount = source.byteCount
        unsafe source.withUnsafeBytes {
            if let base = $0.baseAddress { unsafe address.copyMemory(from: base, byteCount: $0.count) }
        }
    }

    /// Copies `source` to the front and makes it the buffer's contents.
    public mutating func copy(from source: [UInt8]) { unsafe copy(from: source.span.bytes) }

    /// A copy of ``bytes``.
    public func contents() -> [UInt8] { unsafe bytes.withUnsafeBytes { unsafe Array($0) } }

    /// What a peer must know to reach the buffer. Only with access rights; the peer may then touch it at any time.
    public func remote() -> RemoteSlice {
        unsafe RemoteSlice(key: state.pointee.remoteKey, address: state.pointee.address(of: slot))
    }

    private var address: UnsafeMutableRawPointer {
        unsafe state.pointee.base + Int(slot) * state.pointee.bufferBytes
    }

    /// Its element in a work request, and its work id: it is the device's from here on.
    consuming func post(byteCount: Int, on queuePair: UInt32) -> (ScatterGatherElement, workID: UInt64) {
        let element = unsafe ScatterGatherElement(
            address: state.pointee.address(of: slot), byteCount: byteCount, localKey: state.pointee.localKey)
        let workID = unsafe state.pointee.post(slot, queuePair)
        discard self
        return (element, workID)
    }
}
