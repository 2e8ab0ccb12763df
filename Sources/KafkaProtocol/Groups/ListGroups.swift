/// Asks for all groups, or for those in some states and of some types.
package struct ListGroupsRequest: KafkaRequest {
    package typealias Response = ListGroupsResponse

    package var statesFilter: [String] = []
    package var typesFilter: [String] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("statesFilter", &statesFilter, since: 4)
        try c.field("typesFilter", &typesFilter, since: 5)
    }
}

/// The groups.
package struct ListGroupsResponse: KafkaResponse {
    package static let apiKey = ApiKey.listGroups

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var groups: [ListedGroup] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
        try c.field("errorCode", &errorCode)
        try c.field("groups", &groups)
    }

    package struct ListedGroup: WireStructure {
        package var groupId = ""
        package var protocolType = ""
        package var groupState = ""
        package var groupType = ""

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("groupId", &groupId)
            try c.field("protocolType", &protocolType)
            try c.field("groupState", &groupState, since: 4)
            try c.field("groupType", &groupType, since: 5)
        }
    }
}
