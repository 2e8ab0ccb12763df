/// A partition to be made durable.
package struct FlushRequest: Sendable {
    /// The caller's name for the partition; comes back with the result.
    package let token: UInt64
    /// From that partition's `takeFlushTicket`.
    package let ticket: FlushTicket

    /// Keeps the ticket's files open.
    package init(token: UInt64, ticket: FlushTicket) {
        self.token = token
        self.ticket = ticket
    }
}
