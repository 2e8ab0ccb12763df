/// Deletes the records before an offset of each partition; -1 is the high watermark.
package struct DeleteRecordsRequest: KafkaRequest {
    package typealias Response = DeleteRecordsResponse

    package var topics: [DeleteRecordsTopic] = []
    package var timeoutMs: Int32 = 0

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics)
        try c.field("timeoutMs", &timeoutMs)
    }

    package struct DeleteRecordsTopic: WireStructure {
        package var name = ""
        package var partitions: [DeleteRecordsPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct DeleteRecordsPartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var offset: Int64 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("offset", &offset)
        }
    }
}

/// The first offset that is left in each partition.
package struct DeleteRecordsResponse: KafkaResponse {
    package static let apiKey = ApiKey.deleteRecords

    package var throttleTimeMs: Int32 = 0
    package var topics: [DeleteRecordsTopicResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("topics", &topics)
    }

    package struct DeleteRecordsTopicResult: WireStructure {
        package var name = ""
        package var partitions: [DeleteRecordsPartitionResult] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct DeleteRecordsPartitionResult: WireStructure {
        package var partitionIndex: Int32 = 0
        package var lowWatermark: Int64 = 0
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("lowWatermark", &lowWatermark)
            try c.field("errorCode", &errorCode)
        }
    }
}
