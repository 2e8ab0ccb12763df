internal import CVerbs

/// Work requests linked into one list, so that one call posts them all: memory is allocated once, never per request.
///
/// - Threading: one thread.
@safe struct SendChain: ~Copyable {
    private let requests: UnsafeMutablePointer<ibv_send_wr>
    private let pieces: UnsafeMutablePointer<ibv_sge>
    let capacity: Int
    private(set) var count = 0

    static let piecesMax = 2

    init(capacity: Int) {
        self.capacity = capacity
        unsafe requests = .allocate(capacity: capacity)
        unsafe requests.initialize(repeating: ibv_send_wr(), count: capacity)
        unsafe pieces = .allocate(capacity: capacity * Self.piecesMax)
        unsafe pieces.initialize(repeating: ibv_sge(), count: capacity * Self.piecesMax)
    }

    deinit {
        unsafe requests.deallocate()
        unsafe pieces.deallocate()
    }

    enum Operation {
        case send
        case write(RemoteSlice)
        case writeWithImmediate(RemoteSlice, UInt32)
        case read(RemoteSlice)
        case compareAndSwap(RemoteSlice, compare: UInt64, swap: UInt64)
    }

    /// Adds a request of one or two pieces. The chain must not be full.
    mutating func append(_ operation: Operation, workID: UInt64, _ first: Piece, _ second: Piece? = nil) {
        precondition(count < capacity)
        let request = unsafe requests + count
        let list = unsafe pieces + count * Self.piecesMax
        unsafe list[0] = first.raw
        if let second { unsafe list[1] = second.raw }
        unsafe request.pointee = ibv_send_wr()
        unsafe request.pointee.wr_id = workID
        unsafe request.pointee.sg_list = unsafe list
        unsafe request.pointee.num_sge = second == nil ? 1 : 2
        switch operation {
        case .send: unsafe request.pointee.opcode = IBV_WR_SEND
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
        }
        if count > 0 { unsafe requests[count - 1].next = unsafe request }
        count += 1
    }

    /// Asks for a completion of the last request added.
    mutating func signalLast() {
        precondition(count > 0)
        unsafe requests[count - 1].send_flags |= 2  // IBV_SEND_SIGNALED
    }

    /// Posts all and empties the chain. Verb: `ibv_post_send(3)`.
    /// - Returns: 0, or the error number; then nothing from the first refused request on was posted.
    mutating func post(to queuePair: borrowing QueuePair) -> Int32 {
        guard count > 0 else { return 0 }
        var bad: UnsafeMutablePointer<ibv_send_wr>?
        count = 0
        return unsafe ibv_post_send(queuePair.raw, requests, &bad)
    }

    /// A run of registered memory.
    struct Piece {
        let address: UInt64
        let byteCount: Int
        let localKey: UInt32
        var raw: ibv_sge { ibv_sge(addr: address, length: UInt32(byteCount), lkey: localKey) }
    }
}

/// Receive buffers linked into one list. See ``SendChain``.
@safe struct ReceiveChain: ~Copyable {
    private let requests: UnsafeMutablePointer<ibv_recv_wr>
    private let pieces: UnsafeMutablePointer<ibv_sge>
    let capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        unsafe requests = .allocate(capacity: capacity)
        unsafe requests.initialize(repeating: ibv_recv_wr(), count: capacity)
        unsafe pieces = .allocate(capacity: capacity)
        unsafe pieces.initialize(repeating: ibv_sge(), count: capacity)
    }

    deinit {
        unsafe requests.deallocate()
        unsafe pieces.deallocate()
    }

    mutating func append(workID: UInt64, _ piece: SendChain.Piece) {
        precondition(count < capacity)
        unsafe pieces[count] = piece.raw
        unsafe requests[count] = ibv_recv_wr(wr_id: workID, next: nil, sg_list: pieces + count, num_sge: 1)
        if count > 0 { unsafe requests[count - 1].next = unsafe requests + count }
        count += 1
    }

    /// Posts all and empties the chain. Verb: `ibv_post_recv(3)`. Returns 0 or the error number.
    mutating func post(to queuePair: borrowing QueuePair) -> Int32 {
        guard count > 0 else { return 0 }
        var bad: UnsafeMutablePointer<ibv_recv_wr>?
        count = 0
        return unsafe ibv_post_recv(queuePair.raw, requests, &bad)
    }
}
