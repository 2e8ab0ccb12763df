internal import CVerbs

// What the connection manager reports, and the end of connections.
extension VerbsFabric {
    func establish(_ connection: VerbsConnection, into events: inout [FabricEvent]) {
        connection.established()
        events.append(.established(connection.id))
    }

    func handle(_ event: ConnectionEvent, into events: inout [FabricEvent]) {
        if event.kind == .connectRequest { return requested(event, into: &events) }
        guard event.tag != 0 else { return }
        let id = ConnectionID(
            index: UInt32(truncatingIfNeeded: event.tag) - 1, generation: UInt32(event.tag >> 32))
        guard let connection = connections[id], connection.state != .dead else { return }
        do throws(FabricError) {
            switch (event.kind, connection.state) {
            case (.addressResolved, .resolvingAddress):
                connection.state = .resolvingRoute
                try connection.identifier!.setAcknowledgementTimeout(code: peerTimeout.acknowledgementTimeoutCode)
                try connection.identifier!.resolveRoute(timeoutMilliseconds: 5000)
            case (.routeResolved, .resolvingRoute):
                connection.peer = connection.identifier!.describePeer()
                connection.state = .connecting
                try connection.prepare(sends: sends, receives: receives, domain: domain)
                let hello = greetingOverride ?? greeting(connection.privateData).encoded
                try connection.identifier!.connect(parameters(hello))
            case (.established, .connecting):
                guard case .greeting(let greeting) = TransportGreeting.parse(event.privateData) else {
                    return refuse(connection, .versionMismatch, into: &events)
                }
                connection.adopt(greeting)
                establish(connection, into: &events)
            case (.established, .accepting):
                establish(connection, into: &events)
            case (.rejected, .connecting):
                var failure = ConnectFailure.nobodyListens
                switch TransportGreeting.parse(event.privateData) {
                case .greeting(let greeting):
                    connection.privateData = greeting.privateData
                    failure = .rejectedByPeer
                case .versionMismatch: failure = .versionMismatch
                case .garbage: break
                }
                refuse(connection, failure, into: &events)
            case (.rejected, .accepting):
                drain(connection, .closed)
            case (.addressError, _), (.routeError, _), (.unreachable, _),
                (.connectError, _):
                refuse(connection, .unreachable, into: &events)
            case (.disconnected, _), (.deviceRemoval, _):
                // What arrived before the hang-up is still in the completion queue.
                pollCompletions(into: &events)
                if connection.state == .established || connection.state == .accepting { drain(connection, .closed) }
            default: break
            }
        } catch {
            lastError = error
            refuse(connection, .localError, into: &events)
        }
    }

    private func requested(_ event: ConnectionEvent, into events: inout [FabricEvent]) {
        let identifier = event.request!
        guard case .greeting(let greeting) = TransportGreeting.parse(event.privateData),
            max(greeting.messagesInFlight, configuration.messagesInFlight)
                >= TransportGreeting.messagesInFlightMinOfLarger,
            unsafe identifier.raw.pointee.verbs == context.raw
        else { return identifier.reject(privateData: self.greeting([]).encoded) }
        let peer = identifier.describePeer()
        guard let connection = try? insert(identifier, state: .requested) else { return }
        connection.adopt(greeting)
        connection.peer = peer
        events.append(.requested(connection.id))
    }

    /// A connect that came to nothing.
    private func refuse(_ connection: VerbsConnection, _ failure: ConnectFailure, into events: inout [FabricEvent]) {
        guard connection.state != .accepting, connection.state != .established else {
            return drain(connection, .transportError)
        }
        var flushed: [FabricEvent] = []
        connection.destroy(into: &flushed)
        events.append(.rejected(connection.id, failure))
        refused.append(connection)
        unsafe lanes.pointee.isAnyEnding = true
    }

    /// Begins a connection's end; `.disconnected` follows when everything posted has come back.
    func drain(_ connection: VerbsConnection, _ reason: DisconnectReason) {
        guard connection.state != .draining, connection.state != .dead else { return }
        connection.reason = reason
        connection.beginDrain()
        connection.drainDeadline = monotonicNanoseconds() + 2_000_000_000
        draining.append(connection)
        unsafe lanes.pointee.isAnyEnding = true
    }

    /// Forgets those that the last poll reported as rejected.
    @inline(never) func finishRefused() {
        for connection in refused { finish(connection) }
        refused.removeAll()
        unsafe lanes.pointee.isAnyEnding = !draining.isEmpty
    }

    @inline(never) func finishDrained(into events: inout [FabricEvent]) {
        let now = monotonicNanoseconds()
        draining.removeAll { connection in
            guard connection.isDrained || now >= connection.drainDeadline else { return false }
            connection.destroy(into: &events)
            events.append(.disconnected(connection.id, connection.reason))
            if !connection.holdsMessages { finish(connection) }
            return true
        }
        unsafe lanes.pointee.isAnyEnding = !draining.isEmpty || !refused.isEmpty
    }

    func finish(_ connection: VerbsConnection) {
        reservedCompletions -= VerbsConnection.completionsNeeded(configuration)
        unsafe lanes.pointee.table.remove(connection.lane)
        connections.remove(connection.id)
    }
}

extension TransferStatus {
    init(_ status: WorkCompletion.Status) {
        switch status {
        case .success: self = .success
        case .flushed: self = .flushed
        case .remoteAccess, .remoteInvalidRequest, .remoteOperation: self = .remoteAccessError
        default: self = .failed(status.rawValue)
        }
    }
}
