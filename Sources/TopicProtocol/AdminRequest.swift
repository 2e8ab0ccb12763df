/// What a client asks of a broker to look after its topics: the frames 12 to 16, from version 2 on.
///
/// ```
/// ALTER_CONFIGS    12 | topic string | count u16 | count × (operation u8 | name string | value string) |
/// DESCRIBE_CONFIGS 13 | topic string |                     empty: the broker's own
/// ADD_PARTITIONS   14 | partitions in all u32 | topic string |
/// LIST_OFFSETS     15 | topic id u32 | partition u32 | timestamp i64 | [ isolation level u8 ]
/// DELETE_RECORDS   16 | topic id u32 | partition u32 | before offset i64 |
/// ```
package enum AdminRequest: Hashable, Sendable {
    /// Kafka's IncrementalAlterConfigs: what is not named stays as it is. All changes are made, or none.
    case alterConfigs(topic: String, changes: [ConfigChange])
    case describeConfigs(topic: String)
    /// Kafka's CreatePartitions: how many there shall be, more than there are.
    case addPartitions(topic: String, total: UInt32)
    /// The first record of at least a timestamp; −1: the end, −2: the beginning, −3: the record with the latest
    /// timestamp (Kafka's numbers).
    case listOffsets(PartitionAddress, timestamp: Int64, IsolationLevel = .readUncommitted)
    /// Deletes the records before an offset; −1: all that consumers may see.
    case deleteRecords(PartitionAddress, before: Int64)

    /// The frame types that are administration.
    static let types: ClosedRange<UInt8> = 12...16

    /// Parses what follows the frame's header.
    init(type: UInt8, from reader: inout FrameReader) throws(FrameError) {
        let nameMax = FrameLimits.topicNameBytesMax
        switch type {
        case 12:
            self = .alterConfigs(
                topic: try reader.string(bytesMax: nameMax), changes: try ConfigChange.list(&reader))
        case 13: self = .describeConfigs(topic: try reader.string(bytesMax: nameMax))
        case 14:
            let total = try reader.integer(UInt32.self)
            self = .addPartitions(topic: try reader.string(bytesMax: nameMax), total: total)
        case 15:
            self = .listOffsets(
                try PartitionAddress(from: &reader), timestamp: try reader.integer(), try IsolationLevel(from: &reader))
        case 16: self = .deleteRecords(try PartitionAddress(from: &reader), before: try reader.integer())
        default: throw FrameError("unknown frame type \(type)")
        }
    }

    var type: UInt8 {
        switch self {
        case .alterConfigs: 12
        case .describeConfigs: 13
        case .addPartitions: 14
        case .listOffsets: 15
        case .deleteRecords: 16
        }
    }

    /// Writes what follows the frame's header.
    func encode(into writer: inout FrameWriter) {
        switch self {
        case .alterConfigs(let topic, let changes):
            writer.string(topic)
            ConfigChange.encode(changes, into: &writer)
        case .describeConfigs(let topic): writer.string(topic)
        case .addPartitions(let topic, let total):
            writer.integer(total)
            writer.string(topic)
        case .listOffsets(let partition, let timestamp, let isolation):
            partition.encode(into: &writer)
            writer.integer(timestamp)
            isolation.encode(into: &writer)
        case .deleteRecords(let partition, let offset):
            partition.encode(into: &writer)
            writer.integer(offset)
        }
    }
}
