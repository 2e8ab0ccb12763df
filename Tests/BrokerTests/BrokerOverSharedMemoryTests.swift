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

    @Test(arguments: [[], ["--arena-bytes", "16777216"]])
    func aTailIsPushedFromWhereItLanded(options: [String]) async throws {
        let broker = try TestBroker(options: options)
        try await tail(try broker.address, topic: "tail", rounds: 20, batches: 20, valueBytes: 65_000)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("hot-pushes") == 400)
        #expect(try broker.counter("file-reads") == 0)
    }

    /// What came inside its announcement has no memory of its own to stay in: one read, one copy.
    @Test func anEagerBatchIsReadOnce() async throws {
        let broker = try TestBroker()
        try await tail(try broker.address, topic: "eager", rounds: 10, batches: 1, valueBytes: 100)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("eager") == 10)
        #expect(try broker.counter("hot-pushes") == 0)
        #expect(try broker.counter("file-reads") == 10)
    }

    /// 39 MB through an arena of 12: whoever does not read holds nobody up.
    @Test func aConsumerThatLagsHoldsNoMemory() async throws {
        let broker = try TestBroker(options: ["--arena-bytes", "16777216"])
        try await lag(try broker.address, batches: 600)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("pulled") == 600)
        #expect(try broker.counter("file-reads") > 0)
    }
}
