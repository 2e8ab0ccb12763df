import RDMATransport
import Testing
import TransportTestSupport

/// The state machine by hand: `ibv_modify_qp`.
@Suite(.serialized) struct QueuePairStateTests {
    struct Bench {
        let context: DeviceContext
        let domain: ProtectionDomain
        let queue: CompletionQueue
        init() throws {
            context = try DeviceContext(name: "rxe0")
            domain = try ProtectionDomain(context: context)
            queue = try CompletionQueue(context: context, depth: 64)
        }
        func make(_ kind: QueuePairKind = .reliableConnection) throws -> QueuePair {
            try QueuePair(
                QueuePairOptions(kind, depths: .init(send: 4, receive: 4)), in: domain, sends: queue, receives: queue)
        }
        func path(_ peer: UInt32) throws -> QueuePairPath {
            let address = try context.selectGID()
            return QueuePairPath(peerQueuePair: peer, peerAddress: address, localGIDIndex: address.index)
        }
    }

    @Test func eachStepOfAReliableConnection() throws {
        let bench = try Bench()
        let queuePair = try bench.make()
        #expect(try queuePair.state() == .reset)
        try queuePair.initialize()
        #expect(try queuePair.state() == .initialized)
        try queuePair.connect(to: try bench.path(queuePair.number))
        #expect(try queuePair.state() == .readyToReceive)
        try queuePair.readyToSend()
        #expect(try queuePair.state() == .readyToSend)
        queuePair.moveToError()
        #expect(try queuePair.state() == .error)
        try queuePair.reset()
        #expect(try queuePair.state() == .reset)
    }

    @Test func eachStepOfADatagramQueuePair() throws {
        let queuePair = try Bench().make(.unreliableDatagram)
        try queuePair.initialize(queueKey: 5)
        try queuePair.readyToReceive()
        #expect(try queuePair.state() == .readyToReceive)
        try queuePair.readyToSend()
        #expect(try queuePair.state() == .readyToSend)
    }

    @Test func stepsCannotBeLeftOut() throws {
        let bench = try Bench()
        let queuePair = try bench.make()
        #expect(throws: FabricError.self) { try queuePair.readyToSend() }
        let path = try bench.path(queuePair.number)
        let error = #expect(throws: FabricError.self) { try queuePair.connect(to: path) }
        #expect(error?.description.contains("cannot connect to queue pair") == true)
        #expect(error?.operation == "ibv_modify_qp")
        #expect(try queuePair.state() == .reset)
    }

    @Test func aPortThatIsNotThereIsRefused() throws {
        let queuePair = try Bench().make()
        #expect(throws: FabricError.self) { try queuePair.initialize(port: 9) }
    }

    /// A used queue pair starts anew.
    @Test(arguments: Placement.allCases) func resetAndConnectAgain(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.near.post(.write, 0, 8) {
            $0.aim(at: pair.far)
            $0.remoteKey ^= 1
        }
        #expect(try pair.near.completion().status != 0)
        for end in [pair.near, pair.far] { try end.perform { .move(end: $0, .reset) } }
        try pair.far.connect(to: pair.near)
        try pair.near.connect(to: pair.far)
        try pair.near.fill(0, 100, seed: 1)
        try pair.near.post(.write, 0, 100) { $0.aim(at: pair.far) }
        try pair.near.success()
        #expect(try pair.far.bytes(0, 100) == pattern(100, seed: 1))
    }

    /// Draining finishes what is posted and says so.
    @Test(arguments: Placement.allCases) func drainingSaysWhenItIsDone(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        try pair.near.success()
        try pair.near.perform { .move(end: $0, .drain) }
        #expect(try pair.near.state == .sendQueueDrained)
        let event = try pair.near.perform { .deviceEvent(end: $0, milliseconds: 5000) }
        #expect(!event.isFound || event.event == DeviceEvent.Kind.sendQueueDrained.rawValue)
    }

    @Test func attributesAreWhatWasSet() throws {
        let bench = try Bench()
        let queuePair = try bench.make()
        var path = try bench.path(0x123)
        (path.mtuBytes, path.readsServedMax, path.receiverNotReadyTimerCode) = (2048, 3, 9)
        var sending = QueuePairSending()
        (sending.acknowledgementTimeoutCode, sending.retryCount, sending.receiverNotReadyRetryCount) = (11, 5, 4)
        sending.readsInFlightMax = 2
        try queuePair.initialize()
        try queuePair.connect(to: path)
        try queuePair.readyToSend(sending)
        let set = try queuePair.attributes()
        #expect(set.peerQueuePair == 0x123)
        #expect(set.mtuBytes == 2048)
        #expect((set.acknowledgementTimeoutCode, set.retryCount, set.receiverNotReadyRetryCount) == (11, 5, 4))
        #expect(set.receiverNotReadyTimerCode == 9)
        // rxe rounds up to powers of two.
        #expect(set.readsInFlightMax >= 2 && set.readsServedMax >= 3)
        #expect(set.depths.send >= 4 && set.depths.receive >= 4)
        try queuePair.setReceiverNotReadyTimer(code: 14)
        #expect(try queuePair.attributes().receiverNotReadyTimerCode == 14)
    }

    @Test(arguments: [QueuePairKind.extendedReliableSend, .extendedReliableReceive])
    func extendedReliableIsOfferedOrUnsupported(_ kind: QueuePairKind) throws {
        let bench = try Bench()
        let isThere = try bench.context.attributes().capabilities.contains(.extendedReliable)
        do {
            let domain = try ExtendedReliableDomain(context: bench.context)
            let queuePair = try QueuePair(
                QueuePairOptions(kind, depths: .init(send: 4, receive: 0)), in: bench.domain, sends: bench.queue,
                receives: bench.queue, extendedDomain: kind == .extendedReliableReceive ? domain : nil)
            #expect(queuePair.number != 0)
            #expect(isThere)
        } catch {
            #expect(error.code == .unsupported, "\(error)")
            #expect(!isThere)
            print("not on rxe0: \(kind)")
        }
    }

    @Test func tooManyRequestsAreRefused() throws {
        let bench = try Bench()
        let depth = try bench.context.attributes().workRequestsMax + 1
        let error = #expect(throws: FabricError.self) {
            _ = try QueuePair(
                QueuePairOptions(depths: .init(send: depth, receive: 1)), in: bench.domain, sends: bench.queue,
                receives: bench.queue)
        }
        #expect(error?.description.contains("\(depth) + 1 requests") == true)
    }

    @Test func parentsOutliveTheQueuePair() throws {
        var bench: Bench? = try Bench()
        let queuePair = try bench!.make()
        bench = nil
        // Device, domain and completion queue are gone for everybody else.
        try queuePair.initialize()
        #expect(try queuePair.state() == .initialized)
    }
}
