/// Asks which producers wrote to partitions with sequence numbers.
package struct DescribeProducersRequest: KafkaRequest {
    package typealias Response = DescribeProducersResponse

    package var topics: [TopicRequest] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics)
    }

    package struct TopicRequest: WireStructure {
        package var name = ""
        package var partitionIndexes: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitionIndexes", &partitionIndexes)
        }
    }
}

/// The producers that a partition remembers.
package struct DescribeProducersResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeProducers

    package var throttleTimeMs: Int32 = 0
    package var topics: [TopicResponse] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("topics", &topics)
    }

    package struct TopicResponse: WireStructure {
        package var name = ""
        package var partitions: [PartitionResponse] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct PartitionResponse: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var activeProducers: [ProducerState] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("activeProducers", &activeProducers)
        }
    }

    package struct ProducerState: WireStructure {
        package var producerId: Int64 = 0
        package var producerEpoch: Int32 = 0
        package var lastSequence: Int32 = -1
        package var lastTimestamp: Int64 = -1
        package var coordinatorEpoch: Int32 = 0
        package var currentTxnStartOffset: Int64 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("producerId", &producerId)
            try c.field("producerEpoch", &producerEpoch)
            try c.field("lastSequence", &lastSequence)
            try c.field("lastTimestamp", &lastTimestamp)
            try c.field("coordinatorEpoch", &coordinatorEpoch)
            try c.field("currentTxnStartOffset", &currentTxnStartOffset)
        }
    }
}
