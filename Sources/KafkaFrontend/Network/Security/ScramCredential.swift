/// What a broker keeps of a password: enough to check it, not enough to say it (RFC 5802, section 3).
///
/// Written `SCRAM-SHA-256:salt:iterations:stored key:server key`, bytes in base 64.
package struct ScramCredential: Equatable, Sendable, CustomStringConvertible {
    package let mechanism: ScramMechanism
    let salt: [UInt8]
    let iterations: Int
    let storedKey: [UInt8]
    let serverKey: [UInt8]

    /// RFC 7677's least number, and Kafka's default.
    package static let iterationsDefault = 4096
    /// A login takes as long as the iterations do: some ten milliseconds at Kafka's default.
    package static let iterationsMax = 1_000_000
    private static let saltBytes = 24

    /// Of a password, with a salt that nobody can guess. Takes the iterations' time.
    package init(_ mechanism: ScramMechanism, password: String, iterations: Int = iterationsDefault) {
        self.init(mechanism, password: password, salt: randomBytes(Self.saltBytes), iterations: iterations)
    }

    init(_ mechanism: ScramMechanism, password: String, salt: [UInt8], iterations: Int) {
        let salted = mechanism.saltedPassword(password, salt: salt, iterations: iterations)
        self.mechanism = mechanism
        self.salt = salt
        self.iterations = iterations
        storedKey = mechanism.hash(mechanism.hmac(salted, Array("Client Key".utf8)))
        serverKey = mechanism.hmac(salted, Array("Server Key".utf8))
    }

    /// What stands for a user who is not there: a client cannot tell it from one with another password.
    init(_ mechanism: ScramMechanism, unknownUser name: String, secret: [UInt8]) {
        self.mechanism = mechanism
        salt = Array(mechanism.hmac(secret, Array(name.utf8)).prefix(Self.saltBytes))
        iterations = Self.iterationsDefault
        storedKey = randomBytes(mechanism.hashBytes)
        serverKey = randomBytes(mechanism.hashBytes)
    }

    /// Reads what ``description`` writes; nil for anything else.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 5, let mechanism = ScramMechanism(rawValue: parts[0].uppercased()),
            let salt = Base64.decode(parts[1]), !salt.isEmpty, let iterations = Int(parts[2]),
            (Self.iterationsDefault...Self.iterationsMax).contains(iterations),
            let storedKey = Base64.decode(parts[3]), storedKey.count == mechanism.hashBytes,
            let serverKey = Base64.decode(parts[4]), serverKey.count == mechanism.hashBytes
        else { return nil }
        self.mechanism = mechanism
        self.salt = salt
        self.iterations = iterations
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    package var description: String {
        let keys = "\(Base64.encode(storedKey)):\(Base64.encode(serverKey))"
        return "\(mechanism.rawValue):\(Base64.encode(salt)):\(iterations):\(keys)"
    }

    /// Whether this is the password. Takes the iterations' time: never on an event loop.
    func isPassword(_ password: String) -> Bool {
        let salted = mechanism.saltedPassword(password, salt: salt, iterations: iterations)
        let key = mechanism.hash(mechanism.hmac(salted, Array("Client Key".utf8)))
        return isEqualInConstantTime(key, storedKey)
    }
}

/// Bytes that nobody can guess.
func randomBytes(_ count: Int) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
}
