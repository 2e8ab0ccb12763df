internal import Glibc
internal import RDMATransport
internal import TopicProtocol

// A link's connection: made, made again, lost.
extension Link {
    func connect(_ now: UInt64) {
        guard now >= nextAttempt else { return }
        do throws(FabricError) {
            let (fabric, id) = try open()
            self.fabric = fabric
            connection = id
        } catch {
            fabric = nil
            let isNobody = [ENOENT, ECONNREFUSED].contains(error.errorNumber)
            let why = isNobody ? Self.nobody(address) : "cannot connect to \(address): \(error)"
            attemptFailed(ClientError(.connection, why), isFinal: error.code == .noDevice)
        }
    }

    private func attemptFailed(_ error: ClientError, isFinal: Bool) {
        lastFailure = error
        connection = nil
        isEstablished = false
        let now = monotonicNanoseconds()
        let limit = wasEstablished && agent.isReady ? patience.reconnectNanoseconds : patience.connectNanoseconds
        if isFinal || now - lostSince >= limit { return fail(error) }
        nextAttempt = now + backoffNanoseconds
        backoffNanoseconds = min(backoffNanoseconds * 2, Self.backoffNanosecondsMax)
    }

    func established() {
        guard let fabric, let connection else { return }
        let answer = fabric.privateData(of: connection)
        // A connection that has ended already has none left to give.
        guard !answer.isEmpty else { return drop(ClientError(.connection, "\(address) ended the connection at once")) }
        guard let welcome = Handshake.parseWelcome(answer), welcome.version <= Handshake.newestVersion else {
            return fail(ClientError(.protocolViolation, "\(address) is not an rdmad broker"))
        }
        var registered: [RegionID] = []
        do {
            for (memory, access) in try agent.makeRegions() {
                registered.append(try fabric.register(memory, access: access))
            }
        } catch {
            return fail(ClientError(.limit, "cannot set memory aside for \(address): \(error)"))
        }
        var regions: [RemoteRegion] = []
        do throws(FabricError) {
            for region in registered { regions.append(try fabric.share(region, on: connection)) }
        } catch {
            return drop(ClientError(.connection, "cannot share memory with \(address): \(error)"))
        }
        isEstablished = true
        version = welcome.version
        wasEstablished = true
        hasMovedData = false
        isDropping = false
        establishedAt = monotonicNanoseconds()
        agent.connected(self, welcome, regions)
    }

    func rejected(_ failure: ConnectFailure, _ fabric: F, _ id: ConnectionID) {
        switch failure {
        case .rejectedByPeer, .versionMismatch:
            let refusal = Handshake.parseRefusal(fabric.privateData(of: id))
            let text = refusal?.text
            let why =
                text ?? (failure == .versionMismatch ? "it speaks another version of the transport" : "it is full")
            attemptFailed(
                ClientError(.connection, "\(address) refused the connection: \(why)"),
                // Another connection may end.
                isFinal: refusal.map { !$0.error.isRetriable } ?? false)
        case .nobodyListens:
            attemptFailed(ClientError(.connection, Self.nobody(address)), isFinal: false)
        case .unreachable:
            attemptFailed(ClientError(.connection, "\(address) cannot be reached"), isFinal: false)
        case .localError:
            let why = fabric.lastError.map { "\($0)" } ?? "unknown"
            attemptFailed(ClientError(.connection, "cannot connect to \(address): \(why)"), isFinal: true)
        }
        self.fabric = nil
    }

    func lost(_ reason: DisconnectReason) {
        let why =
            switch reason {
            case .memoryRefused: "the broker refused shared memory"
            case .protocolViolation: "one side broke the protocol"
            case .transportError: "a transfer failed"
            case .peerDead: "the broker stopped answering"
            default: "the broker closed it or ended"
            }
        // Who dropped it has said why.
        if !isDropping { lastFailure = ClientError(.connection, "the connection to \(address) was lost: \(why)") }
        let isGood =
            isEstablished
            && (hasMovedData || monotonicNanoseconds() - establishedAt >= Self.goodLifeNanoseconds)
        connection = nil
        isEstablished = false
        isDropping = false
        outgoing = nil
        incoming = FragmentAssembler()
        if isOnItsThread { fabric?.shutdown() } else { retired = fabric }
        fabric = nil
        endRequests(ClientError(.connection, lastFailure.description))
        agent.disconnected()
        // A broker that takes connections only to end them is not hammered, nor tried for ever.
        guard isGood else { return attemptFailed(lastFailure, isFinal: false) }
        lostSince = monotonicNanoseconds()
        backoffNanoseconds = Self.backoffNanosecondsMin
        nextAttempt = lostSince
    }

    private static func nobody(_ address: BrokerAddress) -> String {
        "nobody listens at \(address): is rdmad serving there? (rdmad serve --listen \(address))"
    }
}
