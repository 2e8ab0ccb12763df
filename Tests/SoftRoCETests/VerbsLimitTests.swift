import Foundation
import Testing
import TransportTestSupport

@testable import RDMATransport

/// Queues, limits and peers that lie, over Soft-RoCE.
@Suite(.serialized) struct VerbsLimitTests {
    func pair(_ server: FabricConfiguration = .client, _ client: FabricConfiguration = .client) throws -> (
        driver: Driver<VerbsFabric>, atServer: ConnectionID, atClient: ConnectionID
    ) {
        let server = try VerbsFabric(listening: rxeHost, port: 0, configuration: server)
        let client = try VerbsFabric(towards: rxeHost, port: 1, configuration: client)
        let driver = Driver(server, client)
        let atClient = try client.connect(host: rxeHost, port: server.localPort, privateData: [])
        let atServer = try driver.waitRequest(0)
        try server.accept(atServer, privateData: [])
        _ = try driver.waitEstablished(0)
        _ = try driver.waitEstablished(1)
        return (driver, atServer, atClient)
    }

    /// 32 messages are one post and two completions for the sender.
    @Test func chainsPostOnceAndSignalSelectively() throws {
        let (driver, _, atClient) = try pair()
        let client = driver.fabrics[1]
        let before = client.statistics
        for number in 0..<32 { #expect(send([UInt8(number)], on: atClient, of: client) == .posted) }
        client.flush()
        for _ in 0..<32 {
            let (message, _) = try driver.waitMessage(0)
            driver.fabrics[0].release(message)
        }
        // Everything posted is reclaimed by the signalled ones: the queue takes as much again.
        while unsafe !client.connections[atClient]!.lane.pointee.isIdle { driver.turn() }
        #expect(client.statistics.requestsPosted - before.requestsPosted == 32)
        #expect(client.statistics.doorbells - before.doorbells == 1)
        let taken = client.statistics.completions - before.completions
        #expect(taken >= 2 && taken <= 4, "2 for the sends, and one or two receives with credits; there were \(taken)")
        for fabric in driver.fabrics { fabric.shutdown() }
    }

    /// A message longer than the receiver's buffers ends its connection, and only that.
    @Test func tooLongAMessage() throws {
        var large = FabricConfiguration.client
        large.messageBufferBytes = 32768
        let (driver, _, atClient) = try pair(.client, large)
        let connection = driver.fabrics[1].connections[atClient]!
        #expect(unsafe connection.lane.pointee.peerMessageBytesMax == 8184)
        unsafe connection.lane.pointee.peerMessageBytesMax = 32760  // a client that ignores what the server said
        #expect(send([UInt8](repeating: 1, count: 20_000), on: atClient, of: driver.fabrics[1]) == .posted)
        #expect(try driver.waitDisconnect(0) == .transportError)
        _ = try driver.waitDisconnect(1)
        let again = try driver.fabrics[1].connect(host: rxeHost, port: driver.fabrics[0].localPort, privateData: [])
        try driver.fabrics[0].accept(try driver.waitRequest(0), privateData: [])
        #expect(try driver.waitEstablished(1) == again)
        for fabric in driver.fabrics { fabric.shutdown() }
    }

    /// The completion queue is promised to connections before they are accepted.
    @Test func aFullCompletionQueueRefusesTheConnection() throws {
        var configuration = FabricConfiguration.client
        configuration.completionQueueDepth = 200
        let (driver, atServer, atClient) = try pair(configuration)
        let (server, client) = (driver.fabrics[0], driver.fabrics[1])
        #expect(server.unreservedCompletions < 128)
        _ = try client.connect(host: rxeHost, port: server.localPort, privateData: [])
        let failure = try driver.wait(1, for: "rejection") { if case .rejected(_, let why) = $0 { why } else { nil } }
        #expect(failure == .rejectedByPeer)
        // The first connection still works, and its end makes room.
        #expect(send([1], on: atClient, of: client) == .posted)
        server.release(try driver.waitMessage(0).message)
        client.disconnect(atClient)
        _ = try driver.waitDisconnect(0)
        #expect(server.connections[atServer] == nil)
        _ = try client.connect(host: rxeHost, port: server.localPort, privateData: [])
        try server.accept(try driver.waitRequest(0), privateData: [])
        _ = try driver.waitEstablished(1)
        for fabric in driver.fabrics { fabric.shutdown() }
    }

    /// A thousand connections die at once: every posted receive completes as flushed, and the queue survives.
    @Test func aThousandQueuePairsKilledAtOnce() throws {
        var configuration = FabricConfiguration()
        configuration.messagesInFlight = 8
        configuration.postedMax = 16
        configuration.messageBufferBytes = 1024
        configuration.connectionsMax = 1010
        let server = try VerbsFabric(listening: rxeHost, port: 0, configuration: configuration)
        let peer = try PeerProcess("fabric-peer", ["storm", rxeHost, String(server.localPort), "1000"])
        let driver = Driver(server)
        for _ in 0..<1000 { try server.accept(try driver.waitRequest(), privateData: []) }
        for _ in 0..<1000 { _ = try driver.waitEstablished() }
        peer.kill()
        for _ in 0..<1000 {
            _ = try driver.wait(for: "disconnect", seconds: 60) { if case .disconnected = $0 { true } else { nil } }
        }
        #expect(server.unreservedCompletions >= 32_000)
        let second = try PeerProcess("fabric-peer", ["storm", rxeHost, String(server.localPort), "1"])
        try server.accept(try driver.waitRequest(), privateData: [])
        _ = try driver.waitEstablished()
        second.kill()
        server.shutdown()
    }

    /// The event of a completion that was waited for is taken off, even when nothing is waited for any more.
    @Test func whatWasAwaitedEndsOneSleepOnly() throws {
        let (driver, atServer, atClient) = try pair()
        let (server, client) = (driver.fabrics[0], driver.fabrics[1])
        let theirs = try client.register(MemoryBlock(byteCount: 4096, name: "source"), access: .read)
        let remote = try client.share(theirs, on: atClient)
        let ours = try server.register(MemoryBlock(byteCount: 4096, name: "target"), access: .none)
        let slice = LocalSlice(region: ours, offset: 0, count: 4096)
        #expect(server.read(on: atServer, from: RemoteSlice(key: remote.key, address: remote.address), into: slice, token: 7) == .posted)
        // Asleep for the READ: it is what wakes up.
        var events: [FabricEvent] = []
        while !server.prepareToSleep(awaitingWrites: false) { _ = server.poll(into: &events) }
        if events.isEmpty {
            #expect(becomesReadable(server.pollDescriptor))
            while events.isEmpty { _ = server.poll(into: &events) }
        }
        guard case .completed(atServer, token: 7, .success)? = events.first else {
            Issue.record("\(events)")
            return
        }
        while !server.prepareToSleep(awaitingWrites: false) { _ = server.poll(into: &events) }
        var entry = pollfd(fd: server.pollDescriptor, events: Int16(POLLIN), revents: 0)
        #expect(unsafe Glibc.poll(&entry, 1, 100) == 0)
        for fabric in driver.fabrics { fabric.shutdown() }
    }

    /// An idle connection's peer is asked for a sign of life: nobody sees it but the devices, and a sleeper wakes for
    /// it.
    @Test func anIdleConnectionIsProbed() throws {
        var configuration = FabricConfiguration.client
        configuration.peerTimeoutMilliseconds = 100
        let (driver, _, atClient) = try pair(.client, configuration)
        let (server, client) = (driver.fabrics[0], driver.fabrics[1])
        let (posted, seenByServer) = (client.statistics.requestsPosted, server.statistics.completions)
        while client.statistics.requestsPosted < posted + 3 {
            driver.turn()
            if client.prepareToSleep() { #expect(becomesReadable(client.pollDescriptor)) }
        }
        let seen = driver.seen.flatMap { $0 }
        #expect(seen.isEmpty, "\(seen)")
        #expect(server.statistics.completions == seenByServer)
        #expect(send([7], on: atClient, of: client) == .posted)
        server.release(try driver.waitMessage(0).message)
        for fabric in driver.fabrics { fabric.shutdown() }
    }

    /// A client that speaks no version of the transport is turned away.
    @Test func garbageInTheGreeting() throws {
        let server = try VerbsFabric(listening: rxeHost, port: 0, configuration: .client)
        let client = try VerbsFabric(towards: rxeHost, port: 1, configuration: .client)
        let driver = Driver(server, client)
        for greeting in [[UInt8](), [1, 2, 3], [UInt8](repeating: 0xff, count: 50)] {
            client.greetingOverride = greeting
            _ = try client.connect(host: rxeHost, port: server.localPort, privateData: [])
            let failure = try driver.wait(1, for: "rejection") {
                if case .rejected(_, let why) = $0 { why } else { nil }
            }
            #expect(failure == .rejectedByPeer)
        }
        client.greetingOverride = nil
        _ = try client.connect(host: rxeHost, port: server.localPort, privateData: [])
        try server.accept(try driver.waitRequest(0), privateData: [])
        _ = try driver.waitEstablished(1)
        for fabric in driver.fabrics { fabric.shutdown() }
    }

    /// Two receives are enough where the other side has more. Messages go both ways, and once they have been answered
    /// nothing more is sent: credits do not answer one another.
    @Test(arguments: [2, 4]) func twoReceives(ofServer: Int) throws {
        var few = FabricConfiguration.client
        few.messagesInFlight = ofServer
        let server = try VerbsFabric(listening: rxeHost, port: 0, configuration: few)
        few.messagesInFlight = 2
        let client = try VerbsFabric(towards: rxeHost, port: 1, configuration: few)
        let driver = Driver(server, client)
        defer { for fabric in driver.fabrics { fabric.shutdown() } }
        let atClient = try client.connect(host: rxeHost, port: server.localPort, privateData: [])
        guard ofServer > 2 else {
            let failure = try driver.wait(1, for: "rejection") {
                if case .rejected(_, let why) = $0 { why } else { nil }
            }
            return #expect(failure == .rejectedByPeer)
        }
        let atServer = try driver.waitRequest(0)
        try server.accept(atServer, privateData: [])
        _ = try driver.waitEstablished(1)
        for number in 0..<200 as Range<UInt8> {
            try driver.post(1) { send([number], on: atClient, of: $0) }
            if number % 3 > 0 { try driver.post(0) { send([number], on: atServer, of: $0) } }
            let (request, bytes) = try driver.waitMessage(0)
            server.release(request)
            #expect(bytes == [number])
            if number % 3 > 0 { client.release(try driver.waitMessage(1).message) }
        }
        for _ in 0..<20_000 { driver.turn() }
        let posted = client.statistics.requestsPosted + server.statistics.requestsPosted
        for _ in 0..<20_000 { driver.turn() }
        #expect(client.statistics.requestsPosted + server.statistics.requestsPosted == posted)
    }
}
