import KafkaProtocol
import Synchronization
import Testing

@testable import KafkaFrontend

/// Requests in any pieces, answers in their order.
@Suite(.timeLimit(.minutes(1))) struct ConnectionTests {
    @Test func apiVersionsIsAnsweredWithoutTheReactor() throws {
        let server = try StubReactor(isKeeping: true) { _ in [] }
        defer { server.stop() }
        let client = try server.connect()
        try client.send(Requests.apiVersions(0, 7))
        let answer = try client.receiveFrame()
        let rows = ApiKey.allCases.filter { $0.advertised != nil }.count
        #expect(answer.count == 4 + 2 + 4 + 6 * rows)
        #expect(Array(answer[..<10]) == [0, 0, 0, 7, 0, 0, 0, 0, 0, UInt8(rows)])
        // As Apache Kafka answers a version that it does not know.
        try client.send(Requests.apiVersions(127, 7))
        let refused: [UInt8] = [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]
        #expect(try client.receiveFrame() == refused)
        #expect(server.commands.isEmpty)
    }

    @Test func answersLeaveInTheOrderOfTheRequests() throws {
        // Answers eight requests at once, the last one first.
        let waiting = Mutex<[KafkaAnswer]>([])
        let server = try StubReactor { command in
            waiting.withLock { waiting in
                waiting += Requests.emptyAnswer(command)
                guard waiting.count == 8 else { return [] }
                defer { waiting = [] }
                return waiting.reversed()
            }
        }
        defer { server.stop() }
        let client = try server.connect()
        for round in Int32(0)..<20 {
            try client.send((0..<8).flatMap { Requests.heartbeat(round * 8 + $0) })
            for number in Int32(0)..<8 { #expect(try client.receiveCorrelationID() == round * 8 + number) }
        }
    }

    @Test func requestsMayBeCutAnywhere() throws {
        let server = try StubReactor(isKeeping: true) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let batch = Requests.batch(valueBytes: 700)
        let frames = [
            Requests.heartbeat(0), Requests.apiVersions(1, 1), Requests.produce(batch, correlationID: 2),
            Requests.heartbeat(3),
        ]
        let bytes = frames.flatMap { $0 }
        let client = try server.connect()
        for cut in 1..<bytes.count {
            try client.send(bytes[..<cut])
            try client.send(bytes[cut...])
            for number in Int32(0)..<4 { #expect(try client.receiveCorrelationID() == number) }
        }
        let slow = try server.connect()
        for byte in bytes { try slow.send([byte]) }
        for number in Int32(0)..<4 { #expect(try slow.receiveCorrelationID() == number) }
        for command in server.commands {
            guard case .produce(_, _, let batches, let frame) = command.body else { continue }
            guard batches.count == 1, case .batch(let range, _) = batches[0] else {
                Issue.record("\(batches)")
                continue
            }
            #expect(unsafe Array(frame.bytes[range]) == batch)
        }
    }

    @Test func producesWithoutAcknowledgementGetNoAnswer() throws {
        let server = try StubReactor { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let client = try server.connect()
        let batch = Requests.batch(valueBytes: 100)
        for number in Int32(0)..<40 {
            try client.send(Requests.produce(batch, correlationID: number, acks: 0))
        }
        try client.send(Requests.heartbeat(40))
        #expect(try client.receiveCorrelationID() == 40)
    }

    @Test func noMoreThanSixteenRequestsAreInFlight() throws {
        let commands = Mutex<[KafkaCommand]>([])
        let server = try StubReactor { command in
            if case .opened = command.body { return [] }
            commands.withLock { $0.append(command) }
            return []
        }
        defer { server.stop() }
        let client = try server.connect()
        try client.send((0..<100).flatMap { Requests.heartbeat($0) })
        #expect(server.waits { commands.withLock { $0.count } == 16 })
        #expect(!server.waits(for: 100_000) { commands.withLock { $0.count } > 16 })
        for number in 0..<100 {
            #expect(server.waits { commands.withLock { $0.count } > number })
            let answers = Requests.emptyAnswer(commands.withLock { $0[number] })
            for loop in 0..<2 { server.network.deliver(answers, toLoop: loop) }
            #expect(try client.receiveCorrelationID() == Int32(number))
        }
    }

    @Test func whatWasSentBeforeTheEndCounts() throws {
        let count = 200
        let held = Mutex<[KafkaCommand]>([])
        let server = try StubReactor { command in
            if case .produce = command.body { held.withLock { $0.append(command) } }
            return []
        }
        defer { server.stop() }
        var client: RawClient? = try server.connect()
        let frame = Requests.produce(Requests.batch(valueBytes: 1500), acks: 0)
        for _ in 0..<count { try client?.send(frame) }
        #expect(server.waits { held.withLock { $0.count } == 16 })
        client = nil
        for number in 0..<count {
            #expect(server.waits { held.withLock { $0.count } > number })
            let answers = Requests.emptyAnswer(held.withLock { $0[number] })
            for loop in 0..<2 { server.network.deliver(answers, toLoop: loop) }
        }
        #expect(server.waits { server.resources.connectionCount.load(ordering: .relaxed) == 0 })
    }

    /// What is kept of requests has one bound for all: who holds most is closed, not who comes last.
    @Test func whoKeepsMostIsClosedFirst() throws {
        let held = Mutex<[KafkaCommand]>([])
        let configuration = StubReactor.configuration { $0.keptBytesMax = 100_000 }
        let server = try StubReactor(configuration) { command in
            if case .request = command.body { held.withLock { $0.append(command) } }
            return []
        }
        defer { server.stop() }
        let hoarder = try server.connect()
        try hoarder.send((0..<2_500).flatMap { Requests.heartbeat($0) })
        hoarder.endSending()
        #expect(server.waits { server.resources.kept.bytes > 60_000 })
        let hoarded = held.withLock { $0.count }
        #expect(hoarded == 16)
        let late = try server.connect()
        let count = 1_500
        try late.send((0..<Int32(count)).flatMap { Requests.heartbeat($0) })
        late.endSending()
        #expect(hoarder.isClosedByPeer())
        for number in 0..<count {
            guard server.waits(until: { held.withLock { $0.count } > hoarded + number }) else {
                Issue.record("request \(number) did not come")
                return
            }
            let answers = Requests.emptyAnswer(held.withLock { $0[hoarded + number] })
            for loop in 0..<2 { server.network.deliver(answers, toLoop: loop) }
        }
        #expect(server.counter("protocol_errors") == 1)
        #expect(server.waits { server.resources.kept.bytes == 0 })
    }

    @Test func aMutedConnectionIsReadLater() throws {
        let server = try StubReactor { command in
            Requests.emptyAnswer(command).map {
                var answer = $0
                answer.throttleMilliseconds = 200
                return answer
            }
        }
        defer { server.stop() }
        let client = try server.connect()
        let clock = ContinuousClock()
        let time = try clock.measure {
            for number in Int32(0)..<4 {
                try client.send(Requests.heartbeat(number))
                #expect(try client.receiveCorrelationID() == number)
            }
        }
        // The fourth answer comes after three pauses.
        #expect(time >= .milliseconds(590))
    }

    @Test func whatCannotBeServedEndsTheConnection() throws {
        let server = try StubReactor(StubReactor.configuration { $0.requestBytesMax = 1 << 20 }) {
            Requests.emptyAnswer($0)
        }
        defer { server.stop() }
        let bystander = try server.connect()
        let bad: [[UInt8]] = [
            [0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], Requests.bytes(Int32(1 << 20 + 1)),
            Requests.bytes(Int32(9)), Requests.frame(12, version: 99), Requests.frame(999, version: 0),
            Requests.frame(4, version: 0), Requests.frame(12, version: 0, [0xff]), Requests.frame(0, version: 2),
            Array("GET / HTTP/1.1\r\n\r\n".utf8), Requests.frame(12, version: 0, [0x7f, 0xff]),
        ]
        for (index, bytes) in bad.enumerated() {
            let client = try server.connect()
            try client.send(bytes)
            #expect(client.isClosedByPeer(), "\(bytes)")
            try bystander.send(Requests.heartbeat(Int32(index)))
            #expect(try bystander.receiveCorrelationID() == Int32(index))
        }
        #expect(server.counter("protocol_errors") == bad.count)
        #expect(server.resources.pool.byteCounts.held < 1 << 20)
    }

    @Test func theReactorCanEndAConnection() throws {
        let server = try StubReactor { command in
            guard case .request = command.body else { return [] }
            return [KafkaAnswer(connection: command.connection, number: 999, body: .close("because"))]
        }
        defer { server.stop() }
        let client = try server.connect()
        try client.send(Requests.heartbeat(1))
        #expect(client.isClosedByPeer())
    }

    @Test func connectionsAreOpenedAndClosedForTheReactor() throws {
        let server = try StubReactor(isKeeping: true) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        var client: RawClient? = try server.connect()
        try client?.send(Requests.heartbeat(1))
        _ = try client?.receiveFrame()
        _ = try server.connect()
        client = nil
        #expect(server.waits { server.commands.count == 3 })
        guard case .opened(let peer) = server.commands[0].body, case .request = server.commands[1].body,
            case .closed = server.commands[2].body
        else {
            Issue.record("\(server.commands)")
            return
        }
        #expect(peer.host == "/127.0.0.1" && peer.principal == "User:ANONYMOUS")
        #expect(server.waits { server.resources.connectionCount.load(ordering: .relaxed) == 0 })
    }

    @Test func thereIsALimitToConnections() throws {
        let server = try StubReactor(StubReactor.configuration { $0.connectionsMax = 3 }) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        var clients: [RawClient] = []
        for number in Int32(0)..<3 {
            clients.append(try server.connect())
            try clients.last?.send(Requests.heartbeat(number))
            #expect(try clients.last?.receiveCorrelationID() == number)
        }
        #expect(try server.connect().isClosedByPeer())
        #expect(server.counter("connections_refused") == 1)
        clients.removeLast()
        #expect(server.waits { server.resources.connectionCount.load(ordering: .relaxed) == 2 })
        let next = try server.connect()
        try next.send(Requests.heartbeat(9))
        #expect(try next.receiveCorrelationID() == 9)
    }

    @Test func silentConnectionsAreClosed() throws {
        let server = try StubReactor(StubReactor.configuration { $0.connectionsMaxIdleMilliseconds = 200 }) { command in
            // Heartbeats wait for ever: that is not silence.
            []
        }
        defer { server.stop() }
        let waiting = try server.connect()
        try waiting.send(Requests.heartbeat(1))
        let silent = try server.connect()
        let half = try server.connect()
        try half.send([0, 0])
        #expect(silent.isClosedByPeer() && half.isClosedByPeer())
        #expect(server.counter("timeouts") == 2)
        try waiting.send(Requests.heartbeat(2))
        #expect(server.waits { server.resources.connectionCount.load(ordering: .relaxed) == 1 })
    }
}
