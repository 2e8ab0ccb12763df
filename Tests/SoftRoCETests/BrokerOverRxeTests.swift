import BrokerTestSupport
import RDMATransport
import RdmadClient
import Testing

/// The whole broker over verbs: broker, producers and consumers, each with queue pairs of their own.
@Suite(.serialized) struct BrokerOverRxeTests {
    static func broker(_ options: [String] = []) throws -> TestBroker {
        try TestBroker(url: "rdma://\(rxeHost):\(UInt16.random(in: 10_000...60_000))", options: options)
    }

    @Test func seeksInAStream() async throws {
        let broker = try Self.broker()
        try await seeks(try broker.address, rounds: 1000, seed: UInt64.random(in: 0 ... .max))
        #expect(broker.stop() == 0)
    }

    @Test func everyRecordComesBackInOrder() async throws {
        let before = try VerbsPeerTests.counter("rcvd_rnr_err")
        let broker = try Self.broker()
        try await roundTrip(try broker.address, records: 5000)
        #expect(broker.stop() == 0)
        #expect(try VerbsPeerTests.counter("rcvd_rnr_err") == before)
    }

    @Test func aSmallRingNeverStalls() async throws {
        let broker = try Self.broker()
        try await smallRing(try broker.address)
        #expect(broker.stop() == 0)
    }

    @Test func positionsOfAConsumer() async throws {
        let broker = try Self.broker()
        try await positions(try broker.address)
        #expect(broker.stop() == 0)
    }

    @Test func nothingAcknowledgedIsLostByACrash() async throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        try await crash(try Self.broker(), rounds: 5, seed: seed)
    }

    @Test func aCutConnectionLosesNothingAndDoublesNothing() async throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        let broker = try Self.broker()
        try await cuts(try broker.address, rounds: 25, seed: seed)
        #expect(broker.stop() == 0)
    }

    @Test(arguments: [[], ["--arena-bytes", "16777216"]])
    func aTailIsPushedFromWhereItLanded(options: [String]) async throws {
        let broker = try Self.broker(options)
        try await tail(try broker.address, topic: "tail", rounds: 12, batches: 20, valueBytes: 65_000)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("hot-pushes") == 240)
        #expect(try broker.counter("file-reads") == 0)
    }

    /// One batch for each partition at a time: there is nothing to read together with it.
    @Test func aShortBatchAtTheEndIsPushedFromWhereItLanded() async throws {
        let broker = try Self.broker()
        try await tail(try broker.address, topic: "short", rounds: 20, batches: 2, valueBytes: 16_000)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("hot-pushes") == 40)
        #expect(try broker.counter("file-reads") == 0)
    }

    @Test func anEagerBatchIsPushedFromMemory() async throws {
        let broker = try Self.broker()
        try await tail(try broker.address, topic: "eager", rounds: 10, batches: 1, valueBytes: 100)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("file-reads") == 0)
    }

    @Test func aConsumerThatLagsHoldsNoMemory() async throws {
        let broker = try Self.broker(["--arena-bytes", "16777216"])
        try await lag(try broker.address, batches: 250)
        #expect(broker.stop() == 0)
    }

    /// What is no longer hot comes from the mapped files, but for the end of the last one.
    @Test(arguments: [[], ["--segment-bytes", "5000000"]])
    func anOldLogIsPushedFromItsFiles(options: [String]) async throws {
        let broker = try Self.broker(options)
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
        let broker = try Self.broker(["--window-bytes", "5000000"])
        _ = try await oldLog(broker, batches: 120)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("window-pushes") > 0)
    }

    @Test func withoutWindowsAnOldLogIsRead() async throws {
        let broker = try Self.broker(["--window-bytes", "0"])
        let bytes = try await oldLog(broker, batches: 40)
        #expect(broker.stop() == 0)
        #expect(try broker.counter("window-pushes") == 0)
        #expect(try broker.counter("file-read-bytes") >= 2 * bytes)
    }

    /// Frames, batches and memory that are not what they claim to be.
    @Test func hostileClients() async throws {
        let broker = try Self.broker()
        let port = try #require(UInt16(broker.url.split(separator: ":").last!))
        try await Hostile(
            try broker.address, fabric: { try VerbsFabric(towards: rxeHost, port: port, configuration: .client) },
            connect: { try $0.connect(host: rxeHost, port: port, privateData: $1) }
        ).run(seed: UInt64.random(in: 0 ... .max))
        #expect(broker.stop() == 0)
    }

    @Test func aGroupsLife() throws {
        let broker = try Self.broker(GroupScenario<VerbsFabric>.options)
        let port = try #require(UInt16(broker.url.split(separator: ":").last!))
        try GroupScenario(
            broker, fabric: { try VerbsFabric(towards: rxeHost, port: port, configuration: .client) },
            connect: { try $0.connect(host: rxeHost, port: port, privateData: $1) }
        ).run()
        #expect(broker.stop() == 0)
    }

    @Test func aClientOneVersionOlderIsServed() throws {
        let broker = try Self.broker()
        let port = try #require(UInt16(broker.url.split(separator: ":").last!))
        try OldClientScenario(
            fabric: { try VerbsFabric(towards: rxeHost, port: port, configuration: .client) },
            connect: { try $0.connect(host: rxeHost, port: port, privateData: $1) }
        ).run()
        #expect(broker.stop() == 0)
    }

    /// The command line, every command a process of its own.
    @Test func commandLine() throws {
        let broker = try Self.broker()
        #expect(try broker.rdmad(["topic", "create", "lines", "--partitions", "3"]).status == 0)
        let lines = (0..<2000).map { "k\($0 % 11):line \($0)" }
        let produced = try broker.rdmad(
            ["produce", "lines", "--key-delimiter", ":"], input: lines.joined(separator: "\n") + "\n")
        #expect(produced.status == 0 && produced.error.hasPrefix("2000 records, "), "\(produced.error)")
        let consumed = try broker.rdmad(["consume", "lines", "--exit-at-end", "--format", "%k:%s\\n"])
        #expect(consumed.status == 0)
        #expect(consumed.output.split(separator: "\n").map(String.init).sorted() == lines.sorted())
        #expect(broker.stop() == 0)
    }
}
