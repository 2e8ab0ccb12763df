internal import KafkaProtocol
internal import TopicLog

/// What the event loops of the Kafka door may take. In brackets what Kafka calls it.
package struct NetworkConfiguration: Sendable {
    /// Event loops, for all listeners together; 0: one per core [num.network.threads].
    package var threads = 0
    /// Connections, of all listeners together [max.connections].
    package var connectionsMax = 20_000
    /// A connection that asks nothing for so long is closed [connections.max.idle.ms].
    package var connectionsMaxIdleMilliseconds: Int64 = 600_000
    /// Connections that the kernel accepts ahead of us [socket.listen.backlog.size].
    package var backlog: Int32 = 1024
    /// The longest request [socket.request.max.bytes].
    package var requestBytesMax = WireLimits.requestBytesDefault
    /// Memory for requests that are being received or handled, for all listeners together [queued.max.request.bytes];
    /// as much again for what they come to while they wait for the reactor.
    package var queuedBytesMax = 128 << 20
    /// Memory for answers that clients do not take, for all listeners together, without the first 4 KiB of each and
    /// what SwiftNIO and the kernel have of it (64 KiB there). Kafka has no such bound, but one answer per connection.
    package var queuedAnswerBytesMax = 128 << 20
    /// What connections may have sent that is not handled yet, for all listeners together, without what is in that
    /// memory: mostly of clients that have ended their connections.
    var keptBytesMax = 64 << 20
    /// The largest batch that any topic takes, header included; what a topic takes the door knows.
    package var batchBytesMax = LogOptions.batchBytesCeiling
    /// A request that holds memory and is not whole for so long is given up, when nothing comes or others wait.
    package var requestTimeoutMilliseconds: Int64 = 30_000
    /// The longest request before the client has said who it is [sasl.server.max.receive.size]. Kafka's 512 KiB are for
    /// tokens that are not served here.
    package var unauthenticatedBytesMax = 65_536
    /// How long a client may take for TLS and for saying who it is.
    package var authenticationTimeoutMilliseconds: Int64 = 10_000
    /// Whether records go from file to socket inside the kernel (`sendfile`).
    package var isZeroCopy = true
    /// Whether each record of a produced batch is looked at, not only its header and checksum.
    package var inspectsRecords = false

    /// Requests of a connection that may wait for their answers; then nothing more is read from it.
    static let inFlightMax = 16
    /// The longest request that is neither Produce nor Fetch, in bytes.
    static let otherRequestBytesMax = 16 << 20
    /// The longest Fetch: 10,000 partitions of topics with names of 150 bytes each.
    static let fetchRequestBytesMax = 2 << 20
    /// How much is read of a request before its length is known. What comes in one piece and is no longer than this
    /// needs no memory of its own.
    static let firstReadBytes = 512

    package init() {}
}
