/// The 61 bytes that begin every RecordBatch v2.
///
/// ```
/// baseOffset i64 @0 | batchLength i32 @8 | partitionLeaderEpoch i32 @12 | magic i8 @16 | crc u32 @17
/// | attributes i16 @21 | lastOffsetDelta i32 @23 | baseTimestamp i64 @27 | maxTimestamp i64 @35
/// | producerId i64 @43 | producerEpoch i16 @51 | baseSequence i32 @53 | recordsCount i32 @57 | records…
/// ```
/// Big-endian. The CRC covers everything from `attributes` on, so a broker may set base offset and leader epoch.
/// Source: kafka.apache.org, "Message Format". A copy: it keeps nothing alive.
package struct RecordBatchHeader: Hashable, Sendable {
    /// The size of the header, records excluded.
    package static let byteCount = 61
    /// What `batchLength` does not count: itself and the base offset.
    package static let lengthOverhead = 12
    /// Where the CRC's range begins.
    static let checksumStart = 21

    /// The offset of the first record; a producer's is meaningless until a broker has assigned one.
    package var baseOffset: Offset
    /// Bytes that follow this field, as read: not checked.
    package var batchLength: Int32
    /// The epoch of the leader that accepted the batch; -1 before.
    package var partitionLeaderEpoch: LeaderEpoch
    /// 2 for this format.
    package var magic: Int8
    /// CRC-32C of everything from the attributes on, as read: not checked.
    package var crc: UInt32
    /// Bits 0-2 compression, 3 log append time, 4 transactional, 5 control batch, 6 delete horizon.
    package var attributes: Int16
    /// The last record's offset less the first's.
    package var lastOffsetDelta: Int32
    /// Milliseconds since 1970; records hold differences to it.
    package var baseTimestamp: Int64
    /// Milliseconds since 1970.
    package var maxTimestamp: Int64
    /// -1 when the producer is not idempotent.
    package var producerID: Int64
    /// Which instance of the producer this is; -1 when it is not idempotent.
    package var producerEpoch: Int16
    /// The sequence number of the first record; -1 when the producer is not idempotent.
    package var baseSequence: Int32
    /// How many records follow, as read: not checked.
    package var recordCount: Int32

    /// Reads a header without judging it.
    /// - Parameter bytes: At least `byteCount` bytes (programmer error otherwise), borrowed for the call.
    package init(parsing bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "a batch header is 61 bytes")
        baseOffset = unsafe Offset(bytes.bigEndian(Int64.self, at: 0))
        batchLength = unsafe bytes.bigEndian(Int32.self, at: 8)
        partitionLeaderEpoch = unsafe LeaderEpoch(bytes.bigEndian(Int32.self, at: 12))
        magic = unsafe bytes.bigEndian(Int8.self, at: 16)
        crc = unsafe bytes.bigEndian(UInt32.self, at: 17)
        attributes = unsafe bytes.bigEndian(Int16.self, at: 21)
        lastOffsetDelta = unsafe bytes.bigEndian(Int32.self, at: 23)
        baseTimestamp = unsafe bytes.bigEndian(Int64.self, at: 27)
        maxTimestamp = unsafe bytes.bigEndian(Int64.self, at: 35)
        producerID = unsafe bytes.bigEndian(Int64.self, at: 43)
        producerEpoch = unsafe bytes.bigEndian(Int16.self, at: 51)
        baseSequence = unsafe bytes.bigEndian(Int32.self, at: 53)
        recordCount = unsafe bytes.bigEndian(Int32.self, at: 57)
    }

    /// The whole batch, header included. Below `byteCount` when `batchLength` is nonsense.
    package var sizeInBytes: Int { Int(batchLength) + Self.lengthOverhead }

    /// The offset of the last record. Traps when the sum overflows: check the base offset of untrusted bytes first.
    package var lastOffset: Offset { baseOffset.advanced(by: Int64(lastOffsetDelta)) }

    /// The sequence number of the last record. After Int32.max comes 0, as in Kafka.
    package var lastSequence: Int32 { Self.sequence(baseSequence, advancedBy: lastOffsetDelta) }

    /// Whether the records are compressed: they cannot be read in place then.
    package var isCompressed: Bool { attributes & 0x07 != 0 }
    /// How the records are compressed; nil when the number is none of Kafka's.
    package var compressionType: CompressionType? { CompressionType(rawValue: attributes & 0x07) }
    /// Whether every record's timestamp is `maxTimestamp`, set by a broker.
    package var isLogAppendTime: Bool { attributes & 0x08 != 0 }
    /// Whether the batch belongs to a transaction.
    package var isTransactional: Bool { attributes & Self.transactionalBit != 0 }
    /// Whether the records are a broker's markers, not a producer's data.
    package var isControl: Bool { attributes & Self.controlBit != 0 }

    /// When compaction may drop the batch's tombstones, in milliseconds since 1970; nil before it has seen them.
    /// It stands where the base timestamp does.
    package var deleteHorizon: Int64? { attributes & Self.deleteHorizonBit != 0 ? baseTimestamp : nil }
    static let compressionBits: Int16 = 0x07, transactionalBit: Int16 = 0x10, controlBit: Int16 = 0x20
    static let deleteHorizonBit: Int16 = 0x40

    /// The sequence number `count` records later; after Int32.max comes 0.
    /// - Parameter count: 0 or more. `sequence` may be -1 (none): the result is then meaningless, but no trap.
    package static func sequence(_ sequence: Int32, advancedBy count: Int32) -> Int32 {
        Int32(truncatingIfNeeded: (Int64(sequence) + Int64(count)) & Int64(Int32.max))
    }

    /// Writes all fields, as they are, at the head of `bytes`.
    /// - Parameter bytes: At least `byteCount` bytes (programmer error otherwise).
    func write(to bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "a batch header is 61 bytes")
        unsafe bytes.storeBigEndian(baseOffset.rawValue, at: 0)
        unsafe bytes.storeBigEndian(batchLength, at: 8)
        unsafe bytes.storeBigEndian(partitionLeaderEpoch.rawValue, at: 12)
        unsafe bytes.storeBigEndian(magic, at: 16)
        unsafe bytes.storeBigEndian(crc, at: 17)
        unsafe bytes.storeBigEndian(attributes, at: 21)
        unsafe bytes.storeBigEndian(lastOffsetDelta, at: 23)
        unsafe bytes.storeBigEndian(baseTimestamp, at: 27)
        unsafe bytes.storeBigEndian(maxTimestamp, at: 35)
        unsafe bytes.storeBigEndian(producerID, at: 43)
        unsafe bytes.storeBigEndian(producerEpoch, at: 51)
        unsafe bytes.storeBigEndian(baseSequence, at: 53)
        unsafe bytes.storeBigEndian(recordCount, at: 57)
    }

    /// A header to be filled in and written.
    init() {
        baseOffset = .zero
        batchLength = 0
        partitionLeaderEpoch = .unassigned
        magic = 2
        crc = 0
        attributes = 0
        lastOffsetDelta = 0
        baseTimestamp = 0
        maxTimestamp = 0
        producerID = -1
        producerEpoch = -1
        baseSequence = -1
        recordCount = 0
    }
}
