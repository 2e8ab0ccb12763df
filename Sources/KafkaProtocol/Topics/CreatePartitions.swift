/// Adds partitions to topics.
package struct CreatePartitionsRequest: KafkaRequest {
    package typealias Response = CreatePartitionsResponse

    package var topics: [CreatePartitionsTopic] = []
    package var timeoutMs: Int32 = 0
    package var validateOnly = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics)
        try c.field("timeoutMs", &timeoutMs)
        try c.field("validateOnly", &validateOnly)
    }

    package struct CreatePartitionsTopic: WireStructure {
        package var name = ""
        package var count: Int32 = 0
        package var assignments: [CreatePartitionsAssignment]?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("count", &count)
            try c.field("assignments", &assignments)
        }
    }

    package struct CreatePartitionsAssignment: WireStructure {
        package var brokerIds: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("brokerIds", &brokerIds)
        }
    }
}

/// Which topics have more partitions now.
package struct CreatePartitionsResponse: KafkaResponse {
    package static let apiKey = ApiKey.createPartitions

    package var throttleTimeMs: Int32 = 0
    package var results: [CreatePartitionsTopicResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("results", &results)
    }

    package struct CreatePartitionsTopicResult: WireStructure {
        package var name = ""
        package var errorCode = KafkaError.none
        package var errorMessage: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
        }
    }
}
