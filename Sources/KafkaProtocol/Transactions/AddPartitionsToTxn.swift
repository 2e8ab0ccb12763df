/// Adds partitions to a transaction. Later versions are for brokers.
package struct AddPartitionsToTxnRequest: KafkaRequest {
    package typealias Response = AddPartitionsToTxnResponse

    package var transactionalId = ""
    package var producerId: Int64 = 0
    package var producerEpoch: Int16 = 0
    package var topics: [AddPartitionsToTxnTopic] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalId", &transactionalId)
        try c.field("producerId", &producerId)
        try c.field("producerEpoch", &producerEpoch)
        try c.field("topics", &topics)
    }

    package struct AddPartitionsToTxnTopic: WireStructure {
        package var name = ""
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }
}

/// Which partitions were added.
package struct AddPartitionsToTxnResponse: KafkaResponse {
    package static let apiKey = ApiKey.addPartitionsToTxn

    package var throttleTimeMs: Int32 = 0
    package var resultsByTopic: [AddPartitionsToTxnTopicResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("resultsByTopic", &resultsByTopic)
    }

    package struct AddPartitionsToTxnTopicResult: WireStructure {
        package var name = ""
        package var resultsByPartition: [AddPartitionsToTxnPartitionResult] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("resultsByPartition", &resultsByPartition)
        }
    }

    package struct AddPartitionsToTxnPartitionResult: WireStructure {
        package var partitionIndex: Int32 = 0
        package var partitionErrorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("partitionErrorCode", &partitionErrorCode)
        }
    }
}
