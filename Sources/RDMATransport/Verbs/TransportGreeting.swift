/// The verbs fabric's own part of the private data, in front of the user's: 56 bytes fit into a connect, and the
/// connection manager pads with zeros, so the user's length is said.
///
/// ```
/// "rdmt" u32 | version u8 | user bytes u8 | receives u16 | message buffer bytes u32 | user data …
/// ```
struct TransportGreeting {
    static let magic: UInt32 = 0x746d_6472
    static let version: UInt8 = 1
    static let byteCount = 12
    /// Every frame that must go out whole fits into so much: a peer with less cannot be talked to.
    static let messageBufferBytesMin = 1024
    /// Fewest receives: one is kept for a message that only gives credits back.
    static let messagesInFlightMin = 2
    /// Fewest receives of the side that has more. Where both have two, a message that gives credits back calls for
    /// another one, for it takes a receive itself.
    static let messagesInFlightMinOfLarger = 4

    var messagesInFlight: Int
    var messageBufferBytes: Int
    var privateData: [UInt8]

    var encoded: [UInt8] {
        let head =
            UInt64(Self.magic) | UInt64(Self.version) << 32 | UInt64(privateData.count) << 40
            | UInt64(messagesInFlight) << 48
        return (0..<8).map { UInt8(truncatingIfNeeded: head >> ($0 * 8)) }
            + (0..<4).map { UInt8(truncatingIfNeeded: messageBufferBytes >> ($0 * 8)) } + privateData
    }

    enum Parsed {
        case greeting(TransportGreeting)
        case versionMismatch
        case garbage
    }

    static func parse(_ bytes: [UInt8]) -> Parsed {
        guard bytes.count >= byteCount else { return .garbage }
        func word(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(bytes[at + $1]) << ($1 * 8) } }
        guard word(0, 4) == Int(magic) else { return .garbage }
        guard bytes[4] == version else { return .versionMismatch }
        let greeting = TransportGreeting(
            messagesInFlight: word(6, 2), messageBufferBytes: word(8, 4),
            privateData: Array(bytes[byteCount...].prefix(Int(bytes[5]))))
        guard greeting.messagesInFlight >= messagesInFlightMin, greeting.messagesInFlight <= 4096,
            greeting.messageBufferBytes >= messageBufferBytesMin, greeting.messageBufferBytes <= 1 << 20,
            Int(bytes[5]) <= bytes.count - byteCount
        else { return .garbage }
        return .greeting(greeting)
    }
}
