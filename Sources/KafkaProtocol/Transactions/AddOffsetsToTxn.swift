/// Adds a group's offsets to a transaction.
package struct AddOffsetsToTxnRequest: KafkaRequest {
    package typealias Response = AddOffsetsToTxnResponse

    package var transactionalId = ""
    package var producerId: Int64 = 0
    package var producerEpoch: Int16 = 0
    package var groupId = ""

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("transactionalId", &transactionalId)
        try c.field("producerId", &producerId)
        try c.field("producerEpoch", &producerEpoch)
        try c.field("groupId", &groupId)
    }
}

/// Whether they were added.
package struct AddOffsetsToTxnResponse: KafkaResponse {
    package static let apiKey = ApiKey.addOffsetsToTxn

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
    }
}
