/// Asks for stored offsets, from version 8 on of several groups. Null topics are all of them.
package struct OffsetFetchRequest: KafkaRequest {
    package typealias Response = OffsetFetchResponse

    package var groupId = ""
    package var topics: [OffsetFetchRequestTopics]? = []
    package var groups: [OffsetFetchRequestGroup] = []
    package var requireStable = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId, until: 7)
        try c.field("topics", &topics, until: 7, nullableSince: 2)
        try c.field("groups", &groups, since: 8)
        try c.field("requireStable", &requireStable, since: 7)
    }

    package struct OffsetFetchRequestGroup: WireStructure {
        package var groupId = ""
        package var memberId: String?
        package var memberEpoch: Int32 = -1
        package var topics: [OffsetFetchRequestTopics]?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("groupId", &groupId)
            try c.field("memberId", &memberId, since: 9)
            try c.field("memberEpoch", &memberEpoch, since: 9)
            try c.field("topics", &topics)
        }
    }

    package struct OffsetFetchRequestTopics: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var partitionIndexes: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, until: 9)
            try c.field("topicId", &topicId, since: 10)
            try c.field("partitionIndexes", &partitionIndexes)
        }
    }
}

/// The stored offsets; -1 where there is none.
package struct OffsetFetchResponse: KafkaResponse {
    package static let apiKey = ApiKey.offsetFetch

    package var throttleTimeMs: Int32 = 0
    package var topics: [OffsetFetchResponseTopics] = []
    package var errorCode = KafkaError.none
    package var groups: [OffsetFetchResponseGroup] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 3)
        try c.field("topics", &topics, until: 7)
        try c.field("errorCode", &errorCode, since: 2, until: 7)
        try c.field("groups", &groups, since: 8)
    }

    package struct OffsetFetchResponseGroup: WireStructure {
        package var groupId = ""
        package var topics: [OffsetFetchResponseTopics] = []
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("groupId", &groupId)
            try c.field("topics", &topics)
            try c.field("errorCode", &errorCode)
        }
    }

    package struct OffsetFetchResponseTopics: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var partitions: [OffsetFetchResponsePartitions] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, until: 9)
            try c.field("topicId", &topicId, since: 10)
            try c.field("partitions", &partitions)
        }
    }

    package struct OffsetFetchResponsePartitions: WireStructure {
        package var partitionIndex: Int32 = 0
        package var committedOffset: Int64 = 0
        package var committedLeaderEpoch: Int32 = -1
        package var metadata: String?
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("committedOffset", &committedOffset)
            try c.field("committedLeaderEpoch", &committedLeaderEpoch, since: 5)
            try c.field("metadata", &metadata)
            try c.field("errorCode", &errorCode)
        }
    }
}
