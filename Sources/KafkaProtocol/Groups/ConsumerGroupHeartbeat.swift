/// Joins, stays in or leaves a group whose broker assigns the partitions (KIP-848). Null is what did not change since
/// the last one.
package struct ConsumerGroupHeartbeatRequest: KafkaRequest {
    package typealias Response = ConsumerGroupHeartbeatResponse

    package var groupId = ""
    package var memberId = ""
    package var memberEpoch: Int32 = 0
    package var instanceId: String?
    package var rackId: String?
    package var rebalanceTimeoutMs: Int32 = -1
    package var subscribedTopicNames: [String]?
    package var subscribedTopicRegex: String?
    package var serverAssignor: String?
    package var topicPartitions: [TopicPartitions]?

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("memberId", &memberId)
        try c.field("memberEpoch", &memberEpoch)
        try c.field("instanceId", &instanceId)
        try c.field("rackId", &rackId)
        try c.field("rebalanceTimeoutMs", &rebalanceTimeoutMs)
        try c.field("subscribedTopicNames", &subscribedTopicNames)
        try c.field("subscribedTopicRegex", &subscribedTopicRegex, since: 1)
        try c.field("serverAssignor", &serverAssignor)
        try c.field("topicPartitions", &topicPartitions)
    }

    package struct TopicPartitions: WireStructure {
        package var topicId = Uuid()
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topicId", &topicId)
            try c.field("partitions", &partitions)
        }
    }
}

/// The member's epoch, and its assignment when that changed.
package struct ConsumerGroupHeartbeatResponse: KafkaResponse {
    package static let apiKey = ApiKey.consumerGroupHeartbeat

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var errorMessage: String?
    package var memberId: String?
    package var memberEpoch: Int32 = 0
    package var heartbeatIntervalMs: Int32 = 0
    package var assignment: Assignment?

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
        try c.field("errorMessage", &errorMessage)
        try c.field("memberId", &memberId)
        try c.field("memberEpoch", &memberEpoch)
        try c.field("heartbeatIntervalMs", &heartbeatIntervalMs)
        try c.field("assignment", &assignment)
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
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topicId", &topicId)
            try c.field("partitions", &partitions)
        }
    }
}
