import Foundation
import KafkaProtocol
import RecordFormat
import Synchronization
import Testing

@testable import KafkaFrontend

/// Where bytes go: in place, from files, and never without bound.
@Suite(.timeLimit(.minutes(1))) struct TransferTests {
    @Test func largeRequestsAreReceivedInPlace() throws {
        let batch = Requests.batch(valueBytes: 300_000)
        let server = try StubReactor { command in
            if case .produce(_, _, let batches, let frame) = command.body {
                guard case .batch(let range, _) = batches[0], unsafe sameBytes(frame.bytes[range], batch) else {
                    return [KafkaAnswer(connection: command.connection, number: 0, body: .close("other bytes"))]
                }
            }
            return Requests.emptyAnswer(command)
        }
        defer { server.stop() }
        let client = try server.connect()
        let count = 100
        let frame = Requests.produce(batch)
        let sender = Thread { for _ in 0..<count { try? client.send(frame) } }
        sender.start()
        for _ in 0..<count { _ = try client.receiveFrame() }
        let copied = server.counter("copied_at_receive_bytes")
        #expect(copied <= 512 * count)
        #expect(copied + server.counter("received_in_place_bytes") >= (frame.count - 4) * count)
        // Memory is used again: the 16 requests in flight, those that the reactor has answered and not let go, and the
        // one that arrives.
        #expect(server.resources.pool.byteCounts.held <= 33 * FramePool.roundedUp(frame.count + 512))
        #expect(server.waits { server.resources.pool.byteCounts.used == 0 })
    }

    @Test(arguments: [true, false]) func rangesOfFilesAreSentAsTheyAre(isZeroCopy: Bool) throws {
        let file = try FilledFile(count: 600_000)
        let ranges = [0..<200_000, 5..<6, 300_000..<300_000, 123_457..<600_000]
        let server = try StubReactor(StubReactor.configuration { $0.isZeroCopy = isZeroCopy }) { command in
            guard case .fetch = command.body else { return Requests.emptyAnswer(command) }
            return [KafkaAnswer(connection: command.connection, number: command.number, body: file.answer(ranges))]
        }
        defer { server.stop() }
        let client = try server.connect()
        for round in Int32(0)..<5 {
            for number in Int32(0)..<4 {
                try client.send(Requests.fetch(round * 8 + 2 * number))
                try client.send(Requests.heartbeat(round * 8 + 2 * number + 1))
            }
            for number in Int32(0)..<4 {
                let answer = try client.receiveFrame()
                #expect(sameBytes(answer, file.frame(ranges, correlationID: round * 8 + 2 * number)))
                #expect(try client.receiveCorrelationID() == round * 8 + 2 * number + 1)
            }
        }
        let payload = 20 * ranges.reduce(0) { $0 + $1.count }
        #expect(server.waits { server.counter("sendfile_bytes") == (isZeroCopy ? payload : 0) })
        #expect(server.counter("copied_to_send_bytes") == (isZeroCopy ? 0 : payload))
    }

    @Test(arguments: [true, false]) func whoReadsSlowlyIsAnsweredNoFurther(isZeroCopy: Bool) throws {
        let file = try FilledFile(count: 1 << 18)
        let ranges = Array(repeating: 0..<1 << 18, count: 4)
        let fetches = Mutex(0)
        let server = try StubReactor(StubReactor.configuration { $0.isZeroCopy = isZeroCopy }) { command in
            guard case .fetch = command.body else { return Requests.emptyAnswer(command) }
            fetches.withLock { $0 += 1 }
            let body = file.answer(ranges)
            return [KafkaAnswer(connection: command.connection, number: command.number, body: body)]
        }
        defer { server.stop() }
        let slow = try RawClient(port: server.network.boundPort, receiveBufferBytes: 65_536)
        let other = try server.connect()
        let count = 60
        let requests = (0..<count).flatMap { Requests.fetch(Int32($0)) }
        try slow.send(requests)
        #expect(server.waits { fetches.withLock { $0 } >= 1 })
        for number in Int32(0)..<100 {
            try other.send(Requests.heartbeat(number))
            #expect(try other.receiveCorrelationID() == number)
        }
        // What the kernel buffers of answers, and what was read in one piece before the first was answered.
        #expect(fetches.withLock { $0 } <= 32)
        for number in 0..<count {
            let answer = try slow.receiveFrame()
            #expect(sameBytes(answer, file.frame(ranges, correlationID: Int32(number))))
        }
        #expect(fetches.withLock { $0 } == count)
    }

    @Test func aConnectionMayEndInTheMiddleOfAnAnswer() throws {
        let file = try FilledFile(count: 1 << 18)
        let ranges = Array(repeating: 0..<1 << 18, count: 16)
        let server = try StubReactor { command in
            guard case .fetch = command.body else { return Requests.emptyAnswer(command) }
            let body = file.answer(ranges)
            return [KafkaAnswer(connection: command.connection, number: command.number, body: body)]
        }
        defer { server.stop() }
        for _ in 0..<20 {
            let client = try RawClient(port: server.network.boundPort, receiveBufferBytes: 65_536)
            try client.send(Requests.fetch(1) + Requests.fetch(2))
            _ = try client.receive(1000)
        }
        let client = try server.connect()
        try client.send(Requests.fetch(3))
        #expect(sameBytes(try client.receiveFrame(), file.frame(ranges, correlationID: 3)))
    }

    @Test func memoryIsBoundedAndGivenInOrder() throws {
        // Room for three of the requests below.
        let batch = Requests.batch(valueBytes: 1_000_000)
        let frame = Requests.produce(batch)
        let piece = FramePool.roundedUp(frame.count + 512)
        let held = Mutex<[KafkaCommand]>([])
        let configuration = StubReactor.configuration {
            $0.requestBytesMax = 2 << 20
            $0.queuedBytesMax = 3 * piece
            // Two loops could hand over in another order than they were given memory.
            $0.threads = 1
            $0.batchBytesMax = 2 << 20
        }
        let server = try StubReactor(configuration) { command in
            guard case .produce = command.body else { return Requests.emptyAnswer(command) }
            held.withLock { $0.append(command) }
            return []
        }
        defer { server.stop() }
        var clients: [RawClient] = []
        var senders: [Thread] = []
        for index in 0..<8 {
            let client = try server.connect()
            clients.append(client)
            let sender = Thread { try? client.send(frame) }
            senders.append(sender)
            sender.start()
            // Each has asked for memory before the next one comes: two are given some, the others wait.
            #expect(server.waits { held.withLock { $0.count } == min(2, index + 1) })
            #expect(server.waits { server.resources.pool.waiterCount == max(0, index - 1) })
        }
        #expect(server.resources.pool.byteCounts.used <= 3 * piece)
        // Small requests of others go on.
        let other = try server.connect()
        try other.send(Requests.heartbeat(1))
        #expect(try other.receiveCorrelationID() == 1)
        var order: [UInt64] = []
        for answered in 0..<8 {
            // Of two that read at the same time either may be the first to have all.
            #expect(server.waits { held.withLock { $0.count } == min(2, 8 - answered) })
            let command = held.withLock { $0.removeFirst() }
            order.append(command.connection)
            server.network.deliver(Requests.emptyAnswer(command), toLoop: 0)
        }
        #expect(order == order.sorted())
        for client in clients { _ = try client.receiveFrame() }
        #expect(server.resources.pool.byteCounts.held <= 3 * piece)
    }

    @Test func memoryThatIsHeldWithoutUseIsTakenBack() throws {
        let configuration = StubReactor.configuration {
            $0.requestBytesMax = 1 << 20
            $0.queuedBytesMax = 2 << 20
            $0.requestTimeoutMilliseconds = 200
        }
        let server = try StubReactor(configuration) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let frame = Requests.produce(Requests.batch(valueBytes: 1_000_000))
        let hoarders = try (0..<4).map { _ in try server.connect() }
        for hoarder in hoarders { try hoarder.send(frame[..<600]) }
        let client = try server.connect()
        try client.send(frame)
        _ = try client.receiveFrame()
        for hoarder in hoarders { #expect(hoarder.isClosedByPeer()) }
        #expect(server.counter("timeouts") == 4)
        #expect(server.waits { server.resources.pool.byteCounts.used == 0 })
    }

    /// Whoever takes no answers gets no time for the rest of a request, and is not kept for ever.
    @Test(arguments: [true, false]) func whoTakesNoAnswersIsNotWaitedFor(hasRequest: Bool) throws {
        let file = try FilledFile(count: 1 << 18)
        let ranges = Array(repeating: 0..<1 << 18, count: 40)
        let held = Mutex<[KafkaCommand]>([])
        let configuration = StubReactor.configuration {
            $0.requestBytesMax = 2 << 20
            if hasRequest { $0.requestTimeoutMilliseconds = 200 } else { $0.connectionsMaxIdleMilliseconds = 200 }
        }
        let server = try StubReactor(configuration) { command in
            if case .fetch = command.body { held.withLock { $0.append(command) } }
            return []
        }
        defer { server.stop() }
        let client = try RawClient(port: server.network.boundPort, receiveBufferBytes: 65_536)
        let half = hasRequest ? Requests.produce(Requests.batch(valueBytes: 1_000_000))[..<700] : []
        try client.send(Requests.fetch(1) + Requests.fetch(2) + half)
        #expect(server.waits { held.withLock { $0.count } == 2 })
        #expect(server.waits { server.resources.pool.byteCounts.used > 0 || !hasRequest })
        // The second waits for ever: the ring is not empty.
        let answer = held.withLock {
            KafkaAnswer(connection: $0[0].connection, number: $0[0].number, body: file.answer(ranges))
        }
        for loop in 0..<2 { server.network.deliver([answer], toLoop: loop) }
        #expect(server.waits { server.counter("timeouts") == 1 })
        #expect(server.waits { server.resources.connectionCount.load(ordering: .relaxed) == 0 })
        #expect(server.resources.pool.byteCounts.used == 0)
    }

    /// Who is not read from because of a quota is not late with its request.
    @Test func whoIsMutedIsWaitedFor() throws {
        let held = Mutex<[KafkaCommand]>([])
        let configuration = StubReactor.configuration { $0.requestTimeoutMilliseconds = 1500 }
        let server = try StubReactor(configuration) { command in
            if case .produce = command.body { return Requests.emptyAnswer(command) }
            if case .request = command.body { held.withLock { $0.append(command) } }
            return []
        }
        defer { server.stop() }
        let client = try server.connect()
        let frame = Requests.produce(Requests.batch(valueBytes: 1_000_000), correlationID: 2)
        try client.send(Requests.heartbeat(1) + frame[..<700])
        // The first is asked, the second has begun.
        #expect(server.waits { server.resources.pool.byteCounts.used > 0 && held.withLock { !$0.isEmpty } })
        var answer = Requests.emptyAnswer(held.withLock { $0[0] })[0]
        answer.throttleMilliseconds = 3000
        for loop in 0..<2 { server.network.deliver([answer], toLoop: loop) }
        #expect(try client.receiveCorrelationID() == 1)
        try client.send(frame[700...])
        #expect(try client.receiveCorrelationID() == 2)
        #expect(server.counter("timeouts") == 0)
    }

    /// Answers that nobody takes have one bound for all: who holds most is closed, not who comes last.
    @Test func whoTakesNoAnswersIsClosedFirst() throws {
        let answerBytes = 32 * 32_000
        var big = ListGroupsResponse()
        var group = ListGroupsResponse.ListedGroup()
        group.groupId = String(repeating: "g", count: 32_000)
        big.groups = Array(repeating: group, count: 32)
        let configuration = StubReactor.configuration { $0.queuedAnswerBytesMax = 20 << 20 }
        let server = try StubReactor(configuration) { [big] command in
            guard case .request(let request, _) = command.body else { return [] }
            guard request is ListGroupsRequest else { return Requests.emptyAnswer(command) }
            return [KafkaAnswer(connection: command.connection, number: command.number, body: .response(big))]
        }
        defer { server.stop() }
        func ask(_ client: RawClient, _ count: Int32) throws {
            try client.send((0..<count).flatMap { Requests.frame(16, version: 0, correlationID: $0) })
        }
        let greedy = try (0..<2).map { _ in try RawClient(port: server.network.boundPort, receiveBufferBytes: 65_536) }
        let slow = try RawClient(port: server.network.boundPort, receiveBufferBytes: 65_536)
        // The kernel takes some of it.
        try ask(greedy[0], 16)
        #expect(server.waits { server.resources.unread.bytes > 9 * answerBytes })
        try ask(slow, 6)
        try ask(greedy[1], 16)
        #expect(server.waits { server.counter("protocol_errors") == 1 })
        #expect(server.resources.unread.bytes <= configuration.queuedAnswerBytesMax)
        for number in Int32(0)..<6 { #expect(try slow.receiveCorrelationID() == number) }
        // One of the greedy is gone with part of its answers.
        let answered = greedy.filter { client in
            (0..<16).allSatisfy { (try? client.receiveCorrelationID()) == $0 }
        }
        #expect(answered.count == 1)
        #expect(server.waits { server.resources.unread.bytes == 0 })
    }

    /// Only where it was told to does an event loop look into batches.
    @Test(arguments: [false, true]) func looksIntoRecordsWhereItIsToldTo(_ isTold: Bool) throws {
        let seen = Mutex<[ReceivedBatch]>([])
        let server = try StubReactor(StubReactor.configuration { $0.inspectsRecords = isTold }) { command in
            if case .produce(_, _, let batches, _) = command.body { seen.withLock { $0 += batches } }
            return Requests.emptyAnswer(command)
        }
        defer { server.stop() }
        let keyless = Requests.batch(valueBytes: 1000)
        // Its only record claims to be longer than the batch; the checksum is right.
        var malformed = keyless
        malformed[RecordBatchHeader.byteCount] = 0xff
        let sum = unsafe CRC32C.checksum(malformed.span.bytes.extracting(21...))
        malformed.replaceSubrange(17..<21, with: Requests.bytes(sum))
        let client = try server.connect()
        for batch in [keyless, malformed] {
            try client.send(Requests.produce(batch))
            _ = try client.receiveFrame()
        }
        let found = seen.withLock { $0 }
        try #require(found.count == 2)
        guard case .batch(_, let places) = found[0] else { throw BenchError.otherAnswer }
        #expect(places == (isTold ? [0] : nil))
        guard isTold else {
            guard case .batch = found[1] else { throw BenchError.otherAnswer }
            return
        }
        guard case .invalid(.invalidRecord, let text) = found[1] else { throw BenchError.otherAnswer }
        #expect(text.contains("record 0") && text.contains("length"), "\(text)")
    }

    @Test func badBatchesAreNamed() throws {
        let seen = Mutex<[ReceivedBatch]>([])
        let server = try StubReactor(StubReactor.configuration { $0.batchBytesMax = 1 << 20 }) { command in
            if case .produce(_, _, let batches, _) = command.body { seen.withLock { $0 += batches } }
            return Requests.emptyAnswer(command)
        }
        defer { server.stop() }
        let good = Requests.batch(valueBytes: 1000)
        func changed(_ position: Int, _ value: UInt8) -> [UInt8] {
            var bytes = good
            bytes[position] = value
            return bytes
        }
        let bad: [([UInt8]?, KafkaError)] = [
            (nil, .invalidRecord), ([], .invalidRecord), (good + good, .invalidRecord),
            (changed(16, 1), .invalidRecord), (changed(500, 0), .corruptMessage),
            (Array(good.dropLast()), .invalidRecord),
            (Requests.batch(valueBytes: 1_100_000), .messageTooLarge),
        ]
        let client = try server.connect()
        for (records, _) in bad {
            try client.send(Requests.produce(records))
            _ = try client.receiveFrame()
        }
        let codes = seen.withLock {
            $0.map { batch -> KafkaError? in if case .invalid(let code, _) = batch { code } else { nil } }
        }
        #expect(codes == bad.map { $0.1 })
    }
}
