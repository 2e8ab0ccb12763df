internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import NIOPosix

extension KafkaConnection {
    /// Where the answer to a token goes.
    struct TokenReply: Sendable {
        let number: UInt32
        let version: Int16
        let correlationID: Int32
        let mechanism: String
        /// After SaslHandshake 0: a length and bytes, nothing else.
        let isBare: Bool
    }

    func takeHandshake(_ request: consuming RequestFrame) throws(WireError) {
        let header = request.header
        let mechanism = try request.body(SaslHandshakeRequest.self).mechanism
        var response = SaslHandshakeResponse()
        switch authentication {
        case .notAsked, .done: response.errorCode = .illegalSaslState
        case .handshakeAwaited(let users):
            response.mechanisms = Authentication.mechanisms
            if mechanism == "PLAIN" {
                authentication = .plain(users)
            } else if let scram = ScramMechanism(rawValue: mechanism) {
                authentication = .scram(ScramServer(scram, users: users))
            } else {
                response.errorCode = .unsupportedSaslMechanism
                isEnding = true
            }
            saslMechanism = mechanism
            receiver.hasBareTokens = header.apiVersion == 0 && !isEnding
        case .plain, .scram, .checking: return refuse("SaslHandshake in the middle of \(saslMechanism)")
        }
        try answer(response, version: header.apiVersion, to: header)
    }

    func takeAuthenticate(_ request: consuming RequestFrame) throws(WireError) {
        let header = request.header
        let token = try request.body(SaslAuthenticateRequest.self).authBytes
        switch authentication {
        case .notAsked, .done:
            var response = SaslAuthenticateResponse()
            response.errorCode = .illegalSaslState
            response.errorMessage = "SaslAuthenticate request received after successful authentication"
            try answer(response, version: header.apiVersion, to: header)
        case .handshakeAwaited: refuse("SaslAuthenticate before SaslHandshake")
        default:
            let number = ring.add(version: header.apiVersion, correlationID: header.correlationId)
            take(
                token: token,
                TokenReply(
                    number: number, version: header.apiVersion, correlationID: header.correlationId,
                    mechanism: saslMechanism, isBare: false))
        }
    }

    func take(bareToken: [UInt8]) {
        let number = ring.add(version: 0, correlationID: 0)
        let reply = TokenReply(number: number, version: 0, correlationID: 0, mechanism: saslMechanism, isBare: true)
        take(token: bareToken, reply)
    }

    private func take(token: [UInt8], _ reply: TokenReply) {
        switch authentication {
        case .plain(let users):
            guard let login = Authentication.plainLogin(token) else { return finish(.failed, reply) }
            authentication = .checking
            // It takes milliseconds, on purpose: not here.
            NIOThreadPool.singleton.runIfActive(eventLoop: loop.eventLoop) {
                users.isPassword(login.password, of: login.user)
            }.whenComplete { [loop, number] result in
                guard let connection = loop.connections[number] else { return }
                let isRight = (try? result.get()) == true
                connection.finish(isRight ? .authenticated(user: login.user, []) : .failed, reply)
                connection.settle()
            }
        case .scram(var server):
            let step = server.take(token)
            authentication = .scram(server)
            finish(step, reply)
        case .notAsked, .handshakeAwaited, .checking, .done: preconditionFailure("a token that nobody waits for")
        }
    }

    private func finish(_ step: ScramServer.Step, _ reply: TokenReply) {
        var response = SaslAuthenticateResponse()
        switch step {
        case .challenge(let bytes): response.authBytes = bytes
        case .authenticated(let user, let bytes):
            response.authBytes = bytes
            principal = "User:\(user)"
            authentication = .done
            receiver.hasBareTokens = false
            receiver.requestBytesMax = loop.limits.requestBytesMax
        case .failed:
            loop.counters.authenticationFailures.count()
            loop.say("kafka client not authenticated", ["peer": "\(host)", "mechanism": "\(reply.mechanism)"])
            if reply.isBare { return close() }
            // As Kafka says it, whatever was wrong (KIP-152).
            response.errorCode = .saslAuthenticationFailed
            response.errorMessage =
                "Authentication failed during authentication due to invalid credentials with SASL mechanism "
                + reply.mechanism
            isEnding = true
        }
        do throws(WireError) {
            let frame =
                reply.isBare
                ? Self.prefixed(response.authBytes)
                : try Self.frame(response, version: reply.version, correlationID: reply.correlationID)
            ring.fill(reply.number, .frame(frame))
        } catch {
            refuse("\(error)")
        }
    }

    private static func prefixed(_ token: [UInt8]) -> [UInt8] {
        (0..<4).reversed().map { UInt8(truncatingIfNeeded: token.count >> ($0 * 8)) } + token
    }
}
