internal import RecordFormat

/// The limits of a partition's log.
package struct LogOptions: Sendable {
    /// A segment is closed and the next begun before it would grow past this; a single larger batch gets a segment of
    /// its own. 1...Int32.max, because index entries hold 32-bit positions.
    package var segmentBytes = 1 << 30
    /// Bytes of log between two index entries. Positive.
    package var indexIntervalBytes = 4096
    /// The largest batch the broker accepts (Kafka's default for `max.message.bytes`). What is stored may be larger.
    package var batchBytesMax = 1_048_588
    /// Idempotent producers remembered per partition; the ones silent for longest are dropped. Positive.
    package var producersMax = 100_000

    /// Kafka's defaults.
    package init() {}

    func check() {
        precondition((1...Int(Int32.max)).contains(segmentBytes), "segmentBytes is outside 1...\(Int32.max)")
        precondition(indexIntervalBytes > 0 && producersMax > 0, "limits are positive")
        precondition(batchBytesMax > 0, "batchBytesMax is positive")
    }
}
