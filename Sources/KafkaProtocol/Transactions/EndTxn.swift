/// Commits or aborts a transaction.
package struct EndTxnRequest: KafkaRequest {
    package typealias Response = EndTxnResponse

    package var transactionalId = ""
    package var producerId: Int64 = 0
    package var producerEpoch: Int16 = 0
    package var committed = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalId", &transactionalId)
        try c.field("producerId", &producerId)
        try c.field("producerEpoch", &producerEpoch)
        try c.field("committed", &committed)
    }
}

/// Whether the transaction ends so.
package struct EndTxnResponse: KafkaResponse {
    package static let apiKey = ApiKey.endTxn

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
    }
}
