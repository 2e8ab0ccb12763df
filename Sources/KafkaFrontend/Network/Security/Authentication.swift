/// How far a client is with saying who it is.
enum Authentication {
    /// The listener asks nobody.
    case notAsked
    case handshakeAwaited(UserStore)
    case plain(UserStore)
    case scram(ScramServer)
    /// A password is being looked at.
    case checking
    case done

    /// What SaslHandshake offers.
    static let mechanisms = ["PLAIN"] + ScramMechanism.allCases.map(\.rawValue)

    var isOver: Bool {
        switch self {
        case .notAsked, .done: true
        default: false
        }
    }

    /// The client's message of PLAIN (RFC 4616): nobody else's name, a name and a password.
    static func plainLogin(_ token: [UInt8]) -> (user: String, password: String)? {
        let parts = token.split(separator: 0, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[1].isEmpty, !parts[2].isEmpty, parts[0].isEmpty || parts[0] == parts[1],
            let user = String(validating: parts[1], as: UTF8.self),
            let password = String(validating: parts[2], as: UTF8.self)
        else { return nil }
        return (user, password)
    }
}
