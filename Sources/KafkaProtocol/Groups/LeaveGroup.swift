/// Leaves a group.
package struct LeaveGroupRequest: KafkaRequest {
    package typealias Response = LeaveGroupResponse

    package var groupId = ""
    package var memberId = ""
    package var members: [MemberIdentity] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("memberId", &memberId, until: 2)
        try c.field("members", &members, since: 3)
    }

    package struct MemberIdentity: WireStructure {
        package var memberId = ""
        package var groupInstanceId: String?
        package var reason: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("memberId", &memberId)
            try c.field("groupInstanceId", &groupInstanceId)
            try c.field("reason", &reason, since: 5)
        }
    }
}

/// Which members left.
package struct LeaveGroupResponse: KafkaResponse {
    package static let apiKey = ApiKey.leaveGroup

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var members: [MemberResponse] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
        try c.field("errorCode", &errorCode)
        try c.field("members", &members, since: 3)
    }

    package struct MemberResponse: WireStructure {
        package var memberId = ""
        package var groupInstanceId: String?
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("memberId", &memberId)
            try c.field("groupInstanceId", &groupInstanceId)
            try c.field("errorCode", &errorCode)
        }
    }
}
