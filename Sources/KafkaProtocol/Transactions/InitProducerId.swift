/// Asks for a producer id, or begins the next epoch of one.
package struct InitProducerIdRequest: KafkaRequest {
    package typealias Response = InitProducerIdResponse

    package var transactionalId: String?
    package var transactionTimeoutMs: Int32 = 0
    package var producerId: Int64 = -1
    package var producerEpoch: Int16 = -1

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalId", &transactionalId)
        try c.field("transactionTimeoutMs", &transactionTimeoutMs)
        try c.field("producerId", &producerId, since: 3)
        try c.field("producerEpoch", &producerEpoch, since: 3)
    }
}

/// The producer id and its epoch.
package struct InitProducerIdResponse: KafkaResponse {
    package static let apiKey = ApiKey.initProducerId

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var producerId: Int64 = -1
    package var producerEpoch: Int16 = 0

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
        try c.field("producerId", &producerId)
        try c.field("producerEpoch", &producerEpoch)
    }
}
