import Glibc
import Synchronization
import Testing
import TransportTestSupport

@testable import RDMATransport

/// Two reliable queue pairs of this process, connected by hand, and a pool.
struct BufferedPair: ~Copyable {
    let queue: CompletionQueue
    let first: QueuePair
    let second: QueuePair
    let pool: BufferPool

    init(buffers: Int = 8, bufferBytes: Int = 4096, depth: Int = 4, queue: CompletionQueue? = nil) throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try queue ?? CompletionQueue(context: context, depth: 64)
        let options = QueuePairOptions(depths: .init(send: depth, receive: depth))
        let first = try QueuePair(options, in: domain, sends: queue, receives: queue)
        let second = try QueuePair(options, in: domain, sends: queue, receives: queue)
        let pool = try BufferPool(
            bufferBytes: bufferBytes, count: buffers, access: [.localWrite, .remoteRead, .remoteWrite], in: domain)
        let address = try context.selectGID()
        let (one, two) = (first.number, second.number)
        try Self.bringUp(first, to: two, address)
        try Self.bringUp(second, to: one, address)
        self.queue = queue
        self.first = first
        self.second = second
        self.pool = pool
    }

    private static func bringUp(_ queuePair: borrowing QueuePair, to peer: UInt32, _ address: GID) throws {
        try queuePair.initialize(access: [.remoteRead, .remoteWrite])
        try queuePair.connect(
            to: QueuePairPath(peerQueuePair: peer, peerAddress: address, localGIDIndex: address.index))
        try queuePair.readyToSend()
    }

    /// The next completion, watched.
    func completion() throws -> WorkCompletion { try nextCompletions(queue, 1)[0] }

    /// Ends both in order; every buffer is home then.
    consuming func close() throws {
        try first.close(returning: pool)
        try second.close(returning: pool)
        let posted = pool.postedCount
        #expect(posted == 0)
    }
}

func nextCompletions(_ queue: CompletionQueue, _ count: Int) throws -> [WorkCompletion] {
    let deadline = monotonicNanoseconds() + 20_000_000_000
    var taken: [WorkCompletion] = []
    while taken.count < count {
        for index in 0..<queue.poll() { taken.append(queue[index]) }
        try expect(monotonicNanoseconds() < deadline, "\(taken.count) of \(count) completions within 20 s")
    }
    return taken
}

func expectPosted(_ posting: consuming BufferPosting) {
    if case .refused(_, let outcome) = consume posting { Issue.record("not posted: \(outcome)") }
}

/// Memory that belongs to the program or to the device, over Soft-RoCE.
@Suite(.serialized) struct BufferPoolTests {
    @Test func aBufferTravelsAndComesBack() throws {
        let pair = try BufferedPair()
        expectPosted(pair.second.postReceive(pair.pool.take()!))
        var buffer = pair.pool.take()!
        let message = pattern(1000, seed: 7)
        unsafe buffer.copy(from: message.span.bytes)
        #expect(buffer.byteCount == 1000)
        expectPosted(pair.first.post(.sendWithImmediate(99), buffer))
        #expect(pair.pool.postedCount == 2)
        for completion in try nextCompletions(pair.queue, 2) {
            #expect(completion.status == .success)
            let buffer = pair.pool.reclaim(completion)
            guard completion.operation == .receive else { continue }
            #expect(completion.immediate == 99)
            #expect(buffer.byteCount == 1000)
            let read = contents(buffer)
            #expect(read == message)
        }
        #expect(pair.pool.postedCount == 0)
        #expect(pair.pool.availableCount == 8)
        try pair.close()
    }

    @Test func anRDMAReadFillsABuffer() throws {
        let pair = try BufferedPair()
        var source = pair.pool.take()!
        unsafe source.copy(from: pattern(4096, seed: 3).span.bytes)
        var sink = pair.pool.take()!
        sink.byteCount = 4096
        expectPosted(pair.first.post(.read(source.remote()), sink))
        let completion = try pair.completion()
        #expect(completion.status == .success)
        var back = pair.pool.reclaim(completion)
        back.byteCount = 4096
        let read = contents(back)
        #expect(read == pattern(4096, seed: 3))
        try pair.close()
    }

    @Test func aFullQueueGivesTheBufferBack() throws {
        let pair = try BufferedPair(buffers: 200, depth: 4)
        var posted = 0
        var refusal: PostOutcome?
        while refusal == nil, let buffer = pair.pool.take() {
            switch pair.second.postReceive(buffer) {
            case .posted: posted += 1
            case .refused(let buffer, let outcome):
                refusal = outcome
                #expect(buffer.capacity == 4096)
            }
        }
        #expect(refusal == .queueFull)
        #expect(posted >= 4)
        #expect(pair.pool.postedCount == posted)
        #expect(pair.pool.availableCount == 200 - posted)
        try pair.close()
    }

    @Test func takingEveryBufferLeavesNone() throws {
        let pair = try BufferedPair(buffers: 2)
        let one = pair.pool.take()
        let two = pair.pool.take()
        let none = pair.pool.take() == nil
        #expect(none)
        drop(one)
        #expect(pair.pool.availableCount == 1)
        drop(two)
        #expect(pair.pool.availableCount == 2)
        try pair.close()
    }

    @Test func closingBringsEveryPostedBufferBack() throws {
        let pair = try BufferedPair(buffers: 8, depth: 4)
        for _ in 0..<4 { expectPosted(pair.first.postReceive(pair.pool.take()!)) }
        for _ in 0..<4 { expectPosted(pair.second.postReceive(pair.pool.take()!)) }
        #expect(pair.pool.postedCount == 8)
        let leaked = BufferPool.leakedBytes
        try pair.close()
        #expect(BufferPool.leakedBytes == leaked)
    }

    @Test func aCompletionTakenTwiceTraps() async throws {
        await #expect(processExitsWith: .failure) {
            let pair = try BufferedPair()
            expectPosted(pair.second.postReceive(pair.pool.take()!))
            var buffer = pair.pool.take()!
            buffer.byteCount = 1
            expectPosted(pair.first.post(.send, buffer))
            let completion = try pair.completion()
            drop(pair.pool.reclaim(completion))
            drop(pair.pool.reclaim(completion))
            exit(0)
        }
    }

    @Test func aCompletionOfAnotherPoolTraps() async throws {
        await #expect(processExitsWith: .failure) {
            let pair = try BufferedPair()
            let other = try BufferedPair()
            expectPosted(pair.second.postReceive(pair.pool.take()!))
            var buffer = pair.pool.take()!
            buffer.byteCount = 1
            expectPosted(pair.first.post(.send, buffer))
            drop(other.pool.reclaim(try pair.completion()))
            exit(0)
        }
    }

    /// What the device may still write is never freed: the pool leaks, says so, and traps in debug builds.
    @Test func droppingAPoolWithPostedBuffersTrapsInDebug() async throws {
        await #expect(processExitsWith: .failure) {
            let context = try DeviceContext(name: "rxe0")
            let domain = try ProtectionDomain(context: context)
            let queue = try CompletionQueue(context: context, depth: 64)
            let options = QueuePairOptions(depths: .init(send: 4, receive: 4))
            let queuePair = try QueuePair(options, in: domain, sends: queue, receives: queue)
            try queuePair.initialize()
            do {
                let pool = try BufferPool(bufferBytes: 64, count: 2, in: domain)
                expectPosted(queuePair.postReceive(pool.take()!))
            }
            exit(0)
        }
    }

    @Test func contentsLongerThanABufferTrap() async throws {
        await #expect(processExitsWith: .failure) {
            let pair = try BufferedPair(bufferBytes: 64)
            var buffer = pair.pool.take()!
            buffer.byteCount = 65
            exit(0)
        }
    }
}

func drop<T: ~Copyable>(_ value: consuming T) {}

func contents(_ buffer: borrowing RegisteredBuffer) -> [UInt8] {
    unsafe buffer.bytes.withUnsafeBytes { unsafe Array($0) }
}
