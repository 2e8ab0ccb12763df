import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

/// Readers whose place in the log is not there any more.
@Suite(.timeLimit(.minutes(2))) struct OffsetResetTests {
    typealias Harness = ConsumerHarness

    /// What a consumer was told.
    final class Resets: Sendable {
        private let all = Mutex<[String]>([])
        var list: [String] { all.withLock { $0 } }
        func add(_ partition: TopicPartition, _ offset: Int64) {
            all.withLock { $0.append("\(partition) \(offset)") }
        }
    }

    /// What is asked for, and what the application is told, once the log begins behind offset 10, which is next.
    private static func overtaken(
        from start: Consumer.Position, _ reset: Consumer.OffsetReset?
    ) throws -> [String] {
        let resets = Resets()
        let broker = Harness(.partitions([Harness.t(0): start])) {
            $0.offsetReset = reset
            $0.onOffsetReset = resets.add
        }
        broker.connect()
        broker.subscribe()
        broker.write(Harness.t(0), 5..<10)
        try #require(try broker.poll()).release()
        broker.write(Harness.t(0), 10..<20)
        broker.agent.ended(PartitionAddress(topicID: 1, partition: 0), .offsetOutOfRange, offset: 20)
        broker.turn()
        let asked = broker.subscribe()
        if asked.isEmpty { #expect(throws: ClientError.self) { while try broker.poll() != nil {} } }
        return asked + resets.list
    }

    @Test func goesOnWhereItWasToBegin() throws {
        #expect(try Self.overtaken(from: .earliest, nil) == ["1-0@-2", "t-0 10"])
        #expect(try Self.overtaken(from: .latest, nil) == ["1-0@-1", "t-0 10"])
        #expect(try Self.overtaken(from: .offset(5), nil) == ["1-0@-2", "t-0 10"])
    }

    @Test func goesOnWhereTheSettingSays() throws {
        #expect(try Self.overtaken(from: .latest, .earliest) == ["1-0@-2", "t-0 10"])
        #expect(try Self.overtaken(from: .offset(5), .latest) == ["1-0@-1", "t-0 10"])
        #expect(try Self.overtaken(from: .earliest, .fail) == [])
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
        #expect(resets.list == ["a-0 10"])
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
        #expect(resets.list == ["a-0 10", "a-0 1000", "a-0 20"])
    }
}
