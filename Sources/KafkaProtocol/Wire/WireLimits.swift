/// What a frame may make the codec do.
package enum WireLimits {
    /// Longest request by default, in bytes (Kafka's `socket.request.max.bytes`).
    package static let requestBytesDefault = 104_857_600
    /// Longest string, in bytes (Kafka's).
    package static let stringBytesMax = 32_767
    /// Most elements of all of a message's arrays together. An element is at most some hundred bytes in memory, and
    /// can be one on the wire.
    package static let elementsMax = 1 << 18
}
