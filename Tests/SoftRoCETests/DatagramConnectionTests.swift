import RDMATransport
import Testing
import TransportTestSupport

/// Datagrams whose ends found each other through librdmacm, and multicast groups; between two processes.
@Suite(.serialized) struct DatagramConnectionTests {
    static var options: VerbsEndOptions {
        var options = VerbsEndOptions()
        options.kind = 4
        return options
    }

    /// Sends a datagram of `count` bytes from an end of ours to where an event says.
    static func send(
        _ count: Int, from end: VerbsEnd, to peer: ConnectionEvent.DatagramPeer, immediate: UInt32
    ) throws {
        let way = try peer.addressHandle(in: end.domain)
        var chain = SendChain(capacity: 1)
        let destination = way.destination(queuePair: peer.queuePair, queueKey: peer.queueKey)
        unsafe chain.append(
            .sendToWithImmediate(destination, immediate), workID: 1, flags: .signaled,
            end.region.element(offset: 0, byteCount: count))
        #expect(chain.post(to: end.queuePair) == .posted)
        try VerbsEndHandle(end).success()
    }

    @Test func aDatagramPeerIsFound() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let port = try there.listen(rxeHost, isDatagram: true)
        let dialed = try here.dial(rxeHost, port, Self.options, VerbsParameters([7, 8]))
        let request = try there.await(.connectRequest)
        #expect(Array(request.bytes.prefix(2)) == [7, 8])
        let far = try there.accept(request.tag, Self.options, VerbsParameters([9]))
        let established = try here.await(.established)
        #expect(established.privateData.first == 9)
        let peer = try #require(established.datagramPeer)
        #expect(peer.queuePair == far.about.queuePair)
        try far.receive(0, 4096)
        try VerbsEndHandle(dialed.end).fill(0, 200, seed: 1)
        try Self.send(200, from: dialed.end, to: peer, immediate: 5)
        let received = try far.success()
        #expect(received.byteCount == 240 && received.immediate == 5)
        #expect(received.sourceQueuePair == dialed.end.queuePair.number)
        #expect(try far.bytes(40, 200) == pattern(200, seed: 1))
    }

    @Test func aDatagramRequestIsRefused() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let port = try there.listen(rxeHost, isDatagram: true)
        let dialed = try here.dial(rxeHost, port, Self.options)
        let request = try there.await(.connectRequest)
        try there.perform(.reject(tag: request.tag, privateData: [3]))
        let event = try here.next()
        #expect(event.kind == .unreachable || event.kind == .rejected, "\(event.kind)")
        #expect(event.datagramPeer == nil)
        withExtendedLifetime(dialed.end) {}
    }

    // MARK: Multicast

    @Test func joiningSaysWhereToSend() throws {
        let joined = try VerbsManager().join(rxeHost, "239.9.0.1", Self.options)
        let group = try #require(joined.event.datagramPeer)
        #expect(group.queuePair == 0xff_ffff)
        #expect(group.queueKey != 0)
    }

    @Test func aGroupsMemberReceives() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let far = try there.join(rxeHost, "239.9.0.2", Self.options)
        let joined = try here.join(rxeHost, "239.9.0.2", Self.options)
        try far.receive(0, 4096)
        try VerbsEndHandle(joined.end).fill(0, 300, seed: 2)
        try Self.send(300, from: joined.end, to: try #require(joined.event.datagramPeer), immediate: 6)
        let received = try far.success()
        #expect(received.byteCount == 340 && received.immediate == 6)
        #expect(try far.bytes(40, 300) == pattern(300, seed: 2))
    }

    @Test func everyMemberReceives() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let members = try (0..<3).map { _ in try there.join(rxeHost, "239.9.0.3", Self.options) }
        let joined = try here.join(rxeHost, "239.9.0.3", Self.options)
        for member in members { try member.receive(0, 4096) }
        try Self.send(8, from: joined.end, to: try #require(joined.event.datagramPeer), immediate: 7)
        for member in members { #expect(try member.success().immediate == 7) }
    }

    @Test func anotherGroupIsNotDisturbed() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let other = try there.join(rxeHost, "239.9.0.4", Self.options)
        let member = try there.join(rxeHost, "239.9.0.5", Self.options)
        let joined = try here.join(rxeHost, "239.9.0.5", Self.options)
        try other.receive(0, 4096)
        try member.receive(0, 4096)
        try Self.send(8, from: joined.end, to: try #require(joined.event.datagramPeer), immediate: 8)
        #expect(try member.success().immediate == 8)
        #expect(try other.poll() == nil)
    }

    @Test func whoLeftReceivesNothing() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let sender = try here.join(rxeHost, "239.9.0.6", Self.options)
        let leaver = try here.join(rxeHost, "239.9.0.6", Self.options)
        let member = try there.join(rxeHost, "239.9.0.6", Self.options)
        let near = try VerbsEndHandle(leaver.end)
        try near.receive(0, 4096)
        try member.receive(0, 4096)
        try leaver.identifier.leaveMulticast("239.9.0.6")
        try Self.send(8, from: sender.end, to: try #require(sender.event.datagramPeer), immediate: 9)
        #expect(try member.success().immediate == 9)
        #expect(try near.poll() == nil)
    }

    /// A queue pair made by hand attaches to the group that the connection manager joined.
    @Test func attachingByHand() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let member = try there.join(rxeHost, "239.9.0.7", Self.options)
        let process = there.process
        let byHand = try VerbsEndHandle(Self.options) { try process.perform($0) }
        try byHand.connect(to: byHand)
        let group: [UInt8] = GID(ipv4: (239, 9, 0, 7)).bytes
        try byHand.perform { .joinGroup(end: $0, address: group, isLeaving: false) }
        let joined = try here.join(rxeHost, "239.9.0.7", Self.options)
        // What the group's messages carry must be the queue pair's own key.
        let peer = try #require(joined.event.datagramPeer)
        try member.receive(0, 4096)
        try Self.send(8, from: joined.end, to: peer, immediate: 10)
        #expect(try member.success().immediate == 10)
        #expect(try byHand.poll() == nil, "its queue key is another")
        try byHand.perform { .joinGroup(end: $0, address: group, isLeaving: true) }
    }

    @Test func whatIsNoGroupCannotBeJoined() throws {
        let here = try VerbsManager()
        let failure = #expect(throws: (any Error).self) { _ = try here.join(rxeHost, "not a group", Self.options) }
        #expect((failure as? FabricError)?.code == .address)
    }

    @Test func aReliableQueuePairCannotAttach() throws {
        let pair = try VerbsPair(.twoProcesses)
        let failure = #expect(throws: VerbsEndFailure.self) {
            try pair.far.perform { .joinGroup(end: $0, address: GID(ipv4: (239, 9, 0, 8)).bytes, isLeaving: false) }
        }
        #expect(failure?.description.contains("239.9.0.8") == true)
    }
}
