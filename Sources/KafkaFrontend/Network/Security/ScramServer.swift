/// The broker's side of one SCRAM login (RFC 5802): two messages of the client's, two of its own.
struct ScramServer {
    enum Step: Equatable {
        case challenge([UInt8])
        case authenticated(user: String, [UInt8])
        case failed
    }

    private let mechanism: ScramMechanism
    private let users: UserStore
    private let nonce: String
    private var first: First?

    /// What was agreed on by the first messages.
    private struct First {
        let user: String
        let credential: ScramCredential
        let isKnown: Bool
        let channelBinding: String
        /// The client's and the broker's; and as librdkafka before 2.6.1 has it, which Kafka 3.8 takes and 4.0 does
        /// not: the client's twice.
        let nonces: [String]
        /// Both first messages, as they are signed.
        let text: String
    }

    /// - Parameter nonce: Printable, without a comma, and never the same.
    init(_ mechanism: ScramMechanism, users: UserStore, nonce: String = Base64.encode(randomBytes(24))) {
        self.mechanism = mechanism
        self.users = users
        self.nonce = nonce
    }

    mutating func take(_ message: [UInt8]) -> Step {
        guard let text = String(validating: message, as: UTF8.self) else { return .failed }
        return first == nil ? takeFirst(text) : takeFinal(text)
    }

    /// `n,,n=user,r=nonce`: no channel binding, nobody else's name.
    private mutating func takeFirst(_ text: String) -> Step {
        let parts = text.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "n" || parts[0] == "y" else { return .failed }
        let fields = parts[2].split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 2, let user = Self.name(Self.value("n", fields[0])),
            let clientNonce = Self.value("r", fields[1]), !clientNonce.isEmpty,
            parts[1].isEmpty || Self.name(Self.value("a", parts[1])) == user
        else { return .failed }
        let known = users.credential(of: user, mechanism)
        let credential = known ?? users.standIn(for: user, mechanism)
        let answer = "r=\(clientNonce)\(nonce),s=\(Base64.encode(credential.salt)),i=\(credential.iterations)"
        first = First(
            user: user, credential: credential, isKnown: known != nil,
            channelBinding: Base64.encode(Array("\(parts[0]),\(parts[1]),".utf8)),
            nonces: [clientNonce + nonce, clientNonce + clientNonce + nonce], text: "\(parts[2]),\(answer)")
        return .challenge(Array(answer.utf8))
    }

    /// `c=channel binding,r=nonce,p=proof`.
    private mutating func takeFinal(_ text: String) -> Step {
        // The proof is the last field, and is not signed.
        guard let first = first.take(), let comma = text.lastIndex(of: ",") else { return .failed }
        let unsigned = text[..<comma]
        let fields = unsigned.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 2, Self.value("c", fields[0]) == first.channelBinding,
            Self.value("r", fields[1]).map(first.nonces.contains) == true,
            let proof = Self.value("p", text[text.index(after: comma)...]).flatMap({ Base64.decode($0) }),
            proof.count == mechanism.hashBytes
        else { return .failed }
        let signed = Array("\(first.text),\(unsigned)".utf8)
        let signature = mechanism.hmac(first.credential.storedKey, signed)
        let clientKey = zip(proof, signature).map { $0 ^ $1 }
        guard isEqualInConstantTime(mechanism.hash(clientKey), first.credential.storedKey), first.isKnown else {
            return .failed
        }
        let verifier = Base64.encode(mechanism.hmac(first.credential.serverKey, signed))
        return .authenticated(user: first.user, Array("v=\(verifier)".utf8))
    }

    /// What stands behind `key=`, else nil.
    private static func value(_ key: Character, _ field: Substring) -> String? {
        guard field.first == key, field.dropFirst().first == "=" else { return nil }
        return String(field.dropFirst(2))
    }

    /// A name as SCRAM writes it: `=2C` is a comma, `=3D` an equals sign, and nothing else has one.
    private static func name(_ text: String?) -> String? {
        guard let text, !text.isEmpty else { return nil }
        var name = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            guard character == "=" else {
                name.append(character)
                continue
            }
            switch rest.prefix(2) {
            case "2C": name.append(",")
            case "3D": name.append("=")
            default: return nil
            }
            rest = rest.dropFirst(2)
        }
        return name
    }
}
