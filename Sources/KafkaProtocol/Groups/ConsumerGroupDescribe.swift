/// Asks for members and states of groups of KIP-848.
package struct ConsumerGroupDescribeRequest: KafkaRequest {
    package typealias Response = ConsumerGroupDescribeResponse

    package var groupIds: [String] = []
    package var includeAuthorizedOperations = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupIds", &groupIds)
        try c.field("includeAuthorizedOperations", &includeAuthorizedOperations)
    }
}

/// Members and states of groups of KIP-848.
package struct ConsumerGroupDescribeResponse: KafkaResponse {
    package static let apiKey = ApiKey.consumerGroupDescribe

    package var throttleTimeMs: Int32 = 0
    package var groups: [DescribedGroup] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("groups", &groups)
    }

    package struct DescribedGroup: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var groupId = ""
        package var groupState = ""
        package var groupEpoch: Int32 = 0
        package var assignmentEpoch: Int32 = 0
        package var assignorName = ""
        package var members: [Member] = []
        package var authorizedOperations: Int32 = .min

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("groupId", &groupId)
            try c.field("groupState", &groupState)
            try c.field("groupEpoch", &groupEpoch)
            try c.field("assignmentEpoch", &assignmentEpoch)
            try c.field("assignorName", &assignorName)
            try c.field("members", &members)
            try c.field("authorizedOperations", &authorizedOperations)
        }
    }

    package struct Member: WireStructure {
        package var memberId = ""
        package var instanceId: String?
        package var rackId: String?
        package var memberEpoch: Int32 = 0
        package var clientId = ""
        package var clientHost = ""
        package var subscribedTopicNames: [String] = []
        package var subscribedTopicRegex: String?
        package var assignment = Assignment()
        package var targetAssignment = Assignment()
        package var memberType: Int8 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("memberId", &memberId)
            try c.field("instanceId", &instanceId)
            try c.field("rackId", &rackId)
            try c.field("memberEpoch", &memberEpoch)
            try c.field("clientId", &clientId)
            try c.field("clientHost", &clientHost)
            try c.field("subscribedTopicNames", &subscribedTopicNames)
            try c.field("subscribedTopicRegex", &subscribedTopicRegex)
            try c.field("assignment", &assignment)
            try c.field("targetAssignment", &targetAssignment)
            try c.field("memberType", &memberType, since: 1)
        }
    }

    package struct Assignment: WireStructure {
        package var topicPartitions: [TopicPartitions] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topicPartitions", &topicPartitions)
        }
    }

    package struct TopicPartitions: WireStructure {
        package var topicId = Uuid()
        package var topicName = ""
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topicId", &topicId)
            try c.field("topicName", &topicName)
            try c.field("partitions", &partitions)
        }
    }
}
