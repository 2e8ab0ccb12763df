internal import CVerbs

/// Work requests linked into one list, so that one call posts them all: one doorbell. Memory is allocated once, never
/// per request.
///
/// A chain is built, posted, and then empty again. It names memory and does not own it: see ``BufferPool`` for the
/// form in which the compiler keeps posted memory from being touched.
/// - Threading: one thread.
@safe public struct SendChain: ~Copyable {
    private let requests: UnsafeMutablePointer<ibv_send_wr>
    private let elements: UnsafeMutablePointer<ibv_sge>
    private let inlineBytes: UnsafeMutableRawPointer
    /// Requests that fit.
    public let capacity: Int
    /// Elements that fit into each request.
    public let elementsMax: Int
    /// Inline bytes that fit into each request.
    public let inlineBytesMax: Int
    private var end = 0
    private var start = 0

    /// Makes room for `capacity` requests of up to `elementsMax` elements or `inlineBytesMax` inline bytes each.
    public init(capacity: Int, elementsMax: Int = 2, inlineBytesMax: Int = 0) {
        precondition(capacity > 0 && elementsMax > 0 && inlineBytesMax >= 0)
        self.capacity = capacity
        self.elementsMax = elementsMax
        self.inlineBytesMax = inlineBytesMax
        unsafe requests = .allocate(capacity: capacity)
        unsafe requests.initialize(repeating: ibv_send_wr(), count: capacity)
        unsafe elements = .allocate(capacity: capacity * elementsMax)
        unsafe elements.initialize(repeating: ibv_sge(), count: capacity * elementsMax)
        unsafe inlineBytes = .allocate(byteCount: max(1, capacity * inlineBytesMax), alignment: 64)
    }

    deinit {
        unsafe requests.deallocate()
        unsafe elements.deallocate()
        unsafe inlineBytes.deallocate()
    }

    /// Requests added and not posted.
    public var count: Int { end - start }
    /// True when nothing can be added before the next post.
    public var isFull: Bool { end == capacity }

    /// Adds a request of up to two elements. The chain must not be full.
    ///
    /// Unsafe: the elements' regions must stay registered, and their bytes untouched, until the request completed.
    /// - Parameter workID: Comes back in the completion.
    @unsafe public mutating func append(
        _ operation: SendOperation, workID: UInt64, flags: SendFlags = [], _ first: ScatterGatherElement? = nil,
        _ second: ScatterGatherElement? = nil
    ) {
        let index = next(operation, workID, flags)
        let list = unsafe elements + index * elementsMax
        var count: Int32 = 0
        if let first {
            unsafe list[0] = first.raw
            count = 1
        }
        if let second {
            precondition(elementsMax > 1)
            unsafe list[1] = second.raw
            count = 2
        }
        unsafe requests[index].num_sge = count
    }

    /// Adds a request of any number of elements, up to ``elementsMax``. Unsafe as `append` of two is.
    @unsafe public mutating func append(
        _ operation: SendOperation, workID: UInt64, flags: SendFlags = [], elements list: Span<ScatterGatherElement>
    ) {
        precondition(list.count <= elementsMax)
        let index = next(operation, workID, flags)
        for number in 0..<list.count { unsafe elements[index * elementsMax + number] = list[number].raw }
        unsafe requests[index].num_sge = Int32(list.count)
    }

    /// Adds a request that carries `bytes` itself: they are copied here, so the memory is free at once and need not be
    /// registered. At most ``inlineBytesMax`` bytes.
    public mutating func append(
        _ operation: SendOperation, workID: UInt64, flags: SendFlags = [], inline bytes: RawSpan
    ) {
        precondition(bytes.byteCount <= inlineBytesMax)
        let index = next(operation, workID, flags.union(.inline))
        let copy = unsafe inlineBytes + index * inlineBytesMax
        unsafe bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { unsafe copy.copyMemory(from: base, byteCount: source.count) }
        }
        unsafe elements[index * elementsMax] = ibv_sge(
            addr: UInt64(UInt(bitPattern: copy)), length: UInt32(bytes.byteCount), lkey: 0)
        unsafe requests[index].num_sge = 1
    }

    /// Names the peer's shared receive queue for the last request added (XRC): see ``SharedReceiveQueue/number``.
    public mutating func aimLast(atSharedReceiveQueue number: UInt32) {
        precondition(count > 0)
        unsafe cverbs_set_xrc(requests + end - 1, number)
    }

    /// Asks for a completion of the last request added.
    public mutating func signalLast() {
        precondition(count > 0)
        unsafe requests[end - 1].send_flags |= SendFlags.signaled.rawValue
    }

    /// Posts everything with one call. Verb: `ibv_post_send(3)`.
    ///
    /// When the queue pair refuses a request, it and those after it stay in the chain, to be posted again or dropped
    /// with ``removeAll()``.
    @discardableResult
    public mutating func post(to queuePair: borrowing QueuePair) -> PostOutcome { unsafe post(to: queuePair.raw) }

    mutating func post(to queuePair: UnsafeMutablePointer<ibv_qp>) -> PostOutcome {
        guard count > 0 else { return .posted }
        var refused: UnsafeMutablePointer<ibv_send_wr>?
        let result = unsafe ibv_post_send(queuePair, requests + start, &refused)
        guard result != 0 else {
            removeAll()
            return .posted
        }
        if let refused = unsafe refused { start = unsafe refused - requests }
        return PostOutcome(errorNumber: abs(result))
    }

    /// Posts everything and keeps it, to be posted again: for requests that are the same each time, such as writes to
    /// one place. Only with room in the queue for all: a refusal in the middle leaves those before it posted.
    public borrowing func postAndKeep(to queuePair: borrowing QueuePair) -> PostOutcome {
        guard count > 0 else { return .posted }
        var refused: UnsafeMutablePointer<ibv_send_wr>?
        let result = unsafe ibv_post_send(queuePair.raw, requests + start, &refused)
        return result == 0 ? .posted : PostOutcome(errorNumber: abs(result))
    }

    /// Drops everything that was not posted.
    public mutating func removeAll() {
        start = 0
        end = 0
    }

    private mutating func next(_ operation: SendOperation, _ workID: UInt64, _ flags: SendFlags) -> Int {
        precondition(end < capacity, "the chain is full: post it")
        let index = end
        let request = unsafe requests + index
        unsafe request.pointee = ibv_send_wr()
        unsafe request.pointee.wr_id = workID
        unsafe request.pointee.sg_list = unsafe elements + index * elementsMax
        unsafe request.pointee.send_flags = flags.rawValue
        unsafe encode(operation, into: request)
        if index > start { unsafe requests[index - 1].next = unsafe request }
        end += 1
        return index
    }
}

/// What came of posting a chain.
public enum PostOutcome: Sendable, Equatable {
    /// All of it is with the device.
    case posted
    /// The queue has no room for the rest: poll, then post again.
    case queueFull
    /// The queue pair refused a request, such as one longer than it was made for, or it is not in a state for it.
    case failed(errorNumber: Int32)
}

func encode(_ operation: SendOperation, into request: UnsafeMutablePointer<ibv_send_wr>) {
    switch operation {
    case .send: unsafe request.pointee.opcode = IBV_WR_SEND
    case .sendWithImmediate(let value):
        unsafe request.pointee.opcode = IBV_WR_SEND_WITH_IMM
        unsafe cverbs_set_immediate(request, value)
    case .sendWithInvalidate(let key):
        unsafe request.pointee.opcode = IBV_WR_SEND_WITH_INV
        unsafe cverbs_set_invalidate(request, key)
    case .sendTo(let destination):
        unsafe request.pointee.opcode = IBV_WR_SEND
        unsafe cverbs_set_datagram(request, destination.handle, destination.queuePair, destination.queueKey)
    case .sendToWithImmediate(let destination, let value):
        unsafe request.pointee.opcode = IBV_WR_SEND_WITH_IMM
        unsafe cverbs_set_immediate(request, value)
        unsafe cverbs_set_datagram(request, destination.handle, destination.queuePair, destination.queueKey)
    case .write(let remote):
        unsafe request.pointee.opcode = IBV_WR_RDMA_WRITE
        unsafe cverbs_set_remote(request, remote.address, remote.key)
    case .writeWithImmediate(let remote, let value):
        unsafe request.pointee.opcode = IBV_WR_RDMA_WRITE_WITH_IMM
        unsafe cverbs_set_remote(request, remote.address, remote.key)
        unsafe cverbs_set_immediate(request, value)
    case .read(let remote):
        unsafe request.pointee.opcode = IBV_WR_RDMA_READ
        unsafe cverbs_set_remote(request, remote.address, remote.key)
    case .compareAndSwap(let remote, let compare, let swap):
        unsafe request.pointee.opcode = IBV_WR_ATOMIC_CMP_AND_SWP
        unsafe cverbs_set_atomic(request, remote.address, remote.key, compare, swap)
    case .fetchAndAdd(let remote, let amount):
        unsafe request.pointee.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD
        unsafe cverbs_set_atomic(request, remote.address, remote.key, amount, 0)
    case .localInvalidate(let key):
        unsafe request.pointee.opcode = IBV_WR_LOCAL_INV
        unsafe cverbs_set_invalidate(request, key)
    case .bindWindow(let binding):
        unsafe request.pointee.opcode = IBV_WR_BIND_MW
        unsafe cverbs_set_bind(
            request, binding.window, binding.remoteKey, binding.region, binding.address, UInt64(binding.byteCount),
            UInt32(binding.access.rawValue))
    }
}
