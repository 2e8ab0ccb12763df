internal import TopicProtocol

/// A record of `__consumer_offsets`, in Kafka's own schemas, so that Kafka's tools read it.
///
/// ```
/// key     | 1 i16 | group string | topic string | partition i32 |                  a committed offset
/// value   | 3 i16 | offset i64 | leader epoch i32 | metadata string | commit timestamp i64 |
/// key     | 2 i16 | group string |                                                 a group
/// value   | 3 i16 | protocol type string | generation i32 | protocol string | leader string
///         | state timestamp i64 | count i32 | count × (member string | instance string | client id string
///         | host string | rebalance timeout ms i32 | session timeout ms i32 | metadata bytes | assignment bytes) |
/// ```
/// Big-endian; a string has a 16-bit length, bytes a 32-bit one; a missing string has the length −1. No value: gone.
/// Source: Kafka's OffsetCommitKey/Value.json and GroupMetadataKey/Value.json.
enum GroupRecord: Equatable {
    case offset(group: String, OffsetKey, CommittedOffset?)
    case group(String, StoredGroup?)
    case consumer(String, ConsumerGroupRecord)

    var key: [UInt8] {
        var writer = KafkaWriter()
        switch self {
        case .offset(let group, let key, _):
            writer.integer(Int16(1))
            writer.string(group)
            writer.string(key.topic)
            writer.integer(Int32(bitPattern: key.partition))
        case .group(let group, _):
            writer.integer(Int16(2))
            writer.string(group)
        case .consumer(let group, let record): record.encodeKey(group: group, into: &writer)
        }
        return writer.bytes
    }

    /// Nil for a tombstone.
    var value: [UInt8]? {
        var writer = KafkaWriter()
        switch self {
        case .offset(_, _, nil), .group(_, nil): return nil
        case .consumer(_, let record): return record.value
        case .offset(_, _, let committed?):
            writer.integer(Int16(3))
            writer.integer(committed.offset)
            writer.integer(committed.leaderEpoch)
            writer.string(committed.metadata)
            writer.integer(committed.committedAt)
        case .group(_, let group?):
            writer.integer(Int16(3))
            group.encode(into: &writer)
        }
        return writer.bytes
    }

    /// Whether it says that something is gone.
    var isTombstone: Bool {
        switch self {
        case .offset(_, _, nil), .group(_, nil): true
        case .offset, .group: false
        case .consumer(_, let record): record.isTombstone
        }
    }

    /// Nil for what this version does not know: a key or value of another version, or one that does not parse.
    init?(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) {
        var key = unsafe KafkaReader(key)
        var value = unsafe value.map { unsafe KafkaReader($0) }
        switch key.integer(Int16.self) {
        case 0, 1:
            guard let group = key.string(), let topic = key.string(), let partition = key.integer(Int32.self),
                partition >= 0
            else { return nil }
            let place = OffsetKey(topic: topic, partition: UInt32(partition))
            guard value != nil else {
                self = .offset(group: group, place, nil)
                return
            }
            guard value!.integer(Int16.self) == 3, let offset = value!.integer(Int64.self),
                let epoch = value!.integer(Int32.self), let metadata = value!.string(),
                let time = value!.integer(Int64.self)
            else { return nil }
            self = .offset(
                group: group, place,
                CommittedOffset(offset: offset, leaderEpoch: epoch, metadata: metadata, committedAt: time))
        case 2:
            guard let group = key.string() else { return nil }
            guard value != nil else {
                self = .group(group, nil)
                return
            }
            guard value!.integer(Int16.self) == 3, let stored = StoredGroup(from: &value!) else { return nil }
            self = .group(group, stored)
        case let type? where ConsumerGroupRecord.types.contains(type):
            guard let group = key.string(), let record = ConsumerGroupRecord(type: type, key: &key, value: &value)
            else {
                return nil
            }
            self = .consumer(group, record)
        default: return nil
        }
    }
}

/// A group as it is stored when a generation has its assignments, or nobody is left.
struct StoredGroup: Equatable {
    /// One member.
    struct Member: Equatable {
        var id: String
        var instanceID: String?
        var clientID: String
        var host: String
        var rebalanceTimeoutMilliseconds: Int32
        var sessionTimeoutMilliseconds: Int32
        var metadata: [UInt8]
        var assignment: [UInt8]
    }

    var protocolType: String
    var generation: Int32
    var protocolName: String?
    var leader: String?
    /// Milliseconds since 1970.
    var stateSince: Int64
    var members: [Member]

    /// A group as it is, or as it will be once its assignments are stored; nil when neither is to be stored: its
    /// members are yet to come together, or to be assigned something.
    init?(_ group: Group, now: Int64) {
        switch group.state {
        case .empty, .stable: break
        case .completingRebalance where group.assigning != nil: break
        case .completingRebalance, .preparingRebalance, .dead: return nil
        }
        protocolType = group.protocolType ?? ""
        generation = group.generation
        protocolName = group.protocolName
        leader = group.leader
        stateSince = now
        members = group.ordered.map { member in
            Member(
                id: member.id, instanceID: member.instanceID, clientID: member.clientID, host: member.host,
                rebalanceTimeoutMilliseconds: member.rebalanceTimeoutMilliseconds,
                sessionTimeoutMilliseconds: member.sessionTimeoutMilliseconds,
                metadata: member.metadata(for: group.protocolName),
                assignment: group.assigning.map { $0[member.id] ?? [] } ?? member.assignment)
        }
    }

    fileprivate init?(from reader: inout KafkaReader) {
        guard let type = reader.string(), let generation = reader.integer(Int32.self) else { return nil }
        let (name, leader) = (reader.string(), reader.string())
        guard let since = reader.integer(Int64.self), let count = reader.integer(Int32.self), count >= 0 else {
            return nil
        }
        protocolType = type
        self.generation = generation
        protocolName = name
        self.leader = leader
        stateSince = since
        members = []
        for _ in 0..<count {
            guard let id = reader.string() else { return nil }
            let instance = reader.string()
            guard let client = reader.string(), let host = reader.string(), let rebalance = reader.integer(Int32.self),
                let session = reader.integer(Int32.self), let metadata = reader.run(), let assignment = reader.run()
            else { return nil }
            members.append(
                Member(
                    id: id, instanceID: instance, clientID: client, host: host,
                    rebalanceTimeoutMilliseconds: rebalance, sessionTimeoutMilliseconds: session, metadata: metadata,
                    assignment: assignment))
        }
    }

    fileprivate func encode(into writer: inout KafkaWriter) {
        writer.string(protocolType)
        writer.integer(generation)
        writer.string(protocolName)
        writer.string(leader)
        writer.integer(stateSince)
        writer.integer(Int32(members.count))
        for member in members {
            writer.string(member.id)
            writer.string(member.instanceID)
            writer.string(member.clientID)
            writer.string(member.host)
            writer.integer(member.rebalanceTimeoutMilliseconds)
            writer.integer(member.sessionTimeoutMilliseconds)
            writer.run(member.metadata)
            writer.run(member.assignment)
        }
    }
}

/// Kafka's primitive types, appended to an array.
struct KafkaWriter {
    private(set) var bytes: [UInt8] = []

    mutating func integer<T: FixedWidthInteger>(_ value: T) {
        unsafe withUnsafeBytes(of: value.bigEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    mutating func string(_ text: String?) {
        guard let text else { return integer(Int16(-1)) }
        integer(Int16(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    mutating func run(_ run: [UInt8]) {
        integer(Int32(run.count))
        bytes.append(contentsOf: run)
    }
}

/// Kafka's primitive types, read in order; nil where the bytes end early or make no sense.
@safe struct KafkaReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) -> T? {
        guard let part = unsafe take(T.bitWidth / 8) else { return nil }
        return unsafe T(bigEndian: part.loadUnaligned(as: T.self))
    }

    mutating func string() -> String? {
        guard let count = integer(Int16.self) else { return nil }
        return text(Int(count))
    }

    /// A string whose length is known.
    mutating func text(_ count: Int) -> String? {
        guard let part = unsafe take(count) else { return nil }
        return unsafe String(validating: part, as: UTF8.self)
    }

    mutating func skip(_ count: Int) -> Bool { unsafe take(count) != nil }

    mutating func run() -> [UInt8]? {
        guard let count = integer(Int32.self), let part = unsafe take(Int(count)) else { return nil }
        return unsafe Array(part)
    }

    private mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, unsafe count <= bytes.count - position else { return nil }
        defer { position += count }
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }
}
