package import RDMATransport

/// What a test asks of the connection manager of a process.
package enum VerbsManagerCommand: Codable, Sendable {
    /// Answers with the port.
    case listen(host: String, isDatagram: Bool)
    /// Waits for the next event.
    case nextEvent
    /// Connects a new end, without waiting for what comes of it.
    case dial(host: String, port: UInt16, VerbsEndOptions, VerbsParameters)
    case accept(tag: UInt64, VerbsEndOptions, VerbsParameters)
    case reject(tag: UInt64, privateData: [UInt8])
    case disconnect(tag: UInt64)
    /// Joins a multicast group with a new end of the address's device.
    case join(host: String, group: String, VerbsEndOptions)
    /// Connects and disconnects, again and again.
    case storm(host: String, port: UInt16, count: Int)
    /// Descriptors and bytes of memory of the process.
    case usage
    /// Forgets every identifier and event.
    case reset
}

package struct VerbsParameters: Codable, Sendable {
    package var privateData: [UInt8] = []
    package var readsMax: UInt8 = 4
    package var retryCount: UInt8 = 7
    /// Nil: librdmacm's own.
    package var timeoutCode: UInt8?
    package init(_ privateData: [UInt8] = []) { self.privateData = privateData }

    var parameters: ConnectionParameters {
        var parameters = ConnectionParameters()
        parameters.privateData = privateData
        parameters.readsServedMax = readsMax
        parameters.readsInFlightMax = readsMax
        parameters.retryCount = retryCount
        return parameters
    }
}

/// The connection manager's side of a test: identifiers by tag, and their events in order.
package final class VerbsManager {
    package let channel: EventChannel
    private var identifiers: [UInt64: ConnectionIdentifier] = [:]
    private var nextTag: UInt64 = 1

    package init() throws { channel = try EventChannel() }

    /// Makes an identifier that events name by its tag.
    package func make(_ service: ConnectionService = .connected) throws -> ConnectionIdentifier {
        keep(try ConnectionIdentifier(channel: channel, service: service))
    }

    package subscript(tag: UInt64) -> ConnectionIdentifier? { identifiers[tag] }

    /// Forgets an identifier; what still uses it keeps it.
    package func drop(_ identifier: ConnectionIdentifier) { identifiers[identifier.tag] = nil }

    /// The next event, watched. The identifier of a request gets a tag of its own.
    package func next() throws -> ConnectionEvent {
        while true {
            if let event = channel.next() {
                if let request = event.request { _ = keep(request) }
                return event
            }
            try expect(isReadable(channel.descriptor, 20_000), "no connection event within 20 s")
        }
    }

    /// The next event, which must be of a kind.
    @discardableResult package func await(_ kind: ConnectionEvent.Kind) throws -> ConnectionEvent {
        let event = try next()
        try expect(event.kind == kind, "\(event.kind) (\(event.status)) instead of \(kind)")
        return event
    }

    /// A listener on a free port.
    package func listen(_ host: String, _ service: ConnectionService = .connected) throws -> ConnectionIdentifier {
        let listener = try make(service)
        try listener.bind(host: host, port: 0)
        try listener.listen(backlog: 64)
        return listener
    }

    /// An identifier that knows address and route.
    package func resolve(
        _ host: String, _ port: UInt16, _ service: ConnectionService = .connected
    ) throws -> ConnectionIdentifier {
        let identifier = try make(service)
        try identifier.resolveAddress(host: host, port: port, timeoutMilliseconds: 5000)
        try self.await(.addressResolved)
        try identifier.resolveRoute(timeoutMilliseconds: 5000)
        try self.await(.routeResolved)
        return identifier
    }

    /// Asks a listener for a connection; what comes of it is the next event.
    package func dial(
        _ host: String, _ port: UInt16, _ options: VerbsEndOptions = VerbsEndOptions(),
        _ parameters: VerbsParameters = VerbsParameters()
    ) throws -> (identifier: ConnectionIdentifier, end: VerbsEnd) {
        let identifier = try resolve(host, port, options.kind == 4 ? .datagram : .connected)
        if let code = parameters.timeoutCode { try identifier.setAcknowledgementTimeout(code: code) }
        let end = try VerbsEnd(options, on: identifier)
        try identifier.connect(parameters.parameters)
        return (identifier, end)
    }

    /// Agrees to a request.
    package func accept(
        _ request: ConnectionIdentifier, _ options: VerbsEndOptions = VerbsEndOptions(),
        _ parameters: VerbsParameters = VerbsParameters()
    ) throws -> VerbsEnd {
        let end = try VerbsEnd(options, on: request)
        if options.kind == 4 {
            try request.accept(datagrams: end.queuePair.number, privateData: parameters.privateData)
        } else {
            try request.accept(parameters.parameters)
        }
        return end
    }

    /// Joins a multicast group; the event says where to send.
    package func join(
        _ host: String, _ group: String, _ options: VerbsEndOptions
    ) throws -> (identifier: ConnectionIdentifier, end: VerbsEnd, event: ConnectionEvent) {
        let identifier = try make(.datagram)
        try identifier.bind(host: host, port: 0)
        let end = try VerbsEnd(options, on: identifier)
        try identifier.joinMulticast(group)
        return (identifier, end, try self.await(.multicastJoined))
    }

    private func keep(_ identifier: ConnectionIdentifier) -> ConnectionIdentifier {
        identifier.tag = nextTag
        identifiers[nextTag] = identifier
        nextTag += 1
        return identifier
    }

    /// Connects, disconnects and forgets.
    private func connectOnce(_ host: String, _ port: UInt16) throws {
        let identifier = try resolve(host, port)
        let context = identifier.context!
        let queue = try CompletionQueue(context: context, depth: 8)
        let queuePair = try QueuePair(
            QueuePairOptions(depths: .init(send: 2, receive: 2)), on: identifier,
            in: try ProtectionDomain(context: context), sends: queue, receives: queue)
        try identifier.connect()
        try self.await(.established)
        identifier.disconnect()
        try self.await(.disconnected)
        queuePair.close()
        drop(identifier)
    }

    // MARK: Commands

    func perform(_ command: VerbsManagerCommand, _ ends: VerbsEnds) throws -> VerbsEndReply {
        var reply = VerbsEndReply()
        switch command {
        case .listen(let host, let isDatagram):
            let listener = try listen(host, isDatagram ? .datagram : .connected)
            (reply.port, reply.tag) = (listener.localPort, listener.tag)
        case .nextEvent:
            let event = try next()
            (reply.event, reply.eventStatus, reply.bytes) = (event.kind.rawValue, event.status, event.privateData)
            reply.tag = event.request?.tag ?? event.tag
        case .dial(let host, let port, let options, let parameters):
            let (identifier, end) = try dial(host, port, options, parameters)
            reply = try ends.add(end)
            reply.tag = identifier.tag
        case .accept(let tag, let options, let parameters):
            reply = try ends.add(try accept(try known(tag), options, parameters))
            reply.tag = tag
        case .reject(let tag, let privateData): try known(tag).reject(privateData: privateData)
        case .disconnect(let tag): try known(tag).disconnect()
        case .join(let host, let group, let options):
            let joined = try join(host, group, options)
            reply = try ends.add(joined.end)
            reply.tag = joined.identifier.tag
        case .storm(let host, let port, let count): for _ in 0..<count { try connectOnce(host, port) }
        case .usage:
            reply.byteCount = descriptorCount()
            reply.workID = UInt64(residentBytes())
        case .reset: break
        }
        return reply
    }

    private func known(_ tag: UInt64) throws -> ConnectionIdentifier {
        guard let identifier = identifiers[tag] else { throw ScenarioFailure("no connection \(tag)") }
        return identifier
    }
}
