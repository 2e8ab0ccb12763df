@testable import KafkaFrontend

/// The client's side of a SCRAM login.
struct ScramClient {
    let first: [UInt8]
    private let mechanism: ScramMechanism
    private let password: String

    init(_ mechanism: ScramMechanism, user: String, password: String) {
        self.mechanism = mechanism
        self.password = password
        first = Array("n,,n=\(user),r=fyko+d2lbbFgONRv9qkxdawL".utf8)
    }

    /// - Parameter saysNonceTwice: As librdkafka before 2.6.1 does.
    mutating func final(_ challenge: [UInt8], saysNonceTwice: Bool = false) -> [UInt8] {
        let text = String(decoding: challenge, as: UTF8.self)
        let fields = text.split(separator: ",").map { String($0.dropFirst(2)) }
        guard fields.count == 3, let salt = Base64.decode(fields[1]), let iterations = Int(fields[2]) else { return [] }
        let salted = mechanism.saltedPassword(password, salt: salt, iterations: iterations)
        let key = mechanism.hmac(salted, Array("Client Key".utf8))
        let own = saysNonceTwice ? "fyko+d2lbbFgONRv9qkxdawL" : ""
        let unsigned = "c=biws,r=\(own)\(fields[0])"
        let signed = "\(String(decoding: first.dropFirst(3), as: UTF8.self)),\(text),\(unsigned)"
        let signature = mechanism.hmac(mechanism.hash(key), Array(signed.utf8))
        return Array("\(unsigned),p=\(Base64.encode(zip(key, signature).map { $0 ^ $1 }))".utf8)
    }
}
