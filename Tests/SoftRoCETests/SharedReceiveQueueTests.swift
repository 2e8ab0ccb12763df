import RDMATransport
import Testing
import TransportTestSupport

/// Receives that several queue pairs take from.
@Suite(.serialized) struct SharedReceiveQueueTests {
    func pair(_ placement: Placement) throws -> VerbsPair { try VerbsPair(placement) { $0.sharedDepth = 16 } }

    @Test(arguments: Placement.allCases) func messagesTakeSharedReceives(_ placement: Placement) throws {
        let pair = try pair(placement)
        for number in 0..<4 { try pair.far.receive(number * 100, 100, workID: UInt64(number)) }
        for number in 0..<4 {
            try pair.near.fill(0, 50, seed: UInt8(number))
            try pair.near.post(.send, 0, 50)
            try pair.near.success()
            let arrived = try pair.far.success(UInt64(number))
            #expect(arrived.queuePair == pair.far.about.queuePair)
            #expect(try pair.far.bytes(number * 100, 50) == pattern(50, seed: UInt8(number)))
        }
    }

    @Test(arguments: Placement.allCases) func scatteredSharedReceives(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive([VerbsRun(0, 10), VerbsRun(100, 10)])
        try pair.near.fill(0, 15, seed: 2)
        try pair.near.post(.send, 0, 15)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 15)
        #expect(try pair.far.bytes(0, 10) + pair.far.bytes(100, 5) == pattern(15, seed: 2))
    }

    /// One event when the receives left are fewer than the limit; then it must be armed again.
    @Test(arguments: Placement.allCases) func theLimitEventComesOnce(_ placement: Placement) throws {
        let pair = try pair(placement)
        for number in 0..<6 { try pair.far.receive(number * 100, 100) }
        #expect(try pair.far.perform { .armShared(end: $0, limit: 4) }.byteCount == 4)
        for _ in 0..<2 {
            try pair.near.post(.send, 0, 8)
            try pair.near.success()
            try pair.far.success()
        }
        #expect(try !pair.far.perform { .deviceEvent(end: $0, milliseconds: 0) }.isFound)
        for _ in 0..<2 {
            try pair.near.post(.send, 0, 8)
            try pair.near.success()
            try pair.far.success()
        }
        let event = try pair.far.perform { .deviceEvent(end: $0, milliseconds: 10_000) }
        #expect(event.isFound)
        #expect(event.event == DeviceEvent.Kind.sharedReceiveLimitReached.rawValue)
        #expect(try !pair.far.perform { .deviceEvent(end: $0, milliseconds: 0) }.isFound)
    }

    /// A failed queue pair says that it will take no more receives.
    @Test(arguments: Placement.allCases) func theLastWorkEventFollowsAFailure(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 100)
        try pair.far.perform { .move(end: $0, .error) }
        let event = try pair.far.perform { .deviceEvent(end: $0, milliseconds: 10_000) }
        #expect(event.event == DeviceEvent.Kind.lastWorkReached.rawValue)
        #expect(event.element == pair.far.about.queuePair)
    }

    /// Two queue pairs of one shared queue.
    @Test func twoQueuePairsShare() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let shared = try SharedReceiveQueue(depth: 8, in: domain)
        let queue = try CompletionQueue(context: context, depth: 32)
        let options = QueuePairOptions(depths: .init(send: 4, receive: 0))
        let one = try QueuePair(options, in: domain, sends: queue, receives: queue, shared: shared)
        let two = try QueuePair(options, in: domain, sends: queue, receives: queue, shared: shared)
        let address = try context.selectGID()
        try one.initialize()
        try two.initialize()
        try one.connect(to: .init(peerQueuePair: two.number, peerAddress: address, localGIDIndex: address.index))
        try two.connect(to: .init(peerQueuePair: one.number, peerAddress: address, localGIDIndex: address.index))
        try one.readyToSend()
        try two.readyToSend()
        let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        var receives = ReceiveChain(capacity: 2)
        unsafe receives.append(workID: 1, region.element(offset: 0, byteCount: 64))
        unsafe receives.append(workID: 2, region.element(offset: 64, byteCount: 64))
        #expect(receives.post(to: shared) == .posted)
        var chain = SendChain(capacity: 1)
        for sender in 0..<2 {
            unsafe chain.append(.send, workID: 10, flags: .signaled, region.element(offset: 1024, byteCount: 8))
            #expect((sender == 0 ? chain.post(to: one) : chain.post(to: two)) == .posted)
            let arrived = try nextCompletions(queue, 2).first { $0.operation == .receive }!
            #expect(arrived.workID == UInt64(sender + 1))
            #expect(arrived.queuePair == (sender == 0 ? two.number : one.number))
        }
    }

    @Test func moreReceivesThanTheQueueHolds() throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let shared = try SharedReceiveQueue(depth: 4, in: domain)
        var chain = ReceiveChain(capacity: 200)
        for number in 0..<200 { unsafe chain.append(workID: UInt64(number), nil) }
        #expect(chain.post(to: shared) == .queueFull)
        #expect(chain.count >= 200 - max(shared.depth, 4) * 2 && chain.count < 200)
    }

    @Test func aLimitAboveTheDepthIsRefused() throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let shared = try SharedReceiveQueue(depth: 4, in: domain)
        #expect(throws: FabricError.self) { try shared.arm(limit: shared.depth + 1) }
        #expect(try shared.armedLimit() == 0)
    }
}
