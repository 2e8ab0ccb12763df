internal import KafkaProtocol

/// Cuts what a connection receives into requests.
///
/// What lies in one piece and is handled at once is used where it lies. Produce requests, and what has not come whole,
/// get memory of a ``FramePool``: further bytes are read to their place there (``room``), and a little more, so that
/// the beginning of the next request comes with them.
/// - Threading: the connection's event loop.
final class FrameReceiver {
    let scratch: ScratchBuffer
    private let counters: NetworkCounters
    private let pool: FramePool
    /// The longest request now.
    var requestBytesMax: Int
    /// Nothing but a length and bytes: after SaslHandshake 0.
    var hasBareTokens = false

    /// The length of the request whose prefix was read, while it has no memory.
    private var announced: Int?
    private var prefix: UInt32 = 0
    private var prefixCount = 0
    private(set) var arriving: Arriving?
    /// Received behind that, and not to be handled yet; empty when there is nothing.
    private var kept: [UInt8] = []
    /// How much of that was handled.
    private var keptStart = 0

    /// A request that has memory.
    struct Arriving {
        let memory: FrameMemory
        let count: Int
        /// Can be more than `count`: the beginning of the next request.
        var received = 0
    }

    @safe enum Step {
        /// More has to come.
        case incomplete
        /// A request where it was received: only until the caller returns.
        case passing(UnsafeRawBufferPointer)
        case received(ReceivedFrame)
        /// Memory is needed: ``begin(_:)``.
        case needsMemory(Int)
    }

    /// A request that is to be handled next, or to get memory.
    struct Next {
        let count: Int
        let isProduce: Bool
    }

    init(pool: FramePool, scratch: ScratchBuffer, counters: NetworkCounters, requestBytesMax: Int) {
        self.pool = pool
        self.scratch = scratch
        self.counters = counters
        self.requestBytesMax = requestBytesMax
    }

    /// Nothing more is received.
    func giveUp() {
        (kept, keptStart) = ([], 0)
        if let memory = arriving.take()?.memory { pool.giveBack(memory) }
    }

    var hasKept: Bool { !kept.isEmpty }

    /// The memory for what is kept.
    var keptBytes: Int { kept.count }

    /// Whether something can be handled without more being received.
    var hasMore: Bool { isWhole || !kept.isEmpty }

    private var isWhole: Bool { arriving.map { $0.received >= $0.count } ?? false }

    /// Where the next bytes go; nil: anywhere.
    var room: UnsafeMutableRawBufferPointer? {
        guard let arriving, !isWhole, kept.isEmpty else { return nil }
        let end = min(arriving.memory.byteCount, arriving.count + NetworkConfiguration.firstReadBytes)
        return unsafe UnsafeMutableRawBufferPointer(
            start: arriving.memory.base + arriving.received, count: end - arriving.received)
    }

    /// Whether bytes were received to their place; they are taken in then.
    func landed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let room = unsafe room, unsafe bytes.baseAddress == UnsafeRawPointer(room.baseAddress) else {
            return false
        }
        arriving!.received += bytes.count
        counters.receivedInPlaceBytes.count(bytes.count)
        return true
    }

    /// Memory for the request that ``Step/needsMemory(_:)`` asked for.
    func begin(_ memory: FrameMemory) {
        guard let count = announced.take() else { preconditionFailure("memory for no request") }
        arriving = Arriving(memory: memory, count: count)
    }

    /// What ``step(_:)`` would come to: nil when more has to be received before anything is handled, to memory that is
    /// there. It may move what arrives there, but takes nothing off that is a request's.
    func next(_ rest: inout UnsafeRawBufferPointer) throws(WireError) -> Next? {
        guard arriving != nil else {
            guard let count = unsafe try length(&rest), unsafe !rest.isEmpty else { return nil }
            return Next(count: count, isProduce: unsafe isKept(rest))
        }
        if !isWhole, unsafe !rest.isEmpty { unsafe copy(&rest) }
        guard let whole = arriving, isWhole else { return nil }
        return Next(
            count: whole.count,
            isProduce: unsafe isKept(UnsafeRawBufferPointer(start: whole.memory.base, count: whole.count)))
    }

    /// Takes the next request off `rest`, or as much as there is of it.
    ///
    /// When a request was received together with the beginning of the next, that becomes `rest`: it lies in the memory
    /// of the returned request.
    func step(_ rest: inout UnsafeRawBufferPointer) throws(WireError) -> Step {
        if arriving == nil {
            guard let count = unsafe try length(&rest), unsafe !rest.isEmpty else { return .incomplete }
            if rest.count >= count, unsafe !isKept(rest) {
                announced = nil
                return unsafe .passing(Self.cut(count, off: &rest))
            }
            return .needsMemory(count + NetworkConfiguration.firstReadBytes)
        }
        if !isWhole, unsafe !rest.isEmpty { unsafe copy(&rest) }
        guard let whole = arriving, isWhole else { return .incomplete }
        arriving = nil
        if whole.received > whole.count {
            unsafe rest = UnsafeRawBufferPointer(
                start: whole.memory.base + whole.count, count: whole.received - whole.count)
        }
        return unsafe .received(
            ReceivedFrame(UnsafeMutableRawBufferPointer(start: whole.memory.base, count: whole.count)) {
                [pool, memory = whole.memory] in pool.giveBack(memory)
            })
    }

    /// Keeps bytes for later, behind what was kept before.
    func keep(_ rest: UnsafeRawBufferPointer) {
        if let whole = arriving, whole.received > whole.count {
            // What came with a request that must wait, too: its memory is for one request.
            arriving!.received = whole.count
            unsafe kept.append(
                contentsOf: UnsafeRawBufferPointer(
                    start: whole.memory.base + whole.count, count: whole.received - whole.count))
        }
        unsafe kept.append(contentsOf: rest)
    }

    /// What was kept, to be handled now.
    /// - Parameter body: Takes off what it handles, from the front; the rest is kept. It is called once.
    /// - Complexity: That of `body`: what stays is moved when it is less than what has gone.
    func withKept(_ body: (inout UnsafeRawBufferPointer) -> Void) {
        let (bytes, start) = (kept, keptStart)
        (kept, keptStart) = ([], 0)
        let left = unsafe bytes.withUnsafeBytes { all in
            var rest = unsafe UnsafeRawBufferPointer(rebasing: all[start...])
            unsafe body(&rest)
            return rest.count
        }
        guard left > 0 else { return }
        if 2 * left < bytes.count {
            kept = Array(bytes.suffix(left))
        } else {
            (kept, keptStart) = (bytes, bytes.count - left)
        }
    }

    private func copy(_ rest: inout UnsafeRawBufferPointer) {
        guard let arriving else { return }
        let piece = unsafe Self.cut(min(rest.count, arriving.count - arriving.received), off: &rest)
        unsafe (arriving.memory.base + arriving.received).copyMemory(from: piece.baseAddress!, byteCount: piece.count)
        self.arriving!.received += piece.count
        counters.copiedAtReceiveBytes.count(piece.count)
    }

    /// The length of the request that begins or has begun; nil while its prefix is not whole.
    private func length(_ rest: inout UnsafeRawBufferPointer) throws(WireError) -> Int? {
        if let announced { return announced }
        while prefixCount < FrameLength.bytesCount, unsafe !rest.isEmpty {
            prefix = prefix << 8 | UInt32(unsafe Self.cut(1, off: &rest)[0])
            prefixCount += 1
        }
        guard prefixCount == FrameLength.bytesCount else { return nil }
        let announcedBytes = Int32(bitPattern: prefix)
        prefixCount = 0
        // A bare token can be shorter than a request.
        announced = try FrameLength.check(
            announcedBytes, bytesMax: requestBytesMax, bytesMin: hasBareTokens ? 1 : FrameLength.requestBytesMin)
        return announced
    }

    /// Produce requests are handed on with their memory; all others are read at once.
    private func isKept(_ request: UnsafeRawBufferPointer) -> Bool {
        unsafe !hasBareTokens && request.count > 1 && request[0] == 0 && request[1] == UInt8(ApiKey.produce.rawValue)
    }

    private static func cut(_ count: Int, off rest: inout UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let piece = unsafe UnsafeRawBufferPointer(rebasing: rest[..<count])
        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        return unsafe piece
    }
}
