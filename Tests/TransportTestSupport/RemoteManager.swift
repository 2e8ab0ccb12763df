package import RDMATransport

/// The connection manager of another process.
package struct RemoteManager: Sendable {
    package let process: VerbsEndsProcess

    /// Without what earlier tests left there.
    package init(_ process: VerbsEndsProcess? = nil) throws {
        self.process = try process ?? VerbsEndsProcess.common.get()
        try perform(.reset)
    }

    @discardableResult package func perform(_ command: VerbsManagerCommand) throws -> VerbsEndReply {
        let reply = try process.perform(.manage(command))
        if let error = reply.error { throw VerbsEndFailure(description: error, code: reply.errorCode) }
        return reply
    }

    /// The port it listens on.
    package func listen(_ host: String, isDatagram: Bool = false) throws -> UInt16 {
        try perform(.listen(host: host, isDatagram: isDatagram)).port
    }

    /// Its next event, which must be of a kind.
    @discardableResult package func await(_ kind: ConnectionEvent.Kind) throws -> VerbsEndReply {
        let reply = try perform(.nextEvent)
        let seen = ConnectionEvent.Kind(rawValue: reply.event)
        try expect(seen == kind, "the peer saw \(seen) (\(reply.eventStatus)) instead of \(kind)")
        return reply
    }

    package func dial(
        _ host: String, _ port: UInt16, _ options: VerbsEndOptions = VerbsEndOptions(),
        _ parameters: VerbsParameters = VerbsParameters()
    ) throws -> (tag: UInt64, end: VerbsEndHandle) {
        try handle(.dial(host: host, port: port, options, parameters))
    }

    package func accept(
        _ tag: UInt64, _ options: VerbsEndOptions = VerbsEndOptions(), _ parameters: VerbsParameters = VerbsParameters()
    ) throws -> VerbsEndHandle { try handle(.accept(tag: tag, options, parameters)).end }

    package func join(
        _ host: String, _ group: String, _ options: VerbsEndOptions
    ) throws -> VerbsEndHandle { try handle(.join(host: host, group: group, options)).end }

    private func handle(_ command: VerbsManagerCommand) throws -> (tag: UInt64, end: VerbsEndHandle) {
        let reply = try perform(command)
        return (reply.tag, VerbsEndHandle(reply) { try process.perform($0) })
    }
}

extension VerbsEndHandle {
    /// An end of this process, as the handle that tests use.
    package convenience init(_ end: VerbsEnd) throws {
        let ends = VerbsEnds()
        self.init(try ends.add(end)) { ends.perform($0) }
    }
}
