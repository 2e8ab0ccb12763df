internal import KafkaProtocol
internal import TopicLog

/// What the reactor hands back to a connection's event loop: exactly one for each command but `opened` and `closed`, in
/// any order. The loop sends them in the order of the requests.
struct KafkaAnswer: Sendable {
    let connection: UInt64
    let number: UInt32
    let body: Body
    /// So long the loop reads no further request of the connection, once this is sent (quotas).
    var throttleMilliseconds: UInt32 = 0

    enum Body: Sendable {
        /// Nothing is sent: Produce with acks 0.
        case nothing
        case produce(ProduceResponse)
        /// - Parameter ranges: What fills the response's records that are neither null nor empty, in their order.
        case fetch(FetchResponse, ranges: [FileRange])
        case response(any KafkaResponse & Sendable)
        /// The connection ends, for a reason that goes to the log.
        case close(String)
    }
}
