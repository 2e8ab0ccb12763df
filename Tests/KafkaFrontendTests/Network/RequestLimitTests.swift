import Foundation
import Glibc
import KafkaProtocol
import Logging
import Reactor
import Synchronization
import Testing

@testable import KafkaFrontend

/// What requests may hold and take of an event loop.
@Suite(.timeLimit(.minutes(1))) struct RequestLimitTests {
    private static let header = Requests.bytes(Int32(-1)) + Requests.bytes(Int32(500)) + Requests.bytes(Int32(1))

    /// Fetch 11 of one partition, with a topic without partitions, and forgotten topics with long names.
    private func fetch(forgotten count: Int) -> [UInt8] {
        let topics =
            Requests.bytes(Int32(2)) + Requests.string("t") + Requests.bytes(Int32(1)) + Requests.bytes(Int32(0))
            + Requests.bytes(Int32(-1)) + Requests.bytes(Int64(0)) + Requests.bytes(Int64(-1))
            + Requests.bytes(Int32.max) + Requests.string("nothing") + Requests.bytes(Int32(0))
        let name = Requests.string(String(repeating: "x", count: 32_000))
        let forgotten = Requests.bytes(Int32(count)) + (0..<count).flatMap { _ in name + Requests.bytes(Int32(0)) }
        return Requests.frame(
            1, version: 11,
            Self.header + Requests.bytes(Int32.max) + [0] + Requests.bytes(Int32(0)) + Requests.bytes(Int32(-1))
                + topics + forgotten + Requests.string("rack"))
    }

    @Test func ofAFetchNothingStaysButWhatItReads() throws {
        let server = try StubReactor(isKeeping: true) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let client = try server.connect()
        try client.send(fetch(forgotten: 60))
        _ = try client.receiveFrame()
        let fetches = server.commands.compactMap { command in
            if case .fetch(let request, _) = command.body { request } else { nil }
        }
        let request = try #require(fetches.first)
        #expect(request.topics.map(\.topic) == ["t"] && request.topics[0].partitions.count == 1)
        #expect(request.forgottenTopicsData.isEmpty && request.rackId.isEmpty)
    }

    /// The reason is one line, whatever the client calls itself.
    @Test func aLongFetchEndsTheConnection() throws {
        let lines = LogLines()
        let server = try StubReactor(log: lines.logger) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let client = try server.connect()
        var bytes = fetch(forgotten: 70)
        // Its name becomes one with a line feed.
        bytes[14...17] = ArraySlice("a\nb\u{1b}".utf8)
        try client.send(bytes)
        #expect(client.isClosedByPeer())
        #expect(server.waits { !lines.all.isEmpty })
        let line = try #require(lines.all.first)
        #expect(line["client"] == "a\\u{a}b\\u{1b}")
        #expect(line["why"]?.contains("Fetch of \(bytes.count - 4) bytes: no more than 2097152") == true)
    }

    private static let smallQueue = StubReactor.configuration {
        $0.requestBytesMax = 65_536
        $0.queuedBytesMax = 128 << 10
    }

    /// While the reactor serves nothing, only so much is read, whoever sends it; all is served when it does.
    @Test func requestsThatWaitHaveABound() throws {
        let server = try StubReactor(Self.smallQueue) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        server.isPaused.store(true, ordering: .relaxed)
        let clients = try (0..<20).map { _ in try server.connect() }
        for client in clients { try client.send((0..<40).flatMap { Requests.heartbeat($0) }) }
        let each = RequestAccount.bytes(ofRequest: Requests.heartbeat(0).count - 4)
        // One of each client passes in any case.
        let most = 128 << 10 + (20 + 2) * each
        let queued = server.resources.queued
        #expect(server.waits { queued.bytes >= 128 << 10 })
        #expect(!server.waits(for: 200_000) { queued.bytes > most } && 20 * 16 * each > most)
        server.isPaused.store(false, ordering: .relaxed)
        for client in clients {
            for number in 0..<40 as Range<Int32> { #expect(try client.receiveCorrelationID() == number) }
        }
        #expect(server.waits { queued.bytes == 0 })
    }

    /// Who sends much, or what takes long, keeps nobody out who waits for nothing.
    @Test func shortRequestsAndBatchesPass() throws {
        let server = try StubReactor(Self.smallQueue) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        func long(_ number: Int32) -> [UInt8] {
            let name = Requests.string(String(repeating: "x", count: 4_000))
            return Requests.frame(3, version: 1, correlationID: number, Requests.bytes(Int32(1)) + name)
        }
        server.isPaused.store(true, ordering: .relaxed)
        let (greedy, patient, producer) = (try server.connect(), try server.connect(), try server.connect())
        try greedy.send((0..<16).flatMap(long))
        let (queued, queuedBatches) = (server.resources.queued, server.resources.queuedBatches)
        #expect(server.waits { queued.isFull })
        let full = queued.bytes
        try patient.send(Requests.heartbeat(0) + Requests.heartbeat(1) + long(2))
        let short = RequestAccount.bytes(ofRequest: Requests.heartbeat(0).count - 4)
        #expect(server.waits { queued.bytes == full + short })
        #expect(!server.waits(for: 200_000) { queued.bytes != full + short })
        try producer.send(Requests.produce(Requests.batch(valueBytes: 5_000), correlationID: 7))
        #expect(server.waits { queuedBatches.bytes > 0 } && queued.bytes == full + short)
        // Who was silent meanwhile may have sent something.
        let now = Clock.monotonicNanoseconds()
        #expect(queued.heardUntil(now: now) < now)
        server.isPaused.store(false, ordering: .relaxed)
        #expect(try producer.receiveCorrelationID() == 7)
        for number in 0..<3 as Range<Int32> { #expect(try patient.receiveCorrelationID() == number) }
        for number in 0..<16 as Range<Int32> { #expect(try greedy.receiveCorrelationID() == number) }
        #expect(server.waits { queued.bytes == 0 && queuedBatches.bytes == 0 })
    }

    /// While little else is served, a client is answered one short request after another.
    @Test func shortRequestsPassOneAfterAnother() throws {
        let server = try StubReactor(Self.smallQueue) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let client = try server.connect()
        let share = server.resources.queued.take(1 << 20)
        try client.send((0..<40).flatMap { Requests.heartbeat($0) })
        for number in 0..<40 as Range<Int32> { #expect(try client.receiveCorrelationID() == number) }
        withExtendedLifetime(share) {}
    }

    /// What came before a half-close is served in time that grows with its length, and others are served between.
    @Test func whatWasSentBeforeTheEndIsServed() throws {
        // Copied again after each 16 requests, this takes minutes.
        let count = 250_000
        let server = try StubReactor(StubReactor.configuration { $0.threads = 1 }) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let (client, bystander) = (try server.connect(), try server.connect())
        // The shortest there is: its answer says which versions are served.
        let request = Requests.prefixed(
            Requests.bytes(Int16(18)) + Requests.bytes(Int16(0)) + Requests.bytes(Int32(1)) + Requests.bytes(Int16(-1)))
        #expect(request.count == 14)
        try bystander.send(Requests.apiVersions(0, 1))
        let frameBytes = try bystander.receiveFrame().count + 4
        let reader = Reader(client, frameBytes: frameBytes)
        try client.send(Array(repeatElement(request, count: count).joined()))
        client.endSending()
        var turns = 0
        while !reader.hasEnded {
            try bystander.send(Requests.heartbeat(1))
            #expect(try bystander.receiveCorrelationID() == 1)
            turns += 1
        }
        #expect(turns > 10)
        // As in Kafka the last answers are not waited for.
        #expect(reader.frames > count - 1_000 && reader.frames <= count)
        #expect(server.counter("requests") == count + turns + 1)
        #expect(server.resources.kept.bytes == 0)
    }
}

/// Reads frames of one length on a thread of its own until the broker ends the connection.
private final class Reader: Sendable {
    private let state = Mutex((bytes: 0, hasEnded: false))
    private let frameBytes: Int

    init(_ client: RawClient, frameBytes: Int) {
        self.frameBytes = frameBytes
        let thread = Thread { [self] in
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            while true {
                let got = unsafe recv(client.descriptor, &buffer, buffer.count, 0)
                guard got > 0 else { break }
                state.withLock { $0.bytes += got }
            }
            state.withLock { $0.hasEnded = true }
        }
        thread.start()
    }

    var hasEnded: Bool { state.withLock { $0.hasEnded } }
    var frames: Int { state.withLock { $0.bytes } / frameBytes }
}
