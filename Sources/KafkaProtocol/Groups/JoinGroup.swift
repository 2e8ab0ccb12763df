/// Joins a group; answered when the group has gathered.
package struct JoinGroupRequest: KafkaRequest {
    package typealias Response = JoinGroupResponse

    package var groupId = ""
    package var sessionTimeoutMs: Int32 = 0
    package var rebalanceTimeoutMs: Int32 = -1
    package var memberId = ""
    package var groupInstanceId: String?
    package var protocolType = ""
    package var protocols: [JoinGroupRequestProtocol] = []
    package var reason: String?

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupId", &groupId)
        try c.field("sessionTimeoutMs", &sessionTimeoutMs)
        try c.field("rebalanceTimeoutMs", &rebalanceTimeoutMs, since: 1)
        try c.field("memberId", &memberId)
        try c.field("groupInstanceId", &groupInstanceId, since: 5)
        try c.field("protocolType", &protocolType)
        try c.field("protocols", &protocols)
        try c.field("reason", &reason, since: 8)
    }

    package struct JoinGroupRequestProtocol: WireStructure {
        package var name = ""
        package var metadata: [UInt8] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("metadata", &metadata)
        }
    }
}

/// A generation of the group. Only the leader learns of the members.
package struct JoinGroupResponse: KafkaResponse {
    package static let apiKey = ApiKey.joinGroup

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var generationId: Int32 = -1
    package var protocolType: String?
    package var protocolName: String? = ""
    package var leader = ""
    package var skipAssignment = false
    package var memberId = ""
    package var members: [JoinGroupResponseMember] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 2)
        try c.field("errorCode", &errorCode)
        try c.field("generationId", &generationId)
        try c.field("protocolType", &protocolType, since: 7)
        try c.field("protocolName", &protocolName, nullableSince: 7)
        try c.field("leader", &leader)
        try c.field("skipAssignment", &skipAssignment, since: 9)
        try c.field("memberId", &memberId)
        try c.field("members", &members)
    }

    package struct JoinGroupResponseMember: WireStructure {
        package var memberId = ""
        package var groupInstanceId: String?
        package var metadata: [UInt8] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("memberId", &memberId)
            try c.field("groupInstanceId", &groupInstanceId, since: 5)
            try c.field("metadata", &metadata)
        }
    }
}
