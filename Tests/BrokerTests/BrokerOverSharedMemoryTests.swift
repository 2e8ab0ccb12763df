import BrokerTestSupport
import RdmadClient
import Testing

/// The whole broker, in a process of its own, over shared memory.
@Suite struct BrokerOverSharedMemoryTests {
    @Test func everyRecordComesBackInOrder() async throws {
        let broker = try TestBroker()
        try await roundTrip(try broker.address, records: 20_000)
        #expect(broker.stop() == 0)
    }

    @Test func aSmallRingNeverStalls() async throws {
        let broker = try TestBroker()
        try await smallRing(try broker.address)
        #expect(broker.stop() == 0)
    }

    @Test func positionsOfAConsumer() async throws {
        let broker = try TestBroker()
        try await positions(try broker.address)
        #expect(broker.stop() == 0)
    }

    /// Twenty times SIGKILL in mid-produce, with group commit.
    @Test func nothingAcknowledgedIsLostByACrash() async throws {
        let broker = try TestBroker(options: ["--segment-bytes", "200000"])
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        try await crash(broker, rounds: 20, seed: seed)
        #expect(broker.stop() == 0)
    }
}
