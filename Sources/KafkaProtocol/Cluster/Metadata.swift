/// Asks for brokers and topics. Null topics are all of them; in version 0 an empty list is.
package struct MetadataRequest: KafkaRequest {
    package typealias Response = MetadataResponse

    package var topics: [MetadataRequestTopic]? = []
    package var allowAutoTopicCreation = true
    package var includeClusterAuthorizedOperations = false
    package var includeTopicAuthorizedOperations = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics, nullableSince: 1)
        try c.field("allowAutoTopicCreation", &allowAutoTopicCreation, since: 4)
        try c.field("includeClusterAuthorizedOperations", &includeClusterAuthorizedOperations, since: 8, until: 10)
        try c.field("includeTopicAuthorizedOperations", &includeTopicAuthorizedOperations, since: 8)
    }

    package struct MetadataRequestTopic: WireStructure {
        package var topicId = Uuid()
        package var name: String? = ""

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topicId", &topicId, since: 10)
            try c.field("name", &name, nullableSince: 10)
        }
    }
}

/// Brokers, topics and who leads which partition.
package struct MetadataResponse: KafkaResponse {
    package static let apiKey = ApiKey.metadata

    package var throttleTimeMs: Int32 = 0
    package var brokers: [MetadataResponseBroker] = []
    package var clusterId: String?
    package var controllerId: Int32 = -1
    package var topics: [MetadataResponseTopic] = []
    package var clusterAuthorizedOperations: Int32 = .min
    package var errorCode = KafkaError.none

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 3)
        try c.field("brokers", &brokers)
        try c.field("clusterId", &clusterId, since: 2)
        try c.field("controllerId", &controllerId, since: 1)
        try c.field("topics", &topics)
        try c.field("clusterAuthorizedOperations", &clusterAuthorizedOperations, since: 8, until: 10)
        try c.field("errorCode", &errorCode, since: 13)
    }

    package struct MetadataResponseBroker: WireStructure {
        package var nodeId: Int32 = 0
        package var host = ""
        package var port: Int32 = 0
        package var rack: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("nodeId", &nodeId)
            try c.field("host", &host)
            try c.field("port", &port)
            try c.field("rack", &rack, since: 1)
        }
    }

    package struct MetadataResponseTopic: WireStructure {
        package var errorCode = KafkaError.none
        package var name: String? = ""
        package var topicId = Uuid()
        package var isInternal = false
        package var partitions: [MetadataResponsePartition] = []
        package var topicAuthorizedOperations: Int32 = .min

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("name", &name, nullableSince: 12)
            try c.field("topicId", &topicId, since: 10)
            try c.field("isInternal", &isInternal, since: 1)
            try c.field("partitions", &partitions)
            try c.field("topicAuthorizedOperations", &topicAuthorizedOperations, since: 8)
        }
    }

    package struct MetadataResponsePartition: WireStructure {
        package var errorCode = KafkaError.none
        package var partitionIndex: Int32 = 0
        package var leaderId: Int32 = 0
        package var leaderEpoch: Int32 = -1
        package var replicaNodes: [Int32] = []
        package var isrNodes: [Int32] = []
        package var offlineReplicas: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("partitionIndex", &partitionIndex)
            try c.field("leaderId", &leaderId)
            try c.field("leaderEpoch", &leaderEpoch, since: 7)
            try c.field("replicaNodes", &replicaNodes)
            try c.field("isrNodes", &isrNodes)
            try c.field("offlineReplicas", &offlineReplicas, since: 5)
        }
    }
}
