internal import KafkaProtocol

/// What an event loop hands to the reactor, in the order in which it came from the connection.
struct KafkaCommand: Sendable {
    /// Never used twice while the broker runs.
    let connection: UInt64
    /// The request's number on its connection: its answer (``KafkaAnswer``) has the same.
    let number: UInt32
    let version: Int16
    let body: Body
    /// What the request takes of the memory for those that are not served yet.
    var share: RequestShare?

    enum Body: Sendable {
        /// The first of a connection: what the loop knows about the peer.
        case opened(Peer)
        /// The last of a connection. Answers to it are dropped from now on.
        case closed
        /// - Parameter batches: As they lie in `memory`, in the request's order.
        case produce(ProduceRequest, clientID: String, batches: [ReceivedBatch], memory: ReceivedFrame)
        case fetch(FetchRequest, clientID: String)
        case request(any KafkaRequest & Sendable, clientID: String)
    }

    struct Peer: Sendable {
        /// Which event loop its answers go to.
        let loop: Int
        /// As Kafka names it in group descriptions: `/127.0.0.1`.
        let host: String
        /// `User:name`, or `User:ANONYMOUS` where nobody has to say who he is.
        let principal: String
    }
}

/// The batch of one partition of a Produce request: checked on the event loop, where it landed.
enum ReceivedBatch: Sendable {
    /// - Parameters:
    ///   - range: Of ``ReceivedFrame/bytes``.
    ///   - keyless: The places of its records without a key; nil: nobody looked.
    case batch(Range<Int>, keyless: [Int32]? = nil)
    /// Nothing that could be appended, and what a person should know.
    case invalid(KafkaError, String)
}
