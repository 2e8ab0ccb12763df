internal import CVerbs

/// Receive buffers linked into one list, so that one call posts them all. See ``SendChain``.
///
/// - Threading: one thread.
@safe public struct ReceiveChain: ~Copyable {
    private let requests: UnsafeMutablePointer<ibv_recv_wr>
    private let elements: UnsafeMutablePointer<ibv_sge>
    /// Requests that fit.
    public let capacity: Int
    /// Elements that fit into each request.
    public let elementsMax: Int
    private var end = 0
    private var start = 0

    /// Makes room for `capacity` receives of up to `elementsMax` elements each.
    public init(capacity: Int, elementsMax: Int = 1) {
        precondition(capacity > 0 && elementsMax > 0)
        self.capacity = capacity
        self.elementsMax = elementsMax
        unsafe requests = .allocate(capacity: capacity)
        unsafe requests.initialize(repeating: ibv_recv_wr(), count: capacity)
        unsafe elements = .allocate(capacity: capacity * elementsMax)
        unsafe elements.initialize(repeating: ibv_sge(), count: capacity * elementsMax)
    }

    deinit {
        unsafe requests.deallocate()
        unsafe elements.deallocate()
    }

    /// Receives added and not posted.
    public var count: Int { end - start }
    /// True when nothing can be added before the next post.
    public var isFull: Bool { end == capacity }

    /// Adds a receive into one run of memory, or into none (for peers that write with immediate only).
    ///
    /// Unsafe: the region must stay registered, and its bytes untouched, until the receive completed.
    @unsafe public mutating func append(workID: UInt64, _ element: ScatterGatherElement?) {
        let index = next(workID)
        if let element { unsafe elements[index * elementsMax] = element.raw }
        unsafe requests[index].num_sge = element == nil ? 0 : 1
    }

    /// Adds a receive that fills several runs one after another. Unsafe as `append` of one is.
    @unsafe public mutating func append(workID: UInt64, elements list: Span<ScatterGatherElement>) {
        precondition(list.count <= elementsMax)
        let index = next(workID)
        for number in 0..<list.count { unsafe elements[index * elementsMax + number] = list[number].raw }
        unsafe requests[index].num_sge = Int32(list.count)
    }

    /// Posts everything to a queue pair. Verb: `ibv_post_recv(3)`. See ``SendChain/post(to:)``.
    @discardableResult
    public mutating func post(to queuePair: borrowing QueuePair) -> PostOutcome { unsafe post(to: queuePair.raw) }

    mutating func post(to queuePair: UnsafeMutablePointer<ibv_qp>) -> PostOutcome {
        guard count > 0 else { return .posted }
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        let result = unsafe ibv_post_recv(queuePair, requests + start, &refused)
        return unsafe finish(result, refused)
    }

    /// Posts everything and keeps it, to be posted again: for receives into the same memory each time. Only with room
    /// in the queue for all. See ``SendChain/postAndKeep(to:)``.
    public borrowing func postAndKeep(to queuePair: borrowing QueuePair) -> PostOutcome {
        guard count > 0 else { return .posted }
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        let result = unsafe ibv_post_recv(queuePair.raw, requests + start, &refused)
        return result == 0 ? .posted : PostOutcome(errorNumber: abs(result))
    }

    /// Posts everything to a shared receive queue. Verb: `ibv_post_srq_recv(3)`.
    @discardableResult
    public mutating func post(to queue: SharedReceiveQueue) -> PostOutcome {
        guard count > 0 else { return .posted }
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        let result = unsafe ibv_post_srq_recv(queue.raw, requests + start, &refused)
        return unsafe finish(result, refused)
    }

    /// Drops everything that was not posted.
    public mutating func removeAll() {
        start = 0
        end = 0
    }

    private mutating func finish(_ result: Int32, _ refused: UnsafeMutablePointer<ibv_recv_wr>?) -> PostOutcome {
        guard result != 0 else {
            removeAll()
            return .posted
        }
        if let refused = unsafe refused { start = unsafe refused - requests }
        return PostOutcome(errorNumber: abs(result))
    }

    private mutating func next(_ workID: UInt64) -> Int {
        precondition(end < capacity, "the chain is full: post it")
        let index = end
        unsafe requests[index] = unsafe ibv_recv_wr(
            wr_id: workID, next: nil, sg_list: elements + index * elementsMax, num_sge: 0)
        if index > start { unsafe requests[index - 1].next = unsafe requests + index }
        end += 1
        return index
    }
}
