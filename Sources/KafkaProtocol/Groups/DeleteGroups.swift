/// Deletes groups.
package struct DeleteGroupsRequest: KafkaRequest {
    package typealias Response = DeleteGroupsResponse

    package var groupsNames: [String] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("groupsNames", &groupsNames)
    }
}

/// Which groups were deleted.
package struct DeleteGroupsResponse: KafkaResponse {
    package static let apiKey = ApiKey.deleteGroups

    package var throttleTimeMs: Int32 = 0
    package var results: [DeletableGroupResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("results", &results)
    }

    package struct DeletableGroupResult: WireStructure {
        package var groupId = ""
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("groupId", &groupId)
            try c.field("errorCode", &errorCode)
        }
    }
}
