import RDMATransport
import Testing
import TransportTestSupport

/// The extended calls (`ibv_wr_*`): requests written straight into the queue.
@Suite(.serialized) struct ExtendedPostTests {
    func pair(_ placement: Placement, _ operations: ExtendedOperations = .reliable) throws -> VerbsPair {
        try VerbsPair(placement) {
            $0.extendedOperations = operations.rawValue
            $0.inlineBytesMax = 128
        }
    }

    @Test(arguments: Placement.allCases) func send(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 100)
        try pair.near.fill(0, 100, seed: 1)
        try pair.near.post(.send, 0, 100) { $0.workID = 5 }
        try pair.near.success(5)
        try pair.far.success()
        #expect(try pair.far.bytes(0, 100) == pattern(100, seed: 1))
    }

    @Test(arguments: Placement.allCases) func sendWithImmediate(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 100)
        try pair.near.post(.sendImmediate, 0, 8) { $0.immediate = 0x0102_0304 }
        try pair.near.success()
        #expect(try pair.far.success().immediate == 0x0102_0304)
    }

    @Test(arguments: Placement.allCases) func write(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.near.fill(0, 4000, seed: 2)
        try pair.near.post(.write, 0, 4000) { $0.aim(at: pair.far, 8) }
        try pair.near.success()
        #expect(try pair.far.bytes(8, 4000) == pattern(4000, seed: 2))
    }

    @Test(arguments: Placement.allCases) func writeWithImmediate(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive([])
        try pair.near.post(.writeImmediate, 0, 8) {
            $0.aim(at: pair.far)
            $0.immediate = 6
        }
        try pair.near.success()
        #expect(try pair.far.success().immediate == 6)
    }

    @Test(arguments: Placement.allCases) func read(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.fill(0, 3000, seed: 3)
        try pair.near.post(.read, 0, 3000) { $0.aim(at: pair.far) }
        try pair.near.success()
        #expect(try pair.near.bytes(0, 3000) == pattern(3000, seed: 3))
    }

    @Test(arguments: Placement.allCases) func atomics(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.near.post(.fetchAndAdd, 0, 8) {
            $0.aim(at: pair.far)
            $0.first = 5
        }
        try pair.near.success()
        try pair.near.post(.compareAndSwap, 8, 8) {
            $0.aim(at: pair.far)
            ($0.first, $0.second) = (5, 6)
        }
        try pair.near.success()
        #expect(try pair.near.bytes(8, 1) == [5])
        #expect(try pair.far.bytes(0, 1) == [6])
    }

    @Test(arguments: Placement.allCases) func inline(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 128)
        try pair.near.fill(0, 128, seed: 4)
        try pair.near.post(.send, 0, 128) { $0.isInline = true }
        try pair.near.fill(0, 128, seed: 5)
        try pair.near.success()
        try pair.far.success()
        #expect(try pair.far.bytes(0, 128) == pattern(128, seed: 4))
    }

    @Test(arguments: Placement.allCases) func severalElements(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.near.fill(0, 200, seed: 6)
        try pair.near.post(.write) {
            $0.runs = [VerbsRun(100, 100), VerbsRun(0, 100)]
            $0.aim(at: pair.far)
        }
        try pair.near.success()
        let sent = pattern(200, seed: 6)
        #expect(try pair.far.bytes(0, 200) == Array(sent[100...] + sent[..<100]))
    }

    /// Several requests, one doorbell, one completion.
    @Test(arguments: Placement.allCases) func severalRequestsAtOnce(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.near.fill(0, 80, seed: 7)
        let posts = (0..<10).map { number in
            var post = VerbsPost(.write)
            post.runs = [VerbsRun(number * 8, 8)]
            post.flags = number == 9 ? SendFlags.signaled.rawValue : 0
            post.workID = UInt64(number)
            post.aim(at: pair.far, number * 8)
            return post
        }
        #expect(try pair.near.post(posts) == "posted")
        try pair.near.success(9)
        #expect(try pair.far.bytes(0, 80) == pattern(80, seed: 7))
    }

    /// A full queue takes nothing of the group.
    @Test func aGroupIsPostedWholeOrNotAtAll() throws {
        let pair = try VerbsPair(.sameProcess) {
            $0.extendedOperations = ExtendedOperations.reliable.rawValue
            $0.sendDepth = 4
            $0.completionDepth = 512
        }
        let posts = (0..<300).map { number in
            var post = VerbsPost(.write)
            post.runs = [VerbsRun(0, 8)]
            post.workID = UInt64(number)
            post.aim(at: pair.far, 64)
            return post
        }
        #expect(try pair.near.post(posts) == "queueFull")
        #expect(try pair.near.poll() == nil)
        #expect(try pair.near.post(Array(posts[..<3])) == "posted")
        for number in 0..<3 { try pair.near.success(UInt64(number)) }
    }

    @Test(arguments: Placement.allCases) func datagrams(_ placement: Placement) throws {
        let pair = try VerbsPair(placement) {
            $0.kind = QueuePairKind.unreliableDatagram.rawValue
            $0.extendedOperations = ExtendedOperations([.send, .sendWithImmediate]).rawValue
        }
        try pair.far.receive(0, 200)
        try pair.near.fill(0, 100, seed: 8)
        try pair.near.post(.sendTo, 0, 100) {
            ($0.queuePair, $0.address, $0.queueKey) = (pair.far.about.queuePair, pair.far.about.address, 0x1111)
        }
        try pair.near.success()
        try pair.far.success()
        #expect(try pair.far.bytes(datagramHeaderBytes, 100) == pattern(100, seed: 8))
    }

    @Test(arguments: Placement.allCases) func anAtomicWriteIsWholeOrUnsupported(_ placement: Placement) throws {
        do {
            let pair = try pair(placement, [.send, .atomicWrite])
            try pair.near.post(.atomicWrite) {
                $0.aim(at: pair.far, 16)
                $0.first = 0x0807_0605_0403_0201
            }
            #expect(try pair.near.success().operation == WorkCompletion.Operation.atomicWrite.rawValue)
            #expect(try pair.far.bytes(16, 8) == [1, 2, 3, 4, 5, 6, 7, 8])
        } catch let failure as VerbsEndFailure {
            #expect(failure.code == "unsupported", "\(failure)")
            print("not on rxe0: atomic write")
        }
    }

    @Test func anOperationThatWasNotAskedForTraps() async {
        await #expect(processExitsWith: .failure) {
            let pair = try VerbsPair(.sameProcess) { $0.extendedOperations = ExtendedOperations.send.rawValue }
            try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        }
    }

    @Test func chainsOnlyTrapsOnExtendedCalls() async {
        await #expect(processExitsWith: .failure) {
            let context = try DeviceContext(name: "rxe0")
            let queue = try CompletionQueue(context: context, depth: 16)
            let queuePair = try QueuePair(
                QueuePairOptions(depths: .init(send: 4, receive: 4)), in: try ProtectionDomain(context: context),
                sends: queue, receives: queue)
            _ = queuePair.write { _ in }
        }
    }
}
