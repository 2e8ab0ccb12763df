/// Asks where leader epochs ended, to find out whether the log was cut since.
package struct OffsetForLeaderEpochRequest: KafkaRequest {
    package typealias Response = OffsetForLeaderEpochResponse

    package var replicaId: Int32 = -2
    package var topics: [OffsetForLeaderTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("replicaId", &replicaId, since: 3)
        try c.field("topics", &topics)
    }

    package struct OffsetForLeaderTopic: WireStructure {
        package var topic = ""
        package var partitions: [OffsetForLeaderPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic)
            try c.field("partitions", &partitions)
        }
    }

    package struct OffsetForLeaderPartition: WireStructure {
        package var partition: Int32 = 0
        package var currentLeaderEpoch: Int32 = -1
        package var leaderEpoch: Int32 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partition", &partition)
            try c.field("currentLeaderEpoch", &currentLeaderEpoch)
            try c.field("leaderEpoch", &leaderEpoch)
        }
    }
}

/// Where the epochs ended.
package struct OffsetForLeaderEpochResponse: KafkaResponse {
    package static let apiKey = ApiKey.offsetForLeaderEpoch

    package var throttleTimeMs: Int32 = 0
    package var topics: [OffsetForLeaderTopicResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("topics", &topics)
    }

    package struct OffsetForLeaderTopicResult: WireStructure {
        package var topic = ""
        package var partitions: [EpochEndOffset] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic)
            try c.field("partitions", &partitions)
        }
    }

    package struct EpochEndOffset: WireStructure {
        package var errorCode = KafkaError.none
        package var partition: Int32 = 0
        package var leaderEpoch: Int32 = -1
        package var endOffset: Int64 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("partition", &partition)
            try c.field("leaderEpoch", &leaderEpoch)
            try c.field("endOffset", &endOffset)
        }
    }
}
