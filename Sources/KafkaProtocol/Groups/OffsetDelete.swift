/// Deletes stored offsets of a group.
package struct OffsetDeleteRequest: KafkaRequest {
    package typealias Response = OffsetDeleteResponse

    package var groupId = ""
    package var topics: [OffsetDeleteRequestTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("topics", &topics)
    }

    package struct OffsetDeleteRequestTopic: WireStructure {
        package var name = ""
        package var partitions: [OffsetDeleteRequestPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct OffsetDeleteRequestPartition: WireStructure {
        package var partitionIndex: Int32 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
        }
    }
}

/// Which offsets were deleted.
package struct OffsetDeleteResponse: KafkaResponse {
    package static let apiKey = ApiKey.offsetDelete

    package var errorCode = KafkaError.none
    package var throttleTimeMs: Int32 = 0
    package var topics: [OffsetDeleteResponseTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("errorCode", &errorCode)
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("topics", &topics)
    }

    package struct OffsetDeleteResponseTopic: WireStructure {
        package var name = ""
        package var partitions: [OffsetDeleteResponsePartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct OffsetDeleteResponsePartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
        }
    }
}
