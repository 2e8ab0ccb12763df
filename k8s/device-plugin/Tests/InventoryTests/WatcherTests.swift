import FakeNode
import Inventory
import Testing

@Suite struct WatcherTests {
    /// A ConfigMap changes by renaming a link: that must wake who waits, and a directory made anew must too.
    @Test(.timeLimit(.minutes(1))) func tellsOfSwappedLink() async throws {
        let node = FakeNode()
        node.write("config/..1/config.yaml", "a")
        node.link("config/..data", to: "config/..1")
        // Made before: only the renaming is to be noticed.
        node.link("config/..new", to: "config/..1")
        let watcher = Watcher()
        try watcher.watch(directory: "\(node.root)/config")
        #expect(throws: Errno.self) { try watcher.watch(directory: "\(node.root)/missing") }
        let (events, event) = AsyncStream.makeStream(of: NodeEvent.self)
        try watcher.start(every: .seconds(3600)) { event.yield($0) }
        node.move("config/..new", to: "config/..data")
        #expect(await events.first { $0 == .files } == .files)
        watcher.stop()
    }

    @Test(.timeLimit(.minutes(1))) func ticks() async throws {
        let watcher = Watcher()
        let (events, event) = AsyncStream.makeStream(of: NodeEvent.self)
        try watcher.start(every: .milliseconds(20)) { event.yield($0) }
        var ticks = 0
        for await event in events where event == .tick {
            ticks += 1
            if ticks == 3 { break }
        }
        watcher.stop()
    }
}
