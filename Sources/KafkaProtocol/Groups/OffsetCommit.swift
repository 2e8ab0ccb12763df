/// Stores offsets of a group.
package struct OffsetCommitRequest: KafkaRequest {
    package typealias Response = OffsetCommitResponse

    package var groupId = ""
    package var generationIdOrMemberEpoch: Int32 = -1
    package var memberId = ""
    package var groupInstanceId: String?
    package var retentionTimeMs: Int64 = -1
    package var topics: [OffsetCommitRequestTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("generationIdOrMemberEpoch", &generationIdOrMemberEpoch)
        try c.field("memberId", &memberId)
        try c.field("groupInstanceId", &groupInstanceId, since: 7)
        try c.field("retentionTimeMs", &retentionTimeMs, until: 4)
        try c.field("topics", &topics)
    }

    package struct OffsetCommitRequestTopic: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var partitions: [OffsetCommitRequestPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, until: 9)
            try c.field("topicId", &topicId, since: 10)
            try c.field("partitions", &partitions)
        }
    }

    package struct OffsetCommitRequestPartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var committedOffset: Int64 = 0
        package var committedLeaderEpoch: Int32 = -1
        package var committedMetadata: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("committedOffset", &committedOffset)
            try c.field("committedLeaderEpoch", &committedLeaderEpoch, since: 6)
            try c.field("committedMetadata", &committedMetadata)
        }
    }
}

/// Which offsets were stored.
package struct OffsetCommitResponse: KafkaResponse {
    package static let apiKey = ApiKey.offsetCommit

    package var throttleTimeMs: Int32 = 0
    package var topics: [OffsetCommitResponseTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 3)
        try c.field("topics", &topics)
    }

    package struct OffsetCommitResponseTopic: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var partitions: [OffsetCommitResponsePartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, until: 9)
            try c.field("topicId", &topicId, since: 10)
            try c.field("partitions", &partitions)
        }
    }

    package struct OffsetCommitResponsePartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
        }
    }
}
