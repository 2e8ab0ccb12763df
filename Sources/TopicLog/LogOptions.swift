internal import RecordFormat

/// The limits of a partition's log.
package struct LogOptions: Sendable {
    /// A segment is closed and the next begun before it would grow past this; a single larger batch gets a segment of
    /// its own. 1...Int32.max, because index entries hold 32-bit positions.
    package var segmentBytes = 1 << 30
    /// The least that a topic can ask for (`segment.bytes`): each segment costs files and a sync of their directory on
    /// the reactor. Kafka wants 1 MiB since 4.0, and wanted 14 bytes before; librdkafka's tests of that time ask for
    /// 10,000. A broker's own default may be smaller.
    package static let topicSegmentBytesMin = 8192
    /// Bytes of log between two index entries. Positive.
    package var indexIntervalBytes = 4096
    /// The largest batch that is accepted (`max.message.bytes`), 1...``batchBytesCeiling``. What is stored may be
    /// larger.
    package var batchBytesMax = 1_048_588
    /// No topic takes larger batches than this: doors have memory for them.
    package static let batchBytesCeiling = 8 << 20
    /// Idempotent producers remembered per partition; the ones silent for longest are dropped. Positive.
    package var producersMax = 100_000
    /// An idempotent producer is forgotten that appends nothing for so long, unless it has an open transaction
    /// (`producer.id.expiration.ms`). Positive.
    package var producerExpirationMilliseconds: Int64 = 24 * 3_600_000

    /// When an appended batch counts as written (`flush.policy`).
    package var flushPolicy = FlushPolicy.group
    /// What happens to old segments (`cleanup.policy`).
    package var cleanupPolicy = CleanupPolicy.delete
    /// A rolled segment goes when its latest record is older (`retention.ms`); -1 for never.
    package var retentionMilliseconds: Int64 = 7 * 24 * 3_600_000
    /// The oldest segments go while the others are at least so large (`retention.bytes`); -1 for never.
    package var retentionBytes: Int64 = -1
    /// The active segment is closed when its first record is older (`segment.ms`). Positive.
    package var segmentMilliseconds: Int64 = 7 * 24 * 3_600_000
    /// How long compaction keeps a tombstone after it has removed what the tombstone deletes (`delete.retention.ms`).
    package var deleteRetentionMilliseconds: Int64 = 24 * 3_600_000
    /// The same for a sum of it and the time: more than this, 140,000 years, is for ever.
    var tombstoneMilliseconds: Int64 { min(deleteRetentionMilliseconds, 1 << 52) }
    /// Compaction begins when so much of the rolled segments was never compacted (`min.cleanable.dirty.ratio`). 0...1.
    package var minCleanableRatio = 0.5
    /// Memory for the keys of one pass, 24 bytes each (`log.cleaner.dedupe.buffer.size`). At least a key's.
    package var compactionBytesMax = 128 << 20

    /// Segments that keep a descriptor while nothing of them waits for a sync; 0 for half of the process's limit.
    package var openSegmentsMax = 0
    /// Threads that recover partitions after a crash; with 1 the caller does it. Positive.
    package var recoveryThreads = 1

    /// Kafka's defaults.
    package init() {}

    func check() {
        precondition((1...Int(Int32.max)).contains(segmentBytes), "segmentBytes is outside 1...\(Int32.max)")
        precondition(indexIntervalBytes > 0 && producersMax > 0, "limits are positive")
        precondition(
            (1...Self.batchBytesCeiling).contains(batchBytesMax),
            "batchBytesMax is outside 1...\(Self.batchBytesCeiling)")
        precondition(
            segmentMilliseconds > 0 && producerExpirationMilliseconds > 0,
            "segmentMilliseconds and producerExpirationMilliseconds are positive")
        precondition(deleteRetentionMilliseconds >= 0, "deleteRetentionMilliseconds is negative")
        precondition((0...1).contains(minCleanableRatio), "minCleanableRatio is outside 0...1")
        precondition(openSegmentsMax >= 0 && recoveryThreads > 0, "recoveryThreads is positive")
    }
}
