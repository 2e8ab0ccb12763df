public import TopicProtocol

/// Why a broker refused: Kafka's numbers and names.
public typealias ErrorCode = TopicProtocol.ErrorCode

/// What went wrong for a client: what happened, to what, and what to do.
public struct ClientError: Error, Sendable, CustomStringConvertible {
    /// The kind of error. Extensible: compare with the constants.
    public struct Code: Hashable, Sendable {
        /// The code as text.
        public let rawValue: String
        /// A code of any text.
        public init(rawValue: String) { self.rawValue = rawValue }
        /// An address that cannot be parsed.
        public static let address = Code(rawValue: "address")
        /// No connection to the broker, or it was lost.
        public static let connection = Code(rawValue: "connection")
        /// The broker refused: see ``ClientError/broker``. Of produced records: they are not in the log.
        public static let broker = Code(rawValue: "broker")
        /// Nothing came in time.
        public static let timeout = Code(rawValue: "timeout")
        /// Records were given up before the broker heard of them, or of a batch behind one that failed: they are
        /// certainly not in the log.
        public static let notDelivered = Code(rawValue: "not-delivered")
        /// Records were announced to the broker and its answer never came: they may or may not be in the log.
        public static let outcomeUnknown = Code(rawValue: "outcome-unknown")
        /// A record or setting outside its limits.
        public static let limit = Code(rawValue: "limit")
        /// The client was closed.
        public static let closed = Code(rawValue: "closed")
        /// What the broker sent makes no sense.
        public static let protocolViolation = Code(rawValue: "protocol")
    }

    /// The kind of error.
    public let code: Code
    /// The broker's error, for ``Code/broker``.
    public let broker: ErrorCode
    /// For a person: what happened, to what, what to do.
    public let description: String

    /// An error of this module, with its text for a person.
    package init(_ code: Code, _ description: String, broker: ErrorCode = .none) {
        self.code = code
        self.broker = broker
        self.description = description
    }

    static func refused(_ what: String, _ error: ErrorCode, _ text: String) -> ClientError {
        ClientError(.broker, "\(what): \(text.isEmpty ? "\(error)" : "\(text) (\(error))")", broker: error)
    }

    static let closed = ClientError(.closed, "the client is closed")
}
