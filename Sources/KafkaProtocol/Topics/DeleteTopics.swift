/// Deletes topics, from version 6 on by name or by id.
package struct DeleteTopicsRequest: KafkaRequest {
    package typealias Response = DeleteTopicsResponse

    package var topics: [DeleteTopicState] = []
    package var topicNames: [String] = []
    package var timeoutMs: Int32 = 0

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics, since: 6)
        try c.field("topicNames", &topicNames, until: 5)
        try c.field("timeoutMs", &timeoutMs)
    }

    package struct DeleteTopicState: WireStructure {
        package var name: String?
        package var topicId = Uuid()

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("topicId", &topicId)
        }
    }
}

/// Which topics were deleted.
package struct DeleteTopicsResponse: KafkaResponse {
    package static let apiKey = ApiKey.deleteTopics

    package var throttleTimeMs: Int32 = 0
    package var responses: [DeletableTopicResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("responses", &responses)
    }

    package struct DeletableTopicResult: WireStructure {
        package var name: String? = ""
        package var topicId = Uuid()
        package var errorCode = KafkaError.none
        package var errorMessage: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, nullableSince: 6)
            try c.field("topicId", &topicId, since: 6)
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage, since: 5)
        }
    }
}
