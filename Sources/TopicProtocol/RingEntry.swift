/// The header in front of each run of batches that the broker writes into a consumer's ring.
///
/// ```
/// | kind u32 | topic id u32 | partition u32 | length u32 | first offset i64 | next offset i64 | high watermark i64 |
/// | … 0 up to byte 64 | batches, `length` bytes | up to the next multiple of 64: not written |
/// ```
/// Entries begin at multiples of 64 and never cross the ring's end: a `skip` entry says that the next one begins at
/// the ring's start. The immediate value behind one or more entries is the absolute position (bytes ever written)
/// after them, divided by 64, modulo 2³².
package struct RingEntry: Sendable {
    package static let headerBytes = 64
    package static let alignment = 64
    static let batchesKind: UInt32 = 0x6261_7463
    static let skipKind: UInt32 = 0x736b_6970

    package var partition: PartitionAddress
    /// Bytes of whole batches behind the header.
    package var byteCount: Int
    /// Base offset of the first batch.
    package var firstOffset: Int64
    /// Offset after the last batch's last record.
    package var nextOffset: Int64
    /// The partition's high watermark when this was written: equal to `nextOffset` when the reader is caught up.
    package var highWatermark: Int64

    package init(
        partition: PartitionAddress, byteCount: Int, firstOffset: Int64, nextOffset: Int64, highWatermark: Int64
    ) {
        self.partition = partition
        self.byteCount = byteCount
        self.firstOffset = firstOffset
        self.nextOffset = nextOffset
        self.highWatermark = highWatermark
    }

    /// Bytes of the ring that an entry with `byteCount` bytes of batches takes.
    package static func footprint(_ byteCount: Int) -> Int {
        (headerBytes + byteCount + alignment - 1) & ~(alignment - 1)
    }

    /// Writes 64 bytes.
    package func encode(into bytes: UnsafeMutableRawBufferPointer) {
        var writer = unsafe FrameWriter(bytes)
        writer.integer(Self.batchesKind)
        writer.integer(partition.topicID)
        writer.integer(partition.partition)
        writer.integer(UInt32(byteCount))
        writer.integer(firstOffset)
        writer.integer(nextOffset)
        writer.integer(highWatermark)
        while writer.count < Self.headerBytes { writer.integer(UInt64(0)) }
    }

    /// Writes a 64-byte `skip`.
    package static func encodeSkip(into bytes: UnsafeMutableRawBufferPointer) {
        var writer = unsafe FrameWriter(bytes)
        writer.integer(skipKind)
        writer.integer(UInt32(0))
        while writer.count < headerBytes { writer.integer(UInt64(0)) }
    }

    /// Parses the 64 bytes at an entry's start; nil for a `skip`.
    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(FrameError) -> RingEntry? {
        var reader = unsafe FrameReader(bytes)
        let kind = try reader.integer(UInt32.self)
        if kind == skipKind { return nil }
        guard kind == batchesKind else { throw FrameError("unknown ring entry kind \(kind)") }
        let partition = PartitionAddress(topicID: try reader.integer(), partition: try reader.integer())
        let count = Int(try reader.integer(UInt32.self))
        return RingEntry(
            partition: partition, byteCount: count, firstOffset: try reader.integer(),
            nextOffset: try reader.integer(), highWatermark: try reader.integer())
    }
}
