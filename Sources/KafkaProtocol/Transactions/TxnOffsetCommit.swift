/// Stores offsets of a group as part of a transaction.
package struct TxnOffsetCommitRequest: KafkaRequest {
    package typealias Response = TxnOffsetCommitResponse

    package var transactionalId = ""
    package var groupId = ""
    package var producerId: Int64 = 0
    package var producerEpoch: Int16 = 0
    package var generationId: Int32 = -1
    package var memberId = ""
    package var groupInstanceId: String?
    package var topics: [TxnOffsetCommitRequestTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalId", &transactionalId)
        try c.field("groupId", &groupId)
        try c.field("producerId", &producerId)
        try c.field("producerEpoch", &producerEpoch)
        try c.field("generationId", &generationId, since: 3)
        try c.field("memberId", &memberId, since: 3)
        try c.field("groupInstanceId", &groupInstanceId, since: 3)
        try c.field("topics", &topics)
    }

    package struct TxnOffsetCommitRequestTopic: WireStructure {
        package var name = ""
        package var partitions: [TxnOffsetCommitRequestPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct TxnOffsetCommitRequestPartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var committedOffset: Int64 = 0
        package var committedLeaderEpoch: Int32 = -1
        package var committedMetadata: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("committedOffset", &committedOffset)
            try c.field("committedLeaderEpoch", &committedLeaderEpoch, since: 2)
            try c.field("committedMetadata", &committedMetadata)
        }
    }
}

/// Which offsets were taken.
package struct TxnOffsetCommitResponse: KafkaResponse {
    package static let apiKey = ApiKey.txnOffsetCommit

    package var throttleTimeMs: Int32 = 0
    package var topics: [TxnOffsetCommitResponseTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("topics", &topics)
    }

    package struct TxnOffsetCommitResponseTopic: WireStructure {
        package var name = ""
        package var partitions: [TxnOffsetCommitResponsePartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct TxnOffsetCommitResponsePartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
        }
    }
}
