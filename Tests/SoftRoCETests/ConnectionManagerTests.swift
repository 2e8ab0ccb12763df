import Glibc
import RDMATransport
import Testing
import TransportTestSupport

/// Connections as librdmacm makes them, between this process and another.
@Suite(.serialized) struct ConnectionManagerTests {
    /// A connection that was made: our end and the peer's.
    struct Connected {
        let here: VerbsManager
        let there: RemoteManager
        let identifier: ConnectionIdentifier
        let end: VerbsEnd
        let near: VerbsEndHandle
        let far: VerbsEndHandle
        /// The peer's identifier.
        let tag: UInt64
        /// What our side was told when it was made.
        let established: ConnectionEvent
        let request: VerbsEndReply

        /// The peer listens, and we connect.
        init(
            process: VerbsEndsProcess? = nil, _ parameters: VerbsParameters = VerbsParameters(),
            accepting: VerbsParameters = VerbsParameters()
        ) throws {
            (here, there) = (try VerbsManager(), try RemoteManager(process))
            let port = try there.listen(rxeHost)
            (identifier, end) = try here.dial(rxeHost, port, VerbsEndOptions(), parameters)
            near = try VerbsEndHandle(end)
            request = try there.await(.connectRequest)
            tag = request.tag
            far = try there.accept(tag, VerbsEndOptions(), accepting)
            established = try here.await(.established)
            try there.await(.established)
        }

        /// The peer answers the end that we asked for, and we are told.
        func answerEnd() throws {
            try there.await(.disconnected)
            try there.perform(.disconnect(tag: tag))
            try here.await(.disconnected)
        }
    }

    // MARK: Making a connection

    @Test func aConnectionCarriesMessages() throws {
        let pair = try Connected()
        try pair.near.receive(0, 4096)
        try pair.far.receive(0, 4096)
        try pair.near.fill(8192, 3000, seed: 1)
        try pair.near.post(.send, 8192, 3000)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 3000)
        #expect(try pair.far.bytes(0, 3000) == pattern(3000, seed: 1))
        try pair.far.post(.sendImmediate, 0, 3000) { $0.immediate = 99 }
        #expect(try pair.near.success().immediate == 99)
        #expect(try pair.near.bytes(0, 3000) == pattern(3000, seed: 1))
    }

    @Test func thePeerConnectsToUs() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let listener = try here.listen(rxeHost)
        let far = try there.dial(rxeHost, listener.localPort).end
        let request = try #require(try here.await(.connectRequest).request)
        let near = try VerbsEndHandle(try here.accept(request))
        try there.await(.established)  // takes the answer, and says so to us
        try here.await(.established)
        try near.receive(0, 4096)
        try far.fill(0, 500, seed: 2)
        try far.post(.send, 0, 500)
        #expect(try near.success().byteCount == 500)
        #expect(try near.bytes(0, 500) == pattern(500, seed: 2))
    }

    @Test func aConnectionReadsAndWrites() throws {
        let pair = try Connected()
        try pair.near.fill(0, 5000, seed: 3)
        try pair.near.post(.write, 0, 5000) { $0.aim(at: pair.far, 100) }
        try pair.near.success()
        #expect(try pair.far.bytes(100, 5000) == pattern(5000, seed: 3))
        try pair.near.post(.read, 10_000, 5000) { $0.aim(at: pair.far, 100) }
        try pair.near.success()
        #expect(try pair.near.bytes(10_000, 5000) == pattern(5000, seed: 3))
    }

    @Test func privateDataTravelsBothWays() throws {
        let pair = try Connected(
            VerbsParameters(Array("hello".utf8)), accepting: VerbsParameters(Array("welcome".utf8)))
        #expect(Array(pair.request.bytes.prefix(5)) == Array("hello".utf8))
        #expect(pair.request.bytes.dropFirst(5).allSatisfy { $0 == 0 }, "zeros behind it at most")
        #expect(Array(pair.established.privateData.prefix(7)) == Array("welcome".utf8))
    }

    @Test func theLongestPrivateData() throws {
        let (hello, welcome) = (pattern(56, seed: 4), pattern(196, seed: 5))
        let pair = try Connected(VerbsParameters(hello), accepting: VerbsParameters(welcome))
        #expect(pair.request.bytes == hello)
        #expect(pair.established.privateData == welcome)
    }

    @Test func longerPrivateDataIsRefused() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let identifier = try here.resolve(rxeHost, try there.listen(rxeHost))
        let end = try VerbsEnd(VerbsEndOptions(), on: identifier)
        var parameters = ConnectionParameters()
        parameters.privateData = pattern(57, seed: 0)
        let failure = #expect(throws: FabricError.self) { try identifier.connect(parameters) }
        #expect(failure?.operation == "rdma_connect")
        withExtendedLifetime(end) {}
    }

    // MARK: What is agreed on

    @Test func theAcknowledgementTimeoutIsSet() throws {
        var parameters = VerbsParameters()
        parameters.timeoutCode = 17
        let pair = try Connected(parameters)
        #expect(try pair.end.queuePair.attributes().acknowledgementTimeoutCode == 17)
    }

    @Test func readsUnderWayAreAgreedOn() throws {
        var (mine, theirs) = (VerbsParameters(), VerbsParameters())
        (mine.readsMax, theirs.readsMax) = (8, 2)
        let pair = try Connected(mine, accepting: theirs)
        let attributes = try pair.end.queuePair.attributes()
        #expect(attributes.readsInFlightMax == 2, "no more than the peer serves")
        #expect(attributes.readsServedMax <= 8)
    }

    @Test func retriesAreAsAsked() throws {
        var parameters = VerbsParameters()
        parameters.retryCount = 2
        let attributes = try Connected(parameters).end.queuePair.attributes()
        #expect(attributes.retryCount == 2)
        #expect(attributes.receiverNotReadyRetryCount == 6, "never for ever")
    }

    @Test func theQueuePairKnowsItsPeer() throws {
        let pair = try Connected()
        let attributes = try pair.end.queuePair.attributes()
        #expect(attributes.state == .readyToSend)
        #expect(attributes.peerQueuePair == pair.far.about.queuePair)
    }

    @Test func anIdentifierKnowsDeviceAndPeer() throws {
        let pair = try Connected()
        #expect(pair.identifier.context?.name == "rxe0")
        #expect(pair.identifier.describePeer().hasPrefix("10.9.0.1:"))
        #expect(pair.identifier.localPort != 0)
    }

    // MARK: Refusals

    @Test func aRefusalSaysWhy() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let dialed = try here.dial(rxeHost, try there.listen(rxeHost))
        let request = try there.await(.connectRequest)
        try there.perform(.reject(tag: request.tag, privateData: [4, 5, 6]))
        let event = try here.await(.rejected)
        #expect(Array(event.privateData.prefix(3)) == [4, 5, 6])
        #expect(event.status == 28, "rejected by the consumer")
        #expect(event.tag == dialed.identifier.tag)
    }

    @Test func weRefuseThePeer() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let listener = try here.listen(rxeHost)
        let dialed = try there.dial(rxeHost, listener.localPort)
        try #require(try here.await(.connectRequest).request).reject(privateData: [1])
        let seen = try there.await(.rejected)
        #expect(seen.tag == dialed.tag && seen.bytes.first == 1)
    }

    @Test func aDroppedRequestIsRefused() throws {
        let channel = try EventChannel()
        let listener = try ConnectionIdentifier(channel: channel)
        try listener.bind(host: rxeHost, port: 0)
        try listener.listen(backlog: 1)
        let there = try RemoteManager()
        _ = try there.dial(rxeHost, listener.localPort)
        #expect(isReadable(channel.descriptor, 20_000))
        #expect(channel.next()?.kind == .connectRequest, "and its identifier goes with the event")
        try there.await(.rejected)
    }

    @Test func nobodyListens() throws {
        let here = try VerbsManager()
        _ = try here.dial(rxeHost, 9)
        let event = try here.await(.rejected)
        #expect(event.status == 8, "invalid service id")
        #expect(event.privateData.allSatisfy { $0 == 0 })
    }

    @Test func aListenerThatIsGoneRefuses() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let port = try there.listen(rxeHost)
        try there.perform(.reset)
        _ = try here.dial(rxeHost, port)
        #expect(try here.await(.rejected).status == 8)
    }

    @Test func anAddressThatNoDeviceReaches() throws {
        let here = try VerbsManager()
        let identifier = try here.make()
        do {
            try identifier.resolveAddress(host: "192.0.2.1", port: 9, timeoutMilliseconds: 2000)
            #expect(try here.await(.addressError).status < 0)
        } catch let error as FabricError {
            #expect(error.operation == "rdma_resolve_addr" && error.description.contains("192.0.2.1:9"))
        }
    }

    @Test func aNameThatIsNone() throws {
        let identifier = try VerbsManager().make()
        let failure = #expect(throws: FabricError.self) {
            try identifier.resolveAddress(host: "not an address", port: 1, timeoutMilliseconds: 100)
        }
        #expect(failure?.code == .address && failure?.description.contains("not an address") == true)
    }

    @Test func aRouteNeedsAnAddress() throws {
        let identifier = try VerbsManager().make()
        let failure = #expect(throws: FabricError.self) { try identifier.resolveRoute(timeoutMilliseconds: 100) }
        #expect(failure?.code == .state && failure?.operation == "rdma_resolve_route")
    }

    /// librdmacm itself would read through a null pointer.
    @Test func nothingHappensWithoutADevice() throws {
        let identifier = try VerbsManager().make()
        let calls: [() throws -> Void] = [
            { try identifier.connect() }, { try identifier.accept() }, { try identifier.accept(datagrams: 1) },
            { try identifier.joinMulticast("239.9.0.1") },
        ]
        for (number, call) in calls.enumerated() {
            let failure = #expect(throws: FabricError.self, "call \(number)") { try call() }
            #expect(failure?.code == .state, "call \(number): \(String(describing: failure))")
        }
        #expect(identifier.context == nil && identifier.localPort == 0)
        #expect(identifier.describePeer() == "unknown peer")
    }

    @Test func aQueuePairNeedsADevice() throws {
        let identifier = try VerbsManager().make()
        let context = try DeviceContext(name: "rxe0")
        let queue = try CompletionQueue(context: context, depth: 4)
        let domain = try ProtectionDomain(context: context)
        let failure = #expect(throws: FabricError.self) {
            _ = try QueuePair(
                QueuePairOptions(depths: .init(send: 1, receive: 1)), on: identifier, in: domain, sends: queue,
                receives: queue
            ).number
        }
        #expect(failure?.operation == "rdma_create_qp_ex")
    }

    // MARK: Listening

    @Test func aFreePortIsTaken() throws {
        let here = try VerbsManager()
        let (one, two) = (try here.listen(rxeHost), try here.listen(rxeHost))
        #expect(one.localPort != 0 && two.localPort != 0 && one.localPort != two.localPort)
    }

    @Test func aPortThatIsTakenIsRefused() throws {
        let there = try RemoteManager()
        let port = try there.listen(rxeHost)
        let identifier = try VerbsManager().make()
        let failure = #expect(throws: FabricError.self) { try identifier.bind(host: rxeHost, port: port) }
        #expect(failure?.errorNumber == EADDRINUSE)
        #expect(failure?.description.contains("\(rxeHost):\(port)") == true)
    }

    @Test func anAddressOfNoDeviceCannotBeBound() throws {
        let identifier = try VerbsManager().make()
        let failure = #expect(throws: FabricError.self) { try identifier.bind(host: "192.0.2.1", port: 0) }
        #expect(failure?.operation == "rdma_bind_addr")
    }

    @Test func aSharedPortNeedsBothToAgree() throws {
        let here = try VerbsManager()
        let (one, two) = (try here.make(), try here.make())
        try one.setReuseAddress(true)
        try two.setReuseAddress(true)
        try one.bind(host: rxeHost, port: 0)
        try two.bind(host: rxeHost, port: one.localPort)
        #expect(two.localPort == one.localPort)
    }

    @Test func requestsNameTheirListener() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let listeners = [try here.listen(rxeHost), try here.listen(rxeHost)]
        for listener in listeners.reversed() {
            _ = try there.dial(rxeHost, listener.localPort)
            let event = try here.await(.connectRequest)
            #expect(event.tag == listener.tag)
            #expect(event.request !== listener)
            event.request?.reject(privateData: [])
            try there.await(.rejected)
        }
    }

    @Test func manyConnectionsOfOneListener() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let listener = try here.listen(rxeHost)
        var ends: [(near: VerbsEndHandle, far: VerbsEndHandle)] = []
        for _ in 0..<8 {
            let far = try there.dial(rxeHost, listener.localPort).end
            let request = try #require(try here.await(.connectRequest).request)
            ends.append((try VerbsEndHandle(try here.accept(request)), far))
            try there.await(.established)
            try here.await(.established)
        }
        for (number, pair) in ends.enumerated() {
            try pair.near.receive(0, 64)
            try pair.far.post(.sendImmediate, 0, 8) { $0.immediate = UInt32(number) }
        }
        for (number, pair) in ends.enumerated() { #expect(try pair.near.success().immediate == UInt32(number)) }
    }

    // MARK: The end

    @Test func bothEndsLearnOfTheEnd() throws {
        let pair = try Connected()
        try pair.near.receive(0, 64, workID: 1)
        try pair.far.receive(0, 64, workID: 2)
        pair.identifier.disconnect()
        #expect(try pair.there.await(.disconnected).tag == pair.tag)
        try pair.there.perform(.disconnect(tag: pair.tag))
        #expect(try pair.here.await(.disconnected).tag == pair.identifier.tag)
        #expect(WorkCompletion.Status(rawValue: try pair.near.completion().status) == .flushed)
    }

    @Test func thePeerEndsIt() throws {
        let pair = try Connected()
        try pair.near.receive(0, 64, workID: 7)
        try pair.there.perform(.disconnect(tag: pair.tag))
        try pair.here.await(.disconnected)
        pair.identifier.disconnect()  // answers, and moves our queue pair to the error state
        let flushed = try pair.near.completion()
        #expect(WorkCompletion.Status(rawValue: flushed.status) == .flushed && flushed.workID == 7)
    }

    @Test func endingTwiceIsHarmless() throws {
        let pair = try Connected()
        pair.identifier.disconnect()
        pair.identifier.disconnect()
        try pair.answerEnd()
        pair.identifier.disconnect()
    }

    @Test func anEndedConnectionTakesNothing() throws {
        let pair = try Connected()
        pair.identifier.disconnect()
        try pair.answerEnd()
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        #expect(WorkCompletion.Status(rawValue: try pair.near.completion().status) == .flushed)
        #expect(try pair.far.bytes(0, 8) == [UInt8](repeating: 0, count: 8))
    }

    /// SIGKILL: the kernel ends the peer's connection for it.
    @Test func thePeersDeathIsToldAsAnEnd() throws {
        let process = try VerbsEndsProcess()
        let pair = try Connected(process: process)
        try pair.near.receive(0, 64, workID: 9)
        process.kill()
        try pair.here.await(.disconnected)
        pair.identifier.disconnect()
        #expect(WorkCompletion.Status(rawValue: try pair.near.completion().status) == .flushed)
    }

    @Test func aListenersDeathRefuses() throws {
        let process = try VerbsEndsProcess()
        let port = try RemoteManager(process).listen(rxeHost)
        process.kill()
        let here = try VerbsManager()
        _ = try here.dial(rxeHost, port)
        #expect(try here.await(.rejected).status == 8)
    }

    @Test func anIdentifierGoesWithEventsPending() throws {
        let (here, there) = (try VerbsManager(), try RemoteManager())
        let listener = try here.listen(rxeHost)
        _ = try there.dial(rxeHost, listener.localPort)
        #expect(isReadable(here.channel.descriptor, 20_000))
        here.drop(listener)  // and nobody has taken the request
    }
}
