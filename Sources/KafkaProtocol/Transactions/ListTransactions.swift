/// Asks for transactions, or for those in some states and of some producers.
package struct ListTransactionsRequest: KafkaRequest {
    package typealias Response = ListTransactionsResponse

    package var stateFilters: [String] = []
    package var producerIdFilters: [Int64] = []
    package var durationFilter: Int64 = -1

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("stateFilters", &stateFilters)
        try c.field("producerIdFilters", &producerIdFilters)
        try c.field("durationFilter", &durationFilter, since: 1)
    }
}

/// The transactions.
package struct ListTransactionsResponse: KafkaResponse {
    package static let apiKey = ApiKey.listTransactions

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var unknownStateFilters: [String] = []
    package var transactionStates: [TransactionState] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
        try c.field("unknownStateFilters", &unknownStateFilters)
        try c.field("transactionStates", &transactionStates)
    }

    package struct TransactionState: WireStructure {
        package var transactionalId = ""
        package var producerId: Int64 = 0
        package var transactionState = ""

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("transactionalId", &transactionalId)
            try c.field("producerId", &producerId)
            try c.field("transactionState", &transactionState)
        }
    }
}
