/// Creates topics.
package struct CreateTopicsRequest: KafkaRequest {
    package typealias Response = CreateTopicsResponse

    package var topics: [CreatableTopic] = []
    package var timeoutMs: Int32 = 60000
    package var validateOnly = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics)
        try c.field("timeoutMs", &timeoutMs)
        try c.field("validateOnly", &validateOnly)
    }

    package struct CreatableTopic: WireStructure {
        package var name = ""
        package var numPartitions: Int32 = 0
        package var replicationFactor: Int16 = 0
        package var assignments: [CreatableReplicaAssignment] = []
        package var configs: [CreatableTopicConfig] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("numPartitions", &numPartitions)
            try c.field("replicationFactor", &replicationFactor)
            try c.field("assignments", &assignments)
            try c.field("configs", &configs)
        }
    }

    package struct CreatableReplicaAssignment: WireStructure {
        package var partitionIndex: Int32 = 0
        package var brokerIds: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("brokerIds", &brokerIds)
        }
    }

    package struct CreatableTopicConfig: WireStructure {
        package var name = ""
        package var value: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("value", &value)
        }
    }
}

/// Which topics were created, and as what.
package struct CreateTopicsResponse: KafkaResponse {
    package static let apiKey = ApiKey.createTopics

    package var throttleTimeMs: Int32 = 0
    package var topics: [CreatableTopicResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("topics", &topics)
    }

    package struct CreatableTopicResult: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var topicConfigErrorCode = KafkaError.none
        package var numPartitions: Int32 = -1
        package var replicationFactor: Int16 = -1
        package var configs: [CreatableTopicConfigs] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("topicId", &topicId, since: 7)
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("numPartitions", &numPartitions, since: 5)
            try c.field("replicationFactor", &replicationFactor, since: 5)
            try c.field("configs", &configs, since: 5)
        }

        package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.tagged(0, "topicConfigErrorCode", &topicConfigErrorCode, since: 5)
        }
    }

    package struct CreatableTopicConfigs: WireStructure {
        package var name = ""
        package var value: String?
        package var readOnly = false
        package var configSource: Int8 = -1
        package var isSensitive = false

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("value", &value)
            try c.field("readOnly", &readOnly)
            try c.field("configSource", &configSource)
            try c.field("isSensitive", &isSensitive)
        }
    }
}
