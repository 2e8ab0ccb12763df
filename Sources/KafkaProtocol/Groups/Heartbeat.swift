/// Says that a member is alive.
package struct HeartbeatRequest: KafkaRequest {
    package typealias Response = HeartbeatResponse

    package var groupId = ""
    package var generationId: Int32 = 0
    package var memberId = ""
    package var groupInstanceId: String?

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("generationId", &generationId)
        try c.field("memberId", &memberId)
        try c.field("groupInstanceId", &groupInstanceId, since: 3)
    }
}

/// Whether the member still belongs to the generation.
package struct HeartbeatResponse: KafkaResponse {
    package static let apiKey = ApiKey.heartbeat

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
        try c.field("errorCode", &errorCode)
    }
}
