/// Appends record batches.
package struct ProduceRequest: KafkaRequest {
    package typealias Response = ProduceResponse

    package var transactionalId: String?
    package var acks: Int16 = 0
    package var timeoutMs: Int32 = 0
    package var topicData: [TopicProduceData] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalId", &transactionalId)
        try c.field("acks", &acks)
        try c.field("timeoutMs", &timeoutMs)
        try c.field("topicData", &topicData)
    }

    package struct TopicProduceData: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var partitionData: [PartitionProduceData] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, until: 12)
            try c.field("topicId", &topicId, since: 13)
            try c.field("partitionData", &partitionData)
        }
    }

    package struct PartitionProduceData: WireStructure {
        package var index: Int32 = 0
        package var records: Records?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("index", &index)
            try c.field("records", &records)
        }
    }
}

/// What became of each batch. With acks 0 there is none.
package struct ProduceResponse: KafkaResponse {
    package static let apiKey = ApiKey.produce

    package var responses: [TopicProduceResponse] = []
    package var throttleTimeMs: Int32 = 0
    package var nodeEndpoints: [NodeEndpoint] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("responses", &responses)
        try c.field("throttleTimeMs", &throttleTimeMs)
    }

    package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.tagged(0, "nodeEndpoints", &nodeEndpoints, since: 10)
    }

    package struct TopicProduceResponse: WireStructure {
        package var name = ""
        package var topicId = Uuid()
        package var partitionResponses: [PartitionProduceResponse] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name, until: 12)
            try c.field("topicId", &topicId, since: 13)
            try c.field("partitionResponses", &partitionResponses)
        }
    }

    package struct PartitionProduceResponse: WireStructure {
        package var index: Int32 = 0
        package var errorCode = KafkaError.none
        package var baseOffset: Int64 = 0
        package var logAppendTimeMs: Int64 = -1
        package var logStartOffset: Int64 = -1
        package var recordErrors: [BatchIndexAndErrorMessage] = []
        package var errorMessage: String?
        package var currentLeader = LeaderIdAndEpoch()

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("index", &index)
            try c.field("errorCode", &errorCode)
            try c.field("baseOffset", &baseOffset)
            try c.field("logAppendTimeMs", &logAppendTimeMs)
            try c.field("logStartOffset", &logStartOffset, since: 5)
            try c.field("recordErrors", &recordErrors, since: 8)
            try c.field("errorMessage", &errorMessage, since: 8)
        }

        package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.tagged(0, "currentLeader", &currentLeader, since: 10)
        }
    }

    package struct BatchIndexAndErrorMessage: WireStructure {
        package var batchIndex: Int32 = 0
        package var batchIndexErrorMessage: String?

        package init() {}

        /// Refused for what the whole batch's message says.
        package init(_ batchIndex: Int32) { self.batchIndex = batchIndex }

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("batchIndex", &batchIndex)
            try c.field("batchIndexErrorMessage", &batchIndexErrorMessage)
        }
    }
}
