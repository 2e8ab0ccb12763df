import BrokerTestSupport
import Foundation
import RDMATransport
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

    @Test func seeksInAStream() async throws {
        let broker = try TestBroker()
        try await seeks(try broker.address, rounds: 3000, seed: UInt64.random(in: 0 ... .max))
        #expect(broker.stop() == 0)
    }

    @Test func positionsOfAConsumer() async throws {
        let broker = try TestBroker()
        try await positions(try broker.address)
        #expect(broker.stop() == 0)
    }

    @Test func aGroupsLife() throws {
        let broker = try TestBroker(options: GroupScenario<SharedMemoryFabric>.options)
        let path = broker.socketPath
        try GroupScenario(
            broker, fabric: { try SharedMemoryFabric(configuration: .client) },
            connect: { try $0.connect(path: path, privateData: $1) }
        ).run()
        #expect(broker.stop() == 0)
    }

    @Test func aClientOneVersionOlderIsServed() throws {
        let broker = try TestBroker()
        let path = broker.socketPath
        try OldClientScenario(
            fabric: { try SharedMemoryFabric(configuration: .client) },
            connect: { try $0.connect(path: path, privateData: $1) }
        ).run()
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

    /// Six times away for about as long as records wait.
    @Test func aProducerOutlivesItsBroker() async throws {
        let broker = try TestBroker()
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        try await outages(broker, rounds: 6, seed: seed)
        #expect(broker.stop() == 0)
    }

    @Test func aCutConnectionLosesNothingAndDoublesNothing() async throws {
        let broker = try TestBroker()
        let isLong = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] == "1"
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        try await cuts(try broker.address, rounds: isLong ? 500 : 150, seed: seed)
        #expect(broker.stop() == 0)
    }

    @Test(arguments: [[], ["--arena-bytes", "16777216"]])
    func aTailIsPushedFromWhereItLanded(options: [String]) async throws {
        let broker = try TestBroker(options: options)
        try await tail(try broker.address, topic: "tail", rounds: 12, batches: 20, valueBytes: 65_000)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("hot-pushes") == 240)
        #expect(try broker.counter("file-reads") == 0)
    }

    /// One batch for each partition at a time: there is nothing to read together with it.
    @Test func aShortBatchAtTheEndIsPushedFromWhereItLanded() async throws {
        let broker = try TestBroker()
        try await tail(try broker.address, topic: "short", rounds: 20, batches: 2, valueBytes: 16_000)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("hot-pushes") == 40)
        #expect(try broker.counter("file-reads") == 0)
    }

    /// What came inside its announcement is copied once, to where consumers are served from.
    @Test func anEagerBatchIsPushedFromMemory() async throws {
        let broker = try TestBroker()
        try await tail(try broker.address, topic: "eager", rounds: 10, batches: 1, valueBytes: 100)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("eager") == 10)
        #expect(try broker.counter("hot-pushes") == 10)
        #expect(try broker.counter("file-reads") == 0)
    }

    /// 39 MB through an arena of 12: whoever does not read holds nobody up.
    @Test func aConsumerThatLagsHoldsNoMemory() async throws {
        let broker = try TestBroker(options: ["--arena-bytes", "16777216"])
        try await lag(try broker.address, batches: 600)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("pulled") == 600)
        #expect(try broker.counter("file-reads") > 0)
    }

    /// What is no longer hot comes from the mapped files, but for the end of the last one.
    @Test(arguments: [[], ["--segment-bytes", "5000000"]])
    func anOldLogIsPushedFromItsFiles(options: [String]) async throws {
        let broker = try TestBroker(options: options)
        let bytes = try await oldLog(broker, batches: 120)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("hot-pushes") == 0)
        #expect(try broker.counter("pushed-bytes") >= 2 * bytes)
        let read = try broker.counter("file-read-bytes")
        #expect(read <= 2 * (2304 << 10), "\(read) bytes were read")
        #expect(try broker.counter("window-pushes") >= 2 * (bytes - (2304 << 10)) / (256 << 10))
    }

    /// Two readers, memory for two windows: what finds none is read.
    @Test func pinnedMemoryIsBounded() async throws {
        let broker = try TestBroker(options: ["--window-bytes", "5000000"])
        _ = try await oldLog(broker, batches: 120)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("window-pushes") > 0)
    }

    @Test func withoutWindowsAnOldLogIsRead() async throws {
        let broker = try TestBroker(options: ["--window-bytes", "0"])
        let bytes = try await oldLog(broker, batches: 40)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("window-pushes") == 0)
        #expect(try broker.counter("file-read-bytes") >= 2 * bytes)
    }

    /// A memlock limit that holds one window: the rest is read, and the broker says why, once.
    @Test(.enabled(if: geteuid() == 0)) func whatTheKernelDoesNotPinIsRead() async throws {
        let prefix = ["/usr/bin/setpriv", "--bounding-set=-ipc_lock", "/usr/bin/prlimit", "--memlock=2500000"]
        let broker = try TestBroker(prefix: prefix)
        _ = try await oldLog(broker, batches: 120)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("window-pushes") > 0)
        #expect(try broker.counter("file-reads") > 0)
        #expect(broker.log.components(separatedBy: "read instead").count == 2)
    }
}
