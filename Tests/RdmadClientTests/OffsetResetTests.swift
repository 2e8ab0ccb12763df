import Glibc
import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

/// Readers whose place in the log is not there any more.
@Suite(.timeLimit(.minutes(2))) struct OffsetResetTests {
    typealias Harness = ConsumerHarness

    /// What a consumer was told.
    final class Resets: Sendable {
        private let all = Mutex<[(what: String, thread: pthread_t)]>([])
        var list: [String] { all.withLock { $0.map(\.what) } }
        /// Whether one of them ran on the thread that asks.
        var isOwn: Bool { all.withLock { all in all.contains { pthread_equal($0.thread, pthread_self()) != 0 } } }
        func add(_ partition: TopicPartition, _ offset: Int64) {
            all.withLock { $0.append(("\(partition) \(offset)", pthread_self())) }
        }
        func first(_ count: Int) async -> [String] {
            while list.count < count { await Task.yield() }
            return list
        }
    }

    private static func ended(_ broker: Harness, at offset: Int64) {
        broker.agent.ended(PartitionAddress(topicID: 1, partition: 0), .offsetOutOfRange, offset: offset)
        broker.turn()
    }

    /// What is asked for, and what the application is told, when offset 20 is next and the log begins elsewhere.
    private static func overtaken(
        from start: Consumer.Position, _ reset: Consumer.OffsetReset?, logStart: Int64 = 30
    ) async throws -> [String] {
        let resets = Resets()
        let broker = Harness(.partitions([Harness.t(0): start])) {
            $0.offsetReset = reset
            $0.onOffsetReset = resets.add
        }
        broker.connect()
        broker.subscribe()
        broker.write(Harness.t(0), 5..<10)
        try #require(try broker.poll()).release()
        broker.write(Harness.t(0), 10..<15)
        broker.write(Harness.t(0), 15..<20)
        ended(broker, at: 20)
        // What was received is read first.
        for offset in [10, 15] as [Int64] {
            #expect(broker.port.asked.isEmpty && broker.agent.look(Harness.t(0)) { $0.fetched } == 20)
            #expect(try broker.poll()?.firstOffset == offset)
            broker.turn()
        }
        var asked: [String] = []
        if case .admin(.listOffsets(_, let time, _)) = broker.port.asked.first?.request {
            asked.append("list \(time)")
            broker.port.answer { ListedOffset(offset: logStart, timestamp: -1).encode(into: &$0) }
        }
        let subscribed = broker.subscribe()
        if subscribed.isEmpty { #expect(throws: ClientError.self) { try broker.poll() } }
        await broker.agent.toldOfReset?.value
        return asked + subscribed + resets.list
    }

    @Test func goesOnWhereItWasToBegin() async throws {
        #expect(try await Self.overtaken(from: .earliest, nil) == ["list -2", "1-0@-2", "t-0 20"])
        #expect(try await Self.overtaken(from: .latest, nil) == ["list -2", "1-0@-1", "t-0 20"])
        #expect(try await Self.overtaken(from: .offset(5), nil, logStart: 21) == ["list -2", "1-0@-2", "t-0 20"])
    }

    /// A log that has not reached the reader has lost records, or is another one.
    @Test func readsNothingASecondTimeUnasked() async throws {
        #expect(try await Self.overtaken(from: .earliest, nil, logStart: 0) == ["list -2"])
        #expect(try await Self.overtaken(from: .latest, nil, logStart: 20) == ["list -2"])
    }

    @Test func goesOnWhereTheSettingSays() async throws {
        #expect(try await Self.overtaken(from: .latest, .earliest) == ["1-0@-2", "t-0 20"])
        #expect(try await Self.overtaken(from: .offset(5), .latest) == ["1-0@-1", "t-0 20"])
        #expect(try await Self.overtaken(from: .earliest, .fail) == [])
    }

    @Test func membersReadWhatWasReceivedFirst() throws {
        let broker = GroupMembershipTests.joined([0], committed: [0: 5])
        broker.write(Harness.t(0), 5..<10)
        Self.ended(broker, at: 10)
        #expect(broker.subscribe() == [])
        #expect(try broker.poll()?.firstOffset == 5)
        broker.turn()
        #expect(broker.subscribe() == ["1-0@-2"])
    }

    @Test func aSeekComesBetween() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        broker.write(Harness.t(0), 5..<10)
        Self.ended(broker, at: 10)
        try broker.agent.change(Harness.t(0)) { $0.restart(from: .offset(7)) }
        broker.turn()
        #expect(broker.subscribe() == ["1-0@7"])
        // And while the broker is asked where the log begins.
        broker.write(Harness.t(0), 7..<9)
        #expect(try broker.poll()?.firstOffset == 7)
        Self.ended(broker, at: 9)
        try broker.agent.change(Harness.t(0)) { $0.restart(from: .offset(8)) }
        broker.port.answer { ListedOffset(offset: 30, timestamp: -1).encode(into: &$0) }
        broker.turn()
        #expect(broker.subscribe() == ["1-0@8"])
    }

    /// What the broker found by its time may be deleted before it is subscribed to.
    @Test func timesAreLookedUpAgain() throws {
        let broker = Harness(.partitions([Harness.t(0): .timestamp(5)]))
        broker.connect()
        func found(_ offset: Int64) -> Bool {
            guard case .admin(.listOffsets(_, 5, _)) = broker.port.asked.first?.request else { return false }
            broker.port.answer { ListedOffset(offset: offset, timestamp: 5).encode(into: &$0) }
            return true
        }
        #expect(found(7))
        broker.port.refuse(.offsetOutOfRange)
        broker.turn()
        #expect(found(30) && broker.subscribe() == ["1-0@30"])
        // The same when it has been overtaken.
        Self.ended(broker, at: 30)
        broker.port.answer { ListedOffset(offset: 40, timestamp: -1).encode(into: &$0) }
        #expect(found(40))
        broker.port.refuse(.offsetOutOfRange)
        broker.turn()
        #expect(found(50) && broker.subscribe() == ["1-0@50"])
        #expect(broker.port.failure == nil)
    }

    /// The application's code never runs in the turn of whoever runs the link, and hears of resets in their order.
    @Test func tellsOnATaskOfItsOwn() async throws {
        let resets = Resets()
        let broker = Harness(.partitions([Harness.t(0): .earliest])) {
            $0.offsetReset = .earliest
            $0.onOffsetReset = resets.add
        }
        broker.connect()
        broker.subscribe()
        for round in 0..<20 as Range<Int64> {
            broker.write(Harness.t(0), round..<round + 1)
            _ = try broker.poll()
            Self.ended(broker, at: round + 1)
            broker.subscribe()
        }
        #expect(!resets.isOwn)
        #expect(await resets.first(20) == (1...20).map { "t-0 \($0)" })
    }

    @Test func settings() throws {
        var configuration = Consumer.Configuration()
        #expect(configuration.offsetReset == nil)
        for reset in Consumer.OffsetReset.allCases {
            try configuration.set("auto.offset.reset", to: reset.rawValue)
            #expect(configuration.offsetReset == reset)
        }
        #expect(configuration.offsetReset == .fail)
        #expect(throws: ClientError.self) { try configuration.set("auto.offset.reset", to: "never") }
    }

    /// Against a real broker: records are deleted while the reader pauses.
    @Test func recordsAreDeletedBeforeTheyAreRead() async throws {
        let broker = try InProcessBroker()
        let a0 = TopicPartition("a", 0)
        try await ConsumerTests.fill(broker, "a", partitions: 1, count: 100)
        let resets = Resets()
        var configuration = Consumer.Configuration()
        configuration.onOffsetReset = resets.add
        let consumer = try await Consumer(
            topic: "a", from: .offset(10), broker: broker.address, configuration: configuration)
        defer { consumer.close() }
        try consumer.pause([a0])
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        #expect(try await admin.deleteRecords("a", partition: 0, before: 50) == 50)
        try consumer.resume([a0])
        #expect(try ConsumerTests.read(consumer, to: [a0: 100]) == [a0: Array(50..<100)])
        #expect(await resets.first(1) == ["a-0 10"])
        // What was never there is an error, unless the setting says otherwise.
        try consumer.seek(a0, to: .offset(20))
        let error = #expect(throws: ClientError.self) { _ = try consumer.poll(timeoutMilliseconds: 20_000) }
        #expect(error?.broker == .offsetOutOfRange)
        configuration.offsetReset = .earliest
        let other = try await Consumer(
            topic: "a", from: .offset(1_000), broker: broker.address, configuration: configuration)
        defer { other.close() }
        #expect(try ConsumerTests.read(other, to: [a0: 100]) == [a0: Array(50..<100)])
        try other.seek(a0, to: .offset(20))
        #expect(try ConsumerTests.read(other, to: [a0: 100]) == [a0: Array(50..<100)])
        #expect(await resets.first(3) == ["a-0 10", "a-0 1000", "a-0 20"])
    }
}
