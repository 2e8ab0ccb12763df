import FakeNode
import Inventory
import NIOCore
import NIOPosix
import Resources
import Testing

@testable import DevicePlugin

@Suite struct PartsTests {
    @Test func pausesGrowToHalfMinuteAndNeverUndercut() {
        var backoff = Backoff()
        var pauses: [Duration] = []
        for _ in 0..<12 { pauses.append(backoff.pause(random: 1)) }
        #expect(pauses[0] == .milliseconds(200))
        #expect(pauses[1] == .milliseconds(400))
        #expect(pauses.last == .seconds(30))
        var early = Backoff()
        #expect(early.pause(random: 0) == .milliseconds(200))
        #expect(early.pause(random: 0) == .milliseconds(300))
        early.reset()
        #expect(early.pause(random: 1) == .milliseconds(200))
    }

    @Test func fileMadeAnewIsAnother() {
        let node = FakeNode()
        node.write("f", "a")
        let first = FileIdentity("\(node.root)/f")
        #expect(first != nil)
        #expect(FileIdentity("\(node.root)/f") == first)
        node.remove("f")
        #expect(FileIdentity("\(node.root)/f") == nil)
        node.write("f", "a")
        #expect(FileIdentity("\(node.root)/f") != first)
    }

    @Test func addresses() {
        #expect(MetricsAddress("0.0.0.0:9441").map { [$0.host, "\($0.port)"] } == ["0.0.0.0", "9441"])
        #expect(MetricsAddress("[::1]:0").map { [$0.host, "\($0.port)"] } == ["::1", "0"])
        for text in ["", ":1", "a", "a:", "a:70000", "a:-1"] { #expect(MetricsAddress(text) == nil, "\(text)") }
    }

    @Test(.timeLimit(.minutes(1))) func silentConnectionIsClosed() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let address = try #require(MetricsAddress("127.0.0.1:0"))
        let server = try await MetricsServer(address, group: group, idleTime: .milliseconds(50)) { _ in nil }
        let client = try await ClientBootstrap(group: group).connect(to: #require(server.address)).get()
        let watchdog = client.eventLoop.scheduleTask(in: .seconds(10)) { client.close(promise: nil) }
        try await client.closeFuture.get()
        watchdog.cancel()
        await #expect(throws: (any Error).self, "the server did not close it") {
            try await watchdog.futureResult.get()
        }
        try await server.close()
    }

    @Test func slowReaderMissesWhatLiesBetween() async {
        func pool(_ seats: Int) -> Pool {
            Pool(ResourceDefinition(name: "a/b", kind: .seats(seats)), seats: .init(repeating: true, count: seats))
        }
        let feed = Feed(pool(1))
        let subscription = feed.subscribe()
        for seats in 2...9 { feed.publish(pool(seats)) }
        subscription.finish()
        var seen: [Int] = []
        for await pool in subscription.pools { seen.append(pool.entries.count) }
        #expect(seen == [9])
        #expect(feed.pool.entries.count == 9)
    }

    @Test func specIsReplacedInOneStepAndOnlyOursRemoved() throws {
        let node = FakeNode()
        node.add(.roce)
        let rules = try ResourceDefinition.DeviceRules(
            selectors: [Selector([(.rdmaDevices, [Pattern("*")])])], shares: nil)
        let definition = ResourceDefinition(name: "rdmad.dev/hca", kind: .devices(rules))
        let inventory = Scanner(sysfsRoot: node.sysfs, deviceRoot: node.devices).scan()
        let directory = CDIDirectory(path: "\(node.root)/cdi", deviceRoot: "/dev")
        #expect(directory.isWritable)
        try directory.update(Pool(definition, inventory, HealthMonitor()))
        #expect(FileTree(directory.path).list("") == ["rdmad.dev_hca.json"])
        // Without devices there is no spec: runtimes refuse an empty one.
        try directory.update(Pool(definition, .empty, HealthMonitor()))
        #expect(FileTree(directory.path).list("").isEmpty)
        node.write("cdi/rdmad.dev_hca.json", "{\"kind\":\"other/kind\"}")
        try directory.update(Pool(definition, .empty, HealthMonitor()))
        #expect(node.exists("cdi/rdmad.dev_hca.json"))
        // What others made of it is mended, what is right is left alone.
        try directory.update(Pool(definition, inventory, HealthMonitor()))
        #expect(FileTree(directory.path).read("rdmad.dev_hca.json")?.contains("rdmad.dev/hca") == true)
        let written = FileIdentity("\(directory.path)/rdmad.dev_hca.json")
        try directory.update(Pool(definition, inventory, HealthMonitor()))
        #expect(FileIdentity("\(directory.path)/rdmad.dev_hca.json") == written)
        // A directory cannot be replaced by a file: that is an error, and nothing of ours is left.
        node.remove("cdi/rdmad.dev_hca.json")
        node.make("cdi/rdmad.dev_hca.json")
        #expect(throws: Errno.self) { try directory.update(Pool(definition, inventory, HealthMonitor())) }
        #expect(FileTree(directory.path).list("") == ["rdmad.dev_hca.json"])
        #expect(!CDIDirectory(path: "\(node.root)/none", deviceRoot: "/dev").isWritable)
    }

    @Test func configurationFileHasDirectory() {
        #expect(ConfigurationFile("/etc/x/config.yaml").directory == "/etc/x")
        #expect(ConfigurationFile("config.yaml").directory == ".")
        #expect(ConfigurationFile("/config.yaml").directory == "/")
        #expect(ConfigurationFile("a/config.yaml").directory == "a")
    }
}
