import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Producers that send nothing for long, and come back.
@Suite struct IdleProducerTests {
    @Test func comesBackWithItsNextSequence() throws {
        let bench = try TransactionBroker()
        let idle = try bench.begin("idle")
        func transaction(_ number: Int32) throws {
            #expect(try bench.add("idle", idle, [0]) == ErrorCode.none)
            #expect(try bench.produce(idle, number) == ErrorCode.none)
            #expect(try bench.end("idle", idle, commit: true) == ErrorCode.none)
        }
        try transaction(0)
        func tick() {
            bench.broker.maintain(now: bench.now, nowMilliseconds: 1_700_000_000_000)
            #expect(bench.broker.nextDeadline == bench.now, "the next turn looks for idle producers")
            bench.turn()
        }
        tick()
        #expect(bench.broker.nextDeadline != bench.now)
        #expect(try bench.partition(0).log.producerCount == 1)
        bench.now += 24 * 3_600_000_000_000
        bench.turn()
        tick()
        #expect(try bench.partition(0).log.producerCount == 0)
        try transaction(1)
        try transaction(2)
        try bench.close()
    }
}
