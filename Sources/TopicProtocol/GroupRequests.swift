/// What a client says about consumer groups: Kafka's classic group protocol, since version 2.
///
/// ```
/// JOIN_GROUP      20 | session timeout ms u32 | rebalance timeout ms u32 | group string | member string
///                    | instance string | client id string | protocol type string
///                    | count u16 | count × (name string | metadata bytes) |
/// SYNC_GROUP      21 | caller | protocol type string | protocol string
///                    | count u16 | count × (member string | assignment bytes) |
/// HEARTBEAT       22 | caller |
/// LEAVE_GROUP     23 | group string | count u16 | count × (member string | instance string) |
/// OFFSET_COMMIT   24 | caller | count u16 | count × (topic string | count u16
///                    | count × (partition u32 | offset i64 | leader epoch i32 | metadata string)) |
/// OFFSET_FETCH    25 | group string | all u8 | after topic string | after partition i32 | topics |
/// LIST_GROUPS     26 | after string |                      groups greater than `after`, in order
/// DESCRIBE_GROUP  27 | group string |
/// DELETE_GROUP    28 | group string |
/// OFFSET_DELETE   29 | group string | topics |
/// caller             | generation i32 | group string | member string | instance string |
/// topics             | count u16 | count × (topic string | count u16 | count × partition u32) |
/// ```
/// *bytes* is a 32-bit length and so many bytes. An empty instance is none.
package indirect enum GroupRequest: Hashable, Sendable {
    case join(JoinGroup)
    case sync(SyncGroup)
    case heartbeat(GroupCaller)
    case leave(group: String, members: [LeavingMember])
    case commit(GroupCaller, [TopicOffsets])
    case fetch(OffsetFetch)
    case list(after: String)
    case describe(group: String)
    case delete(group: String)
    case deleteOffsets(group: String, [TopicPartitions])

    static let types: ClosedRange<UInt8> = 20...29

    var type: UInt8 {
        switch self {
        case .join: 20
        case .sync: 21
        case .heartbeat: 22
        case .leave: 23
        case .commit: 24
        case .fetch: 25
        case .list: 26
        case .describe: 27
        case .delete: 28
        case .deleteOffsets: 29
        }
    }

    init(type: UInt8, from reader: inout FrameReader) throws(FrameError) {
        switch type {
        case 20: self = .join(try JoinGroup(from: &reader))
        case 21: self = .sync(try SyncGroup(from: &reader))
        case 22: self = .heartbeat(try GroupCaller(from: &reader))
        case 23:
            let group = try reader.string()
            self = .leave(
                group: group,
                members: try reader.list { reader throws(FrameError) in
                    LeavingMember(memberID: try reader.string(), instanceID: try reader.optionalString())
                })
        case 24:
            let caller = try GroupCaller(from: &reader)
            self = .commit(
                caller,
                try reader.list { reader throws(FrameError) in try TopicOffsets(from: &reader) })
        case 25: self = .fetch(try OffsetFetch(from: &reader))
        case 26: self = .list(after: try reader.string())
        case 27: self = .describe(group: try reader.string())
        case 28: self = .delete(group: try reader.string())
        default:
            let group = try reader.string()
            self = .deleteOffsets(group: group, try TopicPartitions.list(&reader))
        }
    }

    func encode(into writer: inout FrameWriter) {
        switch self {
        case .join(let join): join.encode(into: &writer)
        case .sync(let sync): sync.encode(into: &writer)
        case .heartbeat(let caller): caller.encode(into: &writer)
        case .leave(let group, let members):
            writer.string(group)
            writer.list(members) { writer, member in
                writer.string(member.memberID)
                writer.string(member.instanceID ?? "")
            }
        case .commit(let caller, let topics):
            caller.encode(into: &writer)
            writer.list(topics) { $1.encode(into: &$0) }
        case .fetch(let fetch): fetch.encode(into: &writer)
        case .list(let after): writer.string(after)
        case .describe(let group), .delete(let group): writer.string(group)
        case .deleteOffsets(let group, let topics):
            writer.string(group)
            TopicPartitions.encode(topics, into: &writer)
        }
    }
}

/// Who asks: a member of a group in one of its generations.
package struct GroupCaller: Hashable, Sendable {
    package var group: String
    /// −1 for a commit by nobody of the group.
    package var generation: Int32
    /// Given by the coordinator.
    package var memberID: String
    /// The member's own name, which survives it (static membership).
    package var instanceID: String?

    package init(group: String, generation: Int32 = -1, memberID: String = "", instanceID: String? = nil) {
        self.group = group
        self.generation = generation
        self.memberID = memberID
        self.instanceID = instanceID
    }

    init(from reader: inout FrameReader) throws(FrameError) {
        generation = try reader.integer()
        group = try reader.string()
        memberID = try reader.string()
        instanceID = try reader.optionalString()
    }

    func encode(into writer: inout FrameWriter) {
        writer.integer(generation)
        writer.string(group)
        writer.string(memberID)
        writer.string(instanceID ?? "")
    }
}

/// One way to assign that a member knows, and what it tells the leader about itself for it.
package struct GroupProtocol: Hashable, Sendable {
    package var name: String
    package var metadata: [UInt8]
    package init(name: String, metadata: [UInt8]) {
        self.name = name
        self.metadata = metadata
    }
}

/// JOIN_GROUP: to become, or to stay, a member of the next generation.
package struct JoinGroup: Hashable, Sendable {
    package var group: String
    /// Empty when the coordinator has not given one yet.
    package var memberID: String
    package var instanceID: String?
    package var clientID: String
    /// `consumer` for consumers.
    package var protocolType: String
    /// The preferred one first.
    package var protocols: [GroupProtocol]
    package var sessionTimeoutMilliseconds: UInt32
    package var rebalanceTimeoutMilliseconds: UInt32

    package init(
        group: String, memberID: String = "", instanceID: String? = nil, clientID: String = "",
        protocolType: String = "consumer", protocols: [GroupProtocol], sessionTimeoutMilliseconds: UInt32,
        rebalanceTimeoutMilliseconds: UInt32
    ) {
        self.group = group
        self.memberID = memberID
        self.instanceID = instanceID
        self.clientID = clientID
        self.protocolType = protocolType
        self.protocols = protocols
        self.sessionTimeoutMilliseconds = sessionTimeoutMilliseconds
        self.rebalanceTimeoutMilliseconds = rebalanceTimeoutMilliseconds
    }

    init(from reader: inout FrameReader) throws(FrameError) {
        sessionTimeoutMilliseconds = try reader.integer()
        rebalanceTimeoutMilliseconds = try reader.integer()
        group = try reader.string()
        memberID = try reader.string()
        instanceID = try reader.optionalString()
        clientID = try reader.string()
        protocolType = try reader.string()
        protocols = try reader.list { reader throws(FrameError) in
            GroupProtocol(name: try reader.string(), metadata: try reader.countedBytes())
        }
    }

    func encode(into writer: inout FrameWriter) {
        writer.integer(sessionTimeoutMilliseconds)
        writer.integer(rebalanceTimeoutMilliseconds)
        writer.string(group)
        writer.string(memberID)
        writer.string(instanceID ?? "")
        writer.string(clientID)
        writer.string(protocolType)
        writer.list(protocols) { writer, known in
            writer.string(known.name)
            writer.countedBytes(known.metadata)
        }
    }
}

/// SYNC_GROUP: a member asks for its assignment; the leader brings everybody's.
package struct SyncGroup: Hashable, Sendable {
    package var caller: GroupCaller
    /// As JOIN_GROUP's answer said; empty is not checked.
    package var protocolType: String
    package var protocolName: String
    /// Empty but from the leader.
    package var assignments: [MemberAssignment]

    package init(
        caller: GroupCaller, protocolType: String = "", protocolName: String = "", assignments: [MemberAssignment] = []
    ) {
        self.caller = caller
        self.protocolType = protocolType
        self.protocolName = protocolName
        self.assignments = assignments
    }

    init(from reader: inout FrameReader) throws(FrameError) {
        caller = try GroupCaller(from: &reader)
        protocolType = try reader.string()
        protocolName = try reader.string()
        assignments = try reader.list { reader throws(FrameError) in
            MemberAssignment(memberID: try reader.string(), assignment: try reader.countedBytes())
        }
    }

    func encode(into writer: inout FrameWriter) {
        caller.encode(into: &writer)
        writer.string(protocolType)
        writer.string(protocolName)
        writer.list(assignments) { writer, member in
            writer.string(member.memberID)
            writer.countedBytes(member.assignment)
        }
    }
}

/// What the leader gives a member.
package struct MemberAssignment: Hashable, Sendable {
    package var memberID: String
    package var assignment: [UInt8]
    package init(memberID: String, assignment: [UInt8]) {
        self.memberID = memberID
        self.assignment = assignment
    }
}

/// A member that goes: by its id, or, a static one, by its instance.
package struct LeavingMember: Hashable, Sendable {
    package var memberID: String
    package var instanceID: String?
    package init(memberID: String, instanceID: String? = nil) {
        self.memberID = memberID
        self.instanceID = instanceID
    }
}

/// Offsets to be committed, of one topic.
package struct TopicOffsets: Hashable, Sendable {
    /// Of one partition.
    package struct Partition: Hashable, Sendable {
        package var partition: UInt32
        /// Of the record to be read next.
        package var offset: Int64
        /// −1 when unknown.
        package var leaderEpoch: Int32
        /// The client's own.
        package var metadata: String
        package init(partition: UInt32, offset: Int64, leaderEpoch: Int32 = -1, metadata: String = "") {
            self.partition = partition
            self.offset = offset
            self.leaderEpoch = leaderEpoch
            self.metadata = metadata
        }
    }

    package var topic: String
    package var partitions: [Partition]
    package init(topic: String, partitions: [Partition]) {
        self.topic = topic
        self.partitions = partitions
    }

    init(from reader: inout FrameReader) throws(FrameError) {
        topic = try reader.string(bytesMax: FrameLimits.topicNameBytesMax)
        partitions = try reader.list { reader throws(FrameError) in
            Partition(
                partition: try reader.integer(), offset: try reader.integer(), leaderEpoch: try reader.integer(),
                metadata: try reader.string())
        }
    }

    func encode(into writer: inout FrameWriter) {
        writer.string(topic)
        writer.list(partitions) { writer, partition in
            writer.integer(partition.partition)
            writer.integer(partition.offset)
            writer.integer(partition.leaderEpoch)
            writer.string(partition.metadata)
        }
    }
}

/// Some partitions of a topic.
package struct TopicPartitions: Hashable, Sendable {
    package var topic: String
    package var partitions: [UInt32]
    package init(topic: String, partitions: [UInt32]) {
        self.topic = topic
        self.partitions = partitions
    }

    static func list(_ reader: inout FrameReader) throws(FrameError) -> [TopicPartitions] {
        try reader.list { reader throws(FrameError) in
            TopicPartitions(
                topic: try reader.string(bytesMax: FrameLimits.topicNameBytesMax),
                partitions: try reader.list { reader throws(FrameError) in try reader.integer() })
        }
    }

    static func encode(_ topics: [TopicPartitions], into writer: inout FrameWriter) {
        writer.list(topics) { writer, topic in
            writer.string(topic.topic)
            writer.list(topic.partitions) { $0.integer($1) }
        }
    }
}

/// OFFSET_FETCH: what a group has committed.
package enum OffsetFetchScope: Hashable, Sendable {
    case partitions([TopicPartitions])
    /// Everything behind this partition, in the order of topic names and partitions; −1 for a topic's first.
    case all(afterTopic: String, partition: Int32)
}

/// OFFSET_FETCH.
package struct OffsetFetch: Hashable, Sendable {
    package var group: String
    package var scope: OffsetFetchScope
    package init(group: String, scope: OffsetFetchScope = .all(afterTopic: "", partition: -1)) {
        self.group = group
        self.scope = scope
    }

    init(from reader: inout FrameReader) throws(FrameError) {
        group = try reader.string()
        let isAll = try reader.integer(UInt8.self) != 0
        let topic = try reader.string(bytesMax: FrameLimits.topicNameBytesMax)
        let partition = try reader.integer(Int32.self)
        let topics = try TopicPartitions.list(&reader)
        scope = isAll ? .all(afterTopic: topic, partition: partition) : .partitions(topics)
    }

    func encode(into writer: inout FrameWriter) {
        writer.string(group)
        switch scope {
        case .all(let topic, let partition):
            writer.integer(UInt8(1))
            writer.string(topic)
            writer.integer(partition)
            TopicPartitions.encode([], into: &writer)
        case .partitions(let topics):
            writer.integer(UInt8(0))
            writer.string("")
            writer.integer(Int32(-1))
            TopicPartitions.encode(topics, into: &writer)
        }
    }
}

extension FrameReader {
    /// A string without a limit of its own.
    mutating func string() throws(FrameError) -> String { try string(bytesMax: FrameLimits.stringBytesMax) }

    /// The same; nil for an empty one.
    mutating func optionalString() throws(FrameError) -> String? {
        let text = try string()
        return text.isEmpty ? nil : text
    }
}
