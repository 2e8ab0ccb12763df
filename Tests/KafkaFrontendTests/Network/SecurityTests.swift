import Foundation
import Glibc
import KafkaProtocol
import NIOSSL
import Testing

@testable import KafkaFrontend

/// TLS and SASL on the wire.
@Suite(.timeLimit(.minutes(1))) struct SecurityTests {
    @Test func requestsAndFilesOverTLS() throws {
        let certificate = try TestCertificate()
        let file = try FilledFile(count: 1 << 20)
        let batch = Requests.batch(valueBytes: 300_000)
        let server = try StubReactor(security: ListenerSecurity(tls: certificate.files)) { command in
            if case .produce(_, _, let batches, let frame) = command.body, case .batch(let range, _) = batches[0],
                unsafe !sameBytes(frame.bytes[range], batch)
            {
                return [KafkaAnswer(connection: command.connection, number: 0, body: .close("other bytes"))]
            }
            guard case .fetch = command.body else { return Requests.emptyAnswer(command) }
            let body = file.answer([0..<1 << 20, 7..<70_000])
            return [KafkaAnswer(connection: command.connection, number: command.number, body: body)]
        }
        defer { server.stop() }
        let client = try TLSClient(port: server.network.boundPort)
        for number in Int32(0)..<3 {
            try client.send(Requests.apiVersions(0, 1) + Requests.produce(batch) + Requests.fetch(number))
            _ = try client.receiveFrame()
            _ = try client.receiveFrame()
            let answer = try client.receiveFrame()
            #expect(sameBytes(answer, file.frame([0..<1 << 20, 7..<70_000], correlationID: number)))
        }
        #expect(server.counter("sendfile_bytes") == 0)
        #expect(server.counter("copied_to_send_bytes") == 3 * (1 << 20 + 69_993))
    }

    @Test func oldTLSPlainTextAndSilenceEndTheConnection() throws {
        let certificate = try TestCertificate()
        let configuration = StubReactor.configuration { $0.authenticationTimeoutMilliseconds = 300 }
        let server = try StubReactor(configuration, security: ListenerSecurity(tls: certificate.files)) {
            Requests.emptyAnswer($0)
        }
        defer { server.stop() }
        #expect(try TLSClient(port: server.network.boundPort, maximumVersion: .tlsv11).isClosedByPeer())
        let plain = try server.connect()
        try plain.send(Requests.apiVersions(0, 1))
        #expect(plain.isClosedByPeer(afterBytes: 64))
        #expect(try server.connect().isClosedByPeer())
        #expect(try TLSClient(port: server.network.boundPort).isClosedByPeer())
        #expect(server.counter("timeouts") == 2)
    }

    @Test func badFilesAreNamed() throws {
        let certificate = try TestCertificate()
        let good = certificate.files
        let cases = [
            (TLSFiles(certificateChain: "/nowhere/chain.pem", privateKey: good.privateKey), "/nowhere/chain.pem"),
            (TLSFiles(certificateChain: good.certificateChain, privateKey: "/nowhere/key.pem"), "/nowhere/key.pem"),
            (
                TLSFiles(certificateChain: good.certificateChain, privateKey: good.certificateChain),
                good.certificateChain
            ),
        ]
        for (files, name) in cases {
            let error = #expect(throws: NetworkError.self) { try files.load() }
            #expect(error?.description.contains(name) == true)
        }
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("rdmad-\(UUID())").path
        defer { _ = unsafe unlink(path) }
        try "".write(toFile: path, atomically: false, encoding: .utf8)
        _ = unsafe chmod(path, 0o644)
        let error = #expect(throws: NetworkError.self) { try UserStore(path: path) }
        #expect(error?.description.contains("chmod o= \(path)") == true)
        _ = unsafe chmod(path, 0o640)
        #expect(throws: Never.self) { try UserStore(path: path) }
    }

    private static let users = {
        var users = UserStore()
        for mechanism in ScramMechanism.allCases {
            users.set("anna", ScramCredential(mechanism, password: "secret"))
        }
        return users
    }()

    private func server(_ change: (inout NetworkConfiguration) -> Void = { _ in }) throws -> StubReactor {
        try StubReactor(
            StubReactor.configuration(change), security: ListenerSecurity(users: Self.users), isKeeping: true
        ) { Requests.emptyAnswer($0) }
    }

    private func handshake(_ client: RawClient, _ mechanism: String, version: Int16) throws -> Int {
        try client.send(Requests.frame(17, version: version, Requests.string(mechanism)))
        let answer = try client.receiveFrame()
        #expect(answer.count == 4 + 2 + 4 + 7 + 2 * 15)
        return Int(answer[4]) << 8 | Int(answer[5])
    }

    /// A token as SaslAuthenticate 1, or bare; what comes back, or nil when it is an error.
    private func exchange(_ client: RawClient, _ token: [UInt8], isBare: Bool) throws -> [UInt8]? {
        if isBare {
            try client.send(Requests.prefixed(token))
            return try? client.receiveFrame()
        }
        try client.send(Requests.frame(36, version: 1, Requests.bytes(Int32(token.count)) + token))
        let answer = try client.receiveFrame()
        // Correlation id, error, null message, token, session lifetime 0.
        guard answer[4] == 0, answer[5] == 0 else {
            #expect(answer[5] == 58)
            return nil
        }
        #expect(answer.suffix(8) == Array(repeating: 0, count: 8))
        return Array(answer.dropFirst(12).dropLast(8))
    }

    private func login(
        _ client: RawClient, _ mechanism: String, _ user: String, _ password: String, isBare: Bool
    ) throws -> Bool {
        #expect(try handshake(client, mechanism, version: isBare ? 0 : 1) == 0)
        guard let scram = ScramMechanism(rawValue: mechanism) else {
            return try exchange(client, Array("\0\(user)\0\(password)".utf8), isBare: isBare) == []
        }
        var exchangeOfClient = ScramClient(scram, user: user, password: password)
        guard let challenge = try exchange(client, exchangeOfClient.first, isBare: isBare) else { return false }
        return try exchange(client, exchangeOfClient.final(challenge), isBare: isBare)?.starts(with: "v=".utf8) == true
    }

    @Test(arguments: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], [true, false])
    func loginsWithEachMechanism(mechanism: String, isBare: Bool) throws {
        let server = try server()
        defer { server.stop() }
        let client = try server.connect()
        try client.send(Requests.apiVersions(1, 5))
        _ = try client.receiveFrame()
        #expect(try login(client, mechanism, "anna", "secret", isBare: isBare))
        try client.send(Requests.heartbeat(7))
        #expect(try client.receiveCorrelationID() == 7)
        guard case .opened(let peer) = server.commands.first?.body else {
            Issue.record("\(server.commands)")
            return
        }
        #expect(peer.principal == "User:anna")
        // A second login is none: nobody's session ends (KIP-368).
        try client.send(Requests.frame(17, version: 1, Requests.string(mechanism)))
        #expect(try client.receiveFrame() == [0, 0, 0, 1, 0, 34, 0, 0, 0, 0])

        for (user, password) in [("anna", "Secret"), ("bert", "secret")] {
            let bad = try server.connect()
            #expect(try !login(bad, mechanism, user, password, isBare: isBare))
            #expect(bad.isClosedByPeer())
        }
        #expect(server.counter("authentication_failures") == 2)
    }

    @Test func beforeTheLoginLittleIsServed() throws {
        let server = try server { $0.authenticationTimeoutMilliseconds = 2000 }
        defer { server.stop() }
        let requests = [
            Requests.heartbeat(1), Requests.fetch(1), Requests.produce(Requests.batch(valueBytes: 10)),
            Requests.frame(36, version: 1, Requests.bytes(Int32(0))), Requests.bytes(Int32(65_537)),
        ]
        for request in requests {
            let client = try server.connect()
            try client.send(request)
            #expect(client.isClosedByPeer())
        }
        let unknown = try server.connect()
        #expect(try handshake(unknown, "GSSAPI", version: 1) == 33)
        #expect(unknown.isClosedByPeer())
        let twice = try server.connect()
        #expect(try handshake(twice, "PLAIN", version: 1) == 0)
        try twice.send(Requests.frame(17, version: 1, Requests.string("PLAIN")))
        #expect(twice.isClosedByPeer())
        let silent = try server.connect()
        try silent.send(Requests.apiVersions(0, 1))
        _ = try silent.receiveFrame()
        #expect(silent.isClosedByPeer())
        #expect(server.counter("timeouts") == 1)
        #expect(server.commands.isEmpty)
    }
}
