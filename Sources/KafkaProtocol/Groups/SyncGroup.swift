/// Asks for the assignment of a generation; the leader brings all of them.
package struct SyncGroupRequest: KafkaRequest {
    package typealias Response = SyncGroupResponse

    package var groupId = ""
    package var generationId: Int32 = 0
    package var memberId = ""
    package var groupInstanceId: String?
    package var protocolType: String?
    package var protocolName: String?
    package var assignments: [SyncGroupRequestAssignment] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("generationId", &generationId)
        try c.field("memberId", &memberId)
        try c.field("groupInstanceId", &groupInstanceId, since: 3)
        try c.field("protocolType", &protocolType, since: 5)
        try c.field("protocolName", &protocolName, since: 5)
        try c.field("assignments", &assignments)
    }

    package struct SyncGroupRequestAssignment: WireStructure {
        package var memberId = ""
        package var assignment: [UInt8] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("memberId", &memberId)
            try c.field("assignment", &assignment)
        }
    }
}

/// The assignment of a member.
package struct SyncGroupResponse: KafkaResponse {
    package static let apiKey = ApiKey.syncGroup

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var protocolType: String?
    package var protocolName: String?
    package var assignment: [UInt8] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
        try c.field("errorCode", &errorCode)
        try c.field("protocolType", &protocolType, since: 5)
        try c.field("protocolName", &protocolName, since: 5)
        try c.field("assignment", &assignment)
    }
}
