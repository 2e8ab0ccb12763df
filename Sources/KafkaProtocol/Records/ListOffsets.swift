/// Finds offsets by timestamp; -1 is the end, -2 the start, -3 the record with the largest timestamp.
package struct ListOffsetsRequest: KafkaRequest {
    package typealias Response = ListOffsetsResponse

    package var replicaId: Int32 = 0
    package var isolationLevel: Int8 = 0
    package var topics: [ListOffsetsTopic] = []
    package var timeoutMs: Int32 = 0

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("replicaId", &replicaId)
        try c.field("isolationLevel", &isolationLevel, since: 2)
        try c.field("topics", &topics)
        try c.field("timeoutMs", &timeoutMs, since: 10)
    }

    package struct ListOffsetsTopic: WireStructure {
        package var name = ""
        package var partitions: [ListOffsetsPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct ListOffsetsPartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var currentLeaderEpoch: Int32 = -1
        package var timestamp: Int64 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("currentLeaderEpoch", &currentLeaderEpoch, since: 4)
            try c.field("timestamp", &timestamp)
        }
    }
}

/// The offsets that were found.
package struct ListOffsetsResponse: KafkaResponse {
    package static let apiKey = ApiKey.listOffsets

    package var throttleTimeMs: Int32 = 0
    package var topics: [ListOffsetsTopicResponse] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 2)
        try c.field("topics", &topics)
    }

    package struct ListOffsetsTopicResponse: WireStructure {
        package var name = ""
        package var partitions: [ListOffsetsPartitionResponse] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct ListOffsetsPartitionResponse: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none
        package var timestamp: Int64 = -1
        package var offset: Int64 = -1
        package var leaderEpoch: Int32 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
            try c.field("timestamp", &timestamp)
            try c.field("offset", &offset)
            try c.field("leaderEpoch", &leaderEpoch, since: 4)
        }
    }
}
