// What a broker answers to ``GroupRequest``s. HEARTBEAT and DELETE_GROUP have empty answers.

/// An answer to JOIN_GROUP: `| generation i32 | protocol type string | protocol string | leader string | member string
/// | skip assignment u8 | count u16 | count × (member string | instance string | metadata bytes) |`.
///
/// The one body that comes with an error too: with MEMBER_ID_REQUIRED it carries the member id to join with, and
/// generation −1.
package struct JoinGroupAnswer: Hashable, Sendable {
    /// One member, as the leader sees it.
    package struct Member: Hashable, Sendable {
        package var memberID: String
        package var instanceID: String?
        /// What it gave with the protocol that was chosen.
        package var metadata: [UInt8]
        package init(memberID: String, instanceID: String?, metadata: [UInt8]) {
            self.memberID = memberID
            self.instanceID = instanceID
            self.metadata = metadata
        }
    }

    package var generation: Int32
    package var protocolType: String
    package var protocolName: String
    package var leader: String
    package var memberID: String
    /// A leader that came back and finds all as it was: it syncs without assignments.
    package var skipsAssignment: Bool
    /// Everybody, for the leader; empty for others.
    package var members: [Member]

    package init(
        generation: Int32 = -1, protocolType: String = "", protocolName: String = "", leader: String = "",
        memberID: String, skipsAssignment: Bool = false, members: [Member] = []
    ) {
        self.generation = generation
        self.protocolType = protocolType
        self.protocolName = protocolName
        self.leader = leader
        self.memberID = memberID
        self.skipsAssignment = skipsAssignment
        self.members = members
    }

    package func encode(into writer: inout FrameWriter) {
        writer.integer(generation)
        writer.string(protocolType)
        writer.string(protocolName)
        writer.string(leader)
        writer.string(memberID)
        writer.integer(UInt8(skipsAssignment ? 1 : 0))
        writer.list(members) { writer, member in
            writer.string(member.memberID)
            writer.string(member.instanceID ?? "")
            writer.countedBytes(member.metadata)
        }
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        generation = try reader.integer()
        protocolType = try reader.string()
        protocolName = try reader.string()
        leader = try reader.string()
        memberID = try reader.string()
        skipsAssignment = try reader.integer(UInt8.self) != 0
        members = try reader.list { reader throws(FrameError) in
            Member(
                memberID: try reader.string(), instanceID: try reader.optionalString(),
                metadata: try reader.countedBytes())
        }
    }
}

/// An answer to SYNC_GROUP: `| protocol type string | protocol string | assignment bytes |`.
package struct SyncGroupAnswer: Hashable, Sendable {
    package var protocolType: String
    package var protocolName: String
    package var assignment: [UInt8]
    package init(protocolType: String, protocolName: String, assignment: [UInt8]) {
        self.protocolType = protocolType
        self.protocolName = protocolName
        self.assignment = assignment
    }

    package func encode(into writer: inout FrameWriter) {
        writer.string(protocolType)
        writer.string(protocolName)
        writer.countedBytes(assignment)
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        protocolType = try reader.string()
        protocolName = try reader.string()
        assignment = try reader.countedBytes()
    }
}

/// An answer to LEAVE_GROUP, OFFSET_COMMIT and OFFSET_DELETE: `| count u32 | count × error i16 |`, one for each member
/// or partition of the request, in its order.
package struct ErrorList: Hashable, Sendable {
    package var errors: [ErrorCode]
    package init(_ errors: [ErrorCode]) { self.errors = errors }

    package func encode(into writer: inout FrameWriter) {
        writer.integer(UInt32(errors.count))
        for error in errors { writer.integer(error.rawValue) }
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        let count = Int(try reader.integer(UInt32.self))
        guard count <= reader.remaining / 2 else { throw FrameError("\(count) errors in \(reader.remaining) bytes") }
        errors = []
        for _ in 0..<count { errors.append(ErrorCode(rawValue: try reader.integer())) }
    }
}

/// An answer to OFFSET_FETCH: `| more u8 | topics as in OFFSET_COMMIT |`. Of what was asked for, in that order; a
/// partition without a committed offset has −1 when it was asked for by name, and is not there otherwise.
package struct OffsetFetchAnswer: Hashable, Sendable {
    /// True when something does not fit: ask for the rest.
    package var isCut: Bool
    package var topics: [TopicOffsets]

    /// As much as an answer holds.
    package init(_ offsets: some Sequence<(topic: String, offset: TopicOffsets.Partition)>) {
        topics = []
        isCut = false
        // The answer's own fields, an error text, and what separates topics fit into what is left.
        var room = FrameLimits.messageBytesMax - 1024
        for (topic, offset) in offsets {
            let isNew = topics.last?.topic != topic || topics.last?.partitions.count == Int(UInt16.max)
            room -= 18 + offset.metadata.utf8.count + (isNew ? 4 + topic.utf8.count : 0)
            guard room >= 0, !isNew || topics.count < Int(UInt16.max) else {
                isCut = true
                return
            }
            if isNew { topics.append(TopicOffsets(topic: topic, partitions: [])) }
            topics[topics.count - 1].partitions.append(offset)
        }
    }

    package func encode(into writer: inout FrameWriter) {
        writer.integer(UInt8(isCut ? 1 : 0))
        writer.list(topics) { $1.encode(into: &$0) }
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        isCut = try reader.integer(UInt8.self) != 0
        topics = try reader.list { reader throws(FrameError) in try TopicOffsets(from: &reader) }
    }
}

/// Where a group is in its life; Kafka's names on the wire.
package enum GroupState: String, Hashable, Sendable {
    case empty = "Empty"
    case preparingRebalance = "PreparingRebalance"
    case completingRebalance = "CompletingRebalance"
    case stable = "Stable"
    case dead = "Dead"
}

/// An answer to LIST_GROUPS: `| more u8 | count u16 | count × (group string | protocol type string | state string) |`.
package struct GroupList: Hashable, Sendable {
    /// One group.
    package struct Group: Hashable, Sendable {
        package var group: String
        package var protocolType: String
        package var state: String
        package init(group: String, protocolType: String, state: String) {
            self.group = group
            self.protocolType = protocolType
            self.state = state
        }
    }

    /// True when groups follow the last one here: ask again after it.
    package var isCut: Bool
    package var groups: [Group]

    package init(_ groups: [Group], isCut: Bool) {
        self.groups = groups
        self.isCut = isCut
    }

    package func encode(into writer: inout FrameWriter) {
        writer.integer(UInt8(isCut ? 1 : 0))
        writer.list(groups) { writer, group in
            writer.string(group.group)
            writer.string(group.protocolType)
            writer.string(group.state)
        }
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        isCut = try reader.integer(UInt8.self) != 0
        groups = try reader.list { reader throws(FrameError) in
            Group(group: try reader.string(), protocolType: try reader.string(), state: try reader.string())
        }
    }
}

/// An answer to DESCRIBE_GROUP: `| state string | protocol type string | protocol string | generation i32 | count u16
/// | count × (member string | instance string | client id string | host string | metadata bytes | assignment bytes) |`.
package struct GroupDescription: Hashable, Sendable {
    /// One member.
    package struct Member: Hashable, Sendable {
        package var memberID: String
        package var instanceID: String?
        package var clientID: String
        /// As the door names its peer.
        package var host: String
        package var metadata: [UInt8]
        package var assignment: [UInt8]
        package init(
            memberID: String, instanceID: String?, clientID: String, host: String, metadata: [UInt8],
            assignment: [UInt8]
        ) {
            self.memberID = memberID
            self.instanceID = instanceID
            self.clientID = clientID
            self.host = host
            self.metadata = metadata
            self.assignment = assignment
        }
    }

    package var state: String
    package var protocolType: String
    package var protocolName: String
    package var generation: Int32
    package var members: [Member]

    package init(
        state: String, protocolType: String, protocolName: String, generation: Int32, members: [Member]
    ) {
        self.state = state
        self.protocolType = protocolType
        self.protocolName = protocolName
        self.generation = generation
        self.members = members
    }

    package func encode(into writer: inout FrameWriter) {
        writer.string(state)
        writer.string(protocolType)
        writer.string(protocolName)
        writer.integer(generation)
        writer.list(members) { writer, member in
            writer.string(member.memberID)
            writer.string(member.instanceID ?? "")
            writer.string(member.clientID)
            writer.string(member.host)
            writer.countedBytes(member.metadata)
            writer.countedBytes(member.assignment)
        }
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        state = try reader.string()
        protocolType = try reader.string()
        protocolName = try reader.string()
        generation = try reader.integer()
        members = try reader.list { reader throws(FrameError) in
            Member(
                memberID: try reader.string(), instanceID: try reader.optionalString(),
                clientID: try reader.string(), host: try reader.string(), metadata: try reader.countedBytes(),
                assignment: try reader.countedBytes())
        }
    }
}
