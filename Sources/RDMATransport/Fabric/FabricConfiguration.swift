/// Sizes and limits of one side of a fabric.
package struct FabricConfiguration: Sendable {
    /// Size of one message buffer, in bytes; a few of them are the fabric's own (``messageHeaderBytes``).
    package var messageBufferBytes = 8192
    /// Message buffers per connection and direction: the peer's credits. A power of two.
    package var messagesInFlight = 64
    /// Transfers and messages posted and not completed, per connection.
    package var postedMax = 128
    /// Connections at once.
    package var connectionsMax = 1024
    /// Of them, by one listener (shared memory only).
    package var connectionsPerListenerMax = Int.max
    /// Memory that one peer may share with us, in bytes (shared memory only).
    package var peerMemoryBytesMax: UInt64 = 1 << 30
    /// Regions that one peer may share with us (shared memory only).
    package var peerRegionsMax = 16
    /// Completion queue entries, 0: as many as the device allows, at most 32,767 (verbs only). Connections that the
    /// queue cannot hold in the worst case are refused.
    package var completionQueueDepth = 0
    /// A peer that has not answered for so long is gone: its connection ends with ``DisconnectReason/peerDead``,
    /// whether or not anything was under way. In milliseconds, 100...600,000 (verbs only: over shared memory a peer's
    /// socket closes with it).
    package var peerTimeoutMilliseconds = 10_000

    /// Bytes of each message buffer that are the fabric's own.
    package static let messageHeaderBytes = 8

    /// What applications use.
    package static var client: FabricConfiguration {
        var configuration = FabricConfiguration()
        configuration.connectionsMax = 16
        return configuration
    }
    /// What a broker uses.
    package static let broker = FabricConfiguration()

    package init() {}

    package var limits: FabricLimits {
        FabricLimits(
            messageBytesMax: messageBufferBytes - Self.messageHeaderBytes, transferBytesMax: 8 << 20,
            privateDataBytesMax: 40, messagesInFlightMax: messagesInFlight, postedMax: postedMax)
    }
}
