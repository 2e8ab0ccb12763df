/// Asks for members and states of groups.
package struct DescribeGroupsRequest: KafkaRequest {
    package typealias Response = DescribeGroupsResponse

    package var groups: [String] = []
    package var includeAuthorizedOperations = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groups", &groups)
        try c.field("includeAuthorizedOperations", &includeAuthorizedOperations, since: 3)
    }
}

/// Members and states of groups.
package struct DescribeGroupsResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeGroups

    package var throttleTimeMs: Int32 = 0
    package var groups: [DescribedGroup] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
        try c.field("groups", &groups)
    }

    package struct DescribedGroup: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var groupId = ""
        package var groupState = ""
        package var protocolType = ""
        package var protocolData = ""
        package var members: [DescribedGroupMember] = []
        package var authorizedOperations: Int32 = .min

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage, since: 6)
            try c.field("groupId", &groupId)
            try c.field("groupState", &groupState)
            try c.field("protocolType", &protocolType)
            try c.field("protocolData", &protocolData)
            try c.field("members", &members)
            try c.field("authorizedOperations", &authorizedOperations, since: 3)
        }
    }

    package struct DescribedGroupMember: WireStructure {
        package var memberId = ""
        package var groupInstanceId: String?
        package var clientId = ""
        package var clientHost = ""
        package var memberMetadata: [UInt8] = []
        package var memberAssignment: [UInt8] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("memberId", &memberId)
            try c.field("groupInstanceId", &groupInstanceId, since: 4)
            try c.field("clientId", &clientId)
            try c.field("clientHost", &clientHost)
            try c.field("memberMetadata", &memberMetadata)
            try c.field("memberAssignment", &memberAssignment)
        }
    }
}
