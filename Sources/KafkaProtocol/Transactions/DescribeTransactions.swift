/// Asks for the states of transactions.
package struct DescribeTransactionsRequest: KafkaRequest {
    package typealias Response = DescribeTransactionsResponse

    package var transactionalIds: [String] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalIds", &transactionalIds)
    }
}

/// The states of transactions.
package struct DescribeTransactionsResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeTransactions

    package var throttleTimeMs: Int32 = 0
    package var transactionStates: [TransactionState] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("transactionStates", &transactionStates)
    }

    package struct TransactionState: WireStructure {
        package var errorCode = KafkaError.none
        package var transactionalId = ""
        package var transactionState = ""
        package var transactionTimeoutMs: Int32 = 0
        package var transactionStartTimeMs: Int64 = 0
        package var producerId: Int64 = 0
        package var producerEpoch: Int16 = 0
        package var topics: [TopicData] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("transactionalId", &transactionalId)
            try c.field("transactionState", &transactionState)
            try c.field("transactionTimeoutMs", &transactionTimeoutMs)
            try c.field("transactionStartTimeMs", &transactionStartTimeMs)
            try c.field("producerId", &producerId)
            try c.field("producerEpoch", &producerEpoch)
            try c.field("topics", &topics)
        }
    }

    package struct TopicData: WireStructure {
        package var topic = ""
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic)
            try c.field("partitions", &partitions)
        }
    }
}
