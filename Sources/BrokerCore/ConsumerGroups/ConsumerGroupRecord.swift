internal import TopicLog

/// A record of `__consumer_offsets` about a group of KIP-848, in Kafka's own schemas.
///
/// ```
/// key  | 3 i16 | group string |                    value  | 0 i16 | group epoch i32 | tags: 0 topics' hash i64 |
/// key  | 5 i16 | group string | member string |    value  | 0 i16 | instance | rack | client id | host | topics
///                                                         | pattern | rebalance timeout ms i32 | assignor | tags |
/// key  | 6 i16 | group string |                    value  | 0 i16 | target's epoch i32 | tags |
/// key  | 7 i16 | group string | member string |    value  | 0 i16 | partitions | tags |
/// key  | 8 i16 | group string | member string |    value  | 0 i16 | epoch i32 | previous epoch i32 | state i8
///                                                         | assigned partitions | partitions to be revoked | tags |
/// partitions                   count, count × (topic id 16 bytes | count, count × partition i32 | tags)
/// ```
/// Keys have strings with 16-bit lengths; values compact ones: lengths and counts are varints, one more than they are,
/// 0 for none. Source: Kafka's ConsumerGroup…Key/Value.json.
enum ConsumerGroupRecord: Equatable {
    case group(Epoch?)
    case member(String, Wishes?)
    case target(Int32?)
    case targetOf(String, PartitionSet?)
    case current(String, Current?)

    /// Of the group.
    struct Epoch: Equatable {
        var epoch: Int32
        var metadataHash: Int64
    }

    /// What a member wants.
    struct Wishes: Equatable {
        var instanceID: String?
        var rackID: String?
        var clientID: String
        var host: String
        var topics: [String]
        var pattern: String?
        var rebalanceTimeoutMilliseconds: Int32
        var assignor: String?
    }

    /// What a member has.
    struct Current: Equatable {
        var epoch: Int32
        var previousEpoch: Int32
        var state: ConsumerMember.State
        var assigned: PartitionSet
        var revoking: PartitionSet
    }

    /// Of keys: those that ``init(type:key:value:)`` knows.
    static let types: Set<Int16> = [3, 5, 6, 7, 8]

    func encodeKey(group: String, into writer: inout KafkaWriter) {
        let (type, member): (Int16, String?) =
            switch self {
            case .group: (3, nil)
            case .member(let id, _): (5, id)
            case .target: (6, nil)
            case .targetOf(let id, _): (7, id)
            case .current(let id, _): (8, id)
            }
        writer.integer(type)
        writer.string(group)
        if let member { writer.string(member) }
    }

    /// Nil for a tombstone.
    var value: [UInt8]? {
        var writer = KafkaWriter()
        writer.integer(Int16(0))
        switch self {
        case .group(nil), .member(_, nil), .target(nil), .targetOf(_, nil), .current(_, nil): return nil
        case .group(let group?):
            writer.integer(group.epoch)
            // One tag, number 0, of 8 bytes.
            for number in [1, 0, 8] { writer.varint(number) }
            writer.integer(group.metadataHash)
            return writer.bytes
        case .member(_, let member?):
            writer.compactString(member.instanceID)
            writer.compactString(member.rackID)
            writer.compactString(member.clientID)
            writer.compactString(member.host)
            writer.varint(member.topics.count + 1)
            for topic in member.topics { writer.compactString(topic) }
            writer.compactString(member.pattern)
            writer.integer(member.rebalanceTimeoutMilliseconds)
            writer.compactString(member.assignor)
        case .target(let epoch?): writer.integer(epoch)
        case .targetOf(_, let partitions?): writer.partitions(partitions)
        case .current(_, let current?):
            writer.integer(current.epoch)
            writer.integer(current.previousEpoch)
            writer.integer(current.state.rawValue)
            writer.partitions(current.assigned)
            writer.partitions(current.revoking)
        }
        writer.varint(0)
        return writer.bytes
    }

    /// - Parameter key: Behind type and group. Nil for what does not parse.
    init?(type: Int16, key: inout KafkaReader, value: inout KafkaReader?) {
        var member = ""
        if [5, 7, 8].contains(type) {
            guard let id = key.string() else { return nil }
            member = id
        }
        guard value != nil else {
            switch type {
            case 3: self = .group(nil)
            case 5: self = .member(member, nil)
            case 6: self = .target(nil)
            case 7: self = .targetOf(member, nil)
            case 8: self = .current(member, nil)
            default: return nil
            }
            return
        }
        guard value!.integer(Int16.self) == 0 else { return nil }
        switch type {
        case 3: self = .group(Epoch(from: &value!))
        case 5: self = .member(member, Wishes(from: &value!))
        case 6: self = .target(value!.integer(Int32.self))
        case 7: self = .targetOf(member, value!.partitions())
        case 8: self = .current(member, Current(from: &value!))
        default: return nil
        }
        // A group's own tags were read with it.
        guard !isTombstone, type == 3 || value!.skipTags() else { return nil }
    }

    /// Whether it says that something is gone.
    var isTombstone: Bool {
        switch self {
        case .group(nil), .member(_, nil), .target(nil), .targetOf(_, nil), .current(_, nil): true
        default: false
        }
    }
}

extension ConsumerGroupRecord.Epoch {
    fileprivate init?(from reader: inout KafkaReader) {
        guard let epoch = reader.integer(Int32.self), let tags = reader.varint() else { return nil }
        self.init(epoch: epoch, metadataHash: 0)
        for _ in 0..<tags {
            guard let tag = reader.varint(), let size = reader.varint() else { return nil }
            if tag == 0, size == 8 {
                guard let hash = reader.integer(Int64.self) else { return nil }
                metadataHash = hash
            } else if !reader.skip(size) {
                return nil
            }
        }
    }
}

extension ConsumerGroupRecord.Wishes {
    init(_ member: ConsumerMember) {
        self.init(
            instanceID: member.instanceID, rackID: member.rackID, clientID: member.clientID, host: member.host,
            topics: member.topics, pattern: member.pattern,
            rebalanceTimeoutMilliseconds: member.rebalanceTimeoutMilliseconds, assignor: member.assignor)
    }

    fileprivate init?(from reader: inout KafkaReader) {
        guard case .some(let instance) = reader.compactString(), case .some(let rack) = reader.compactString(),
            case .some(.some(let client)) = reader.compactString(),
            case .some(.some(let host)) = reader.compactString(),
            let count = reader.varint()
        else { return nil }
        var topics: [String] = []
        for _ in 0..<max(count - 1, 0) {
            guard case .some(.some(let topic)) = reader.compactString() else { return nil }
            topics.append(topic)
        }
        guard case .some(let pattern) = reader.compactString(), let timeout = reader.integer(Int32.self),
            case .some(let assignor) = reader.compactString()
        else { return nil }
        self.init(
            instanceID: instance, rackID: rack, clientID: client, host: host, topics: topics, pattern: pattern,
            rebalanceTimeoutMilliseconds: timeout, assignor: assignor)
    }
}

extension ConsumerGroupRecord.Current {
    init(_ member: ConsumerMember) {
        self.init(
            epoch: member.epoch, previousEpoch: member.previousEpoch, state: member.state, assigned: member.assigned,
            revoking: member.revoking)
    }

    fileprivate init?(from reader: inout KafkaReader) {
        guard let epoch = reader.integer(Int32.self), let previous = reader.integer(Int32.self),
            let state = reader.integer(Int8.self).flatMap(ConsumerMember.State.init),
            let assigned = reader.partitions(),
            let revoking = reader.partitions()
        else { return nil }
        self.init(epoch: epoch, previousEpoch: previous, state: state, assigned: assigned, revoking: revoking)
    }
}

extension KafkaWriter {
    mutating func varint(_ value: Int) {
        var rest = UInt32(value)
        while rest >= 0x80 {
            integer(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        integer(UInt8(rest))
    }

    mutating func compactString(_ text: String?) {
        guard let text else { return varint(0) }
        varint(text.utf8.count + 1)
        for byte in text.utf8 { integer(byte) }
    }

    mutating func partitions(_ set: PartitionSet) {
        let topics = set.sorted
        varint(topics.count + 1)
        for (topic, partitions) in topics {
            integer(topic.high)
            integer(topic.low)
            varint(partitions.count + 1)
            for partition in partitions { integer(partition) }
            varint(0)
        }
    }
}

extension KafkaReader {
    /// At most 31 bits: nothing is longer.
    mutating func varint() -> Int? {
        var value = 0
        for shift in stride(from: 0, through: 28, by: 7) {
            guard let byte = integer(UInt8.self) else { return nil }
            value |= Int(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    /// Nil when it does not parse, `.some(nil)` for none.
    mutating func compactString() -> String?? {
        guard let length = varint() else { return nil }
        guard length > 0 else { return .some(nil) }
        guard let text = text(length - 1) else { return nil }
        return .some(text)
    }

    mutating func skipTags() -> Bool {
        guard let tags = varint() else { return false }
        for _ in 0..<tags {
            guard varint() != nil, let size = varint(), skip(size) else { return false }
        }
        return true
    }

    mutating func partitions() -> PartitionSet? {
        guard let count = varint() else { return nil }
        var set = PartitionSet()
        for _ in 0..<max(count - 1, 0) {
            guard let high = integer(UInt64.self), let low = integer(UInt64.self), let partitions = varint() else {
                return nil
            }
            for _ in 0..<max(partitions - 1, 0) {
                guard let partition = integer(Int32.self) else { return nil }
                set.insert(TopicUUID(high: high, low: low), partition)
            }
            guard skipTags() else { return nil }
        }
        return set
    }
}
