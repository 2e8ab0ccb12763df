import RDMATransport
import Testing
import TransportTestSupport

/// Datagrams: any peer, one packet, forty bytes in front.
@Suite(.serialized) struct DatagramTests {
    static let header = datagramHeaderBytes

    func pair(_ placement: Placement, _ change: (inout VerbsEndOptions) -> Void = { _ in }) throws -> VerbsPair {
        try VerbsPair(placement) {
            $0.kind = QueuePairKind.unreliableDatagram.rawValue
            change(&$0)
        }
    }

    func send(_ pair: VerbsPair, _ count: Int, _ change: (inout VerbsPost) -> Void = { _ in }) throws {
        try pair.near.post(.sendTo, 0, count) {
            $0.queuePair = pair.far.about.queuePair
            $0.address = pair.far.about.address
            $0.queueKey = 0x1111
            change(&$0)
        }
    }

    @Test(arguments: Placement.allCases) func aDatagramArrivesBehindItsHeader(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 1000)
        try pair.near.fill(0, 500, seed: 1)
        try send(pair, 500)
        try pair.near.success()
        let arrived = try pair.far.success()
        #expect(arrived.byteCount == 500 + Self.header)
        #expect(arrived.hasHeader)
        #expect(arrived.sourceQueuePair == pair.near.about.queuePair)
        #expect(try pair.far.bytes(Self.header, 500) == pattern(500, seed: 1))
    }

    @Test(arguments: Placement.allCases) func anImmediateArrives(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 100)
        try send(pair, 8) {
            $0.operation = .sendToImmediate
            $0.immediate = 77
        }
        try pair.near.success()
        #expect(try pair.far.success().immediate == 77)
    }

    /// The header says where it came from: IPv4 addresses lie at 12 and 16 of its second half.
    @Test(arguments: Placement.allCases) func theHeaderNamesTheSender(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 100)
        try send(pair, 8)
        try pair.near.success()
        try pair.far.success()
        let header = try pair.far.bytes(0, Self.header)
        #expect(header[20] >> 4 == 4)
        #expect(Array(header[32..<36]) == Array(pair.near.about.address[12...]))
        #expect(Array(header[36..<40]) == Array(pair.far.about.address[12...]))
    }

    @Test(arguments: Placement.allCases) func aWrongQueueKeyIsDropped(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 100, workID: 1)
        try send(pair, 8) { $0.queueKey = 0x2222 }
        try pair.near.success()
        try pair.near.fill(0, 8, seed: 9)
        try send(pair, 8)
        try pair.near.success()
        try pair.far.success(1)
        #expect(try pair.far.bytes(Self.header, 8) == pattern(8, seed: 9))
        #expect(try pair.far.poll() == nil)
    }

    @Test(arguments: Placement.allCases) func nobodyThereIsNoError(_ placement: Placement) throws {
        let pair = try pair(placement)
        try send(pair, 8) { $0.queuePair = 0xffff }
        try pair.near.success()
    }

    /// InfiniBand's own rule (C10-93.1.1): it is not sent, and nobody is told.
    @Test(arguments: Placement.allCases) func moreThanOnePacketIsNotSent(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 6000, workID: 1)
        var post = VerbsPost(.sendTo)
        post.runs = [VerbsRun(0, 5000)]
        (post.queuePair, post.address, post.queueKey) = (pair.far.about.queuePair, pair.far.about.address, 0x1111)
        #expect(try pair.near.post([post]) == "posted")
        _ = try pair.near.completion()
        try send(pair, 8)
        try pair.near.success()
        #expect(try pair.far.success(1).byteCount == 8 + Self.header)
    }

    /// One queue pair, several peers.
    @Test func oneQueuePairReachesSeveral() throws {
        let first = try pair(.twoProcesses)
        let second = try pair(.twoProcesses)
        for (number, target) in [first.far, second.far].enumerated() {
            try target.receive(0, 100)
            try first.near.fill(0, 8, seed: UInt8(number))
            try first.near.post(.sendTo, 0, 8) {
                $0.queuePair = target.about.queuePair
                $0.address = target.about.address
                $0.queueKey = 0x1111
            }
            try first.near.success()
            try target.success()
            #expect(try target.bytes(Self.header, 8) == pattern(8, seed: UInt8(number)))
        }
    }

    /// The address handle made from a completion and its header leads back.
    @Test func anAnswerFindsItsWay() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 64)
        let options = QueuePairOptions(.unreliableDatagram, depths: .init(send: 4, receive: 4))
        let here = try QueuePair(options, in: domain, sends: queue, receives: queue)
        let there = try QueuePair(options, in: domain, sends: queue, receives: queue)
        for number in 0..<2 {
            if number == 0 {
                try here.initialize(queueKey: 1)
                try here.readyToReceive()
                try here.readyToSend()
            } else {
                try there.initialize(queueKey: 1)
                try there.readyToReceive()
                try there.readyToSend()
            }
        }
        let pool = try BufferPool(bufferBytes: 256, count: 4, in: domain)
        let address = try context.selectGID()
        let way = try AddressHandle(to: address, localGIDIndex: address.index, in: domain)
        expectPosted(there.postReceive(pool.take()!))
        expectPosted(here.postReceive(pool.take()!))
        var ask = pool.take()!
        ask.byteCount = 10
        expectPosted(here.post(.sendTo(way.destination(queuePair: there.number, queueKey: 1)), ask))
        var answered = false
        for completion in try nextCompletions(queue, 2) {
            let buffer = pool.reclaim(completion)
            guard completion.operation == .receive else { continue }
            let back = try AddressHandle(answering: completion, header: buffer.bytes, in: domain)
            var answer = pool.take()!
            answer.byteCount = 20
            let destination = back.destination(queuePair: completion.sourceQueuePair, queueKey: 1)
            expectPosted(there.post(.sendTo(destination), answer))
            for completion in try nextCompletions(queue, 2) {
                let buffer = pool.reclaim(completion)
                if completion.operation == .receive { answered = buffer.byteCount == 20 + Self.header }
            }
        }
        #expect(answered)
    }
}
