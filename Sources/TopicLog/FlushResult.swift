/// What became of a `FlushRequest`: to be handed to that partition's `didFlush`.
package struct FlushResult: Sendable {
    /// As in the request.
    package let token: UInt64
    /// As in the request.
    package let ticket: FlushTicket
    /// nil when everything below `ticket.end` is durable.
    package let error: LogError?
}
