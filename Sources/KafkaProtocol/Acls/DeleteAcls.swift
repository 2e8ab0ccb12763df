/// Deletes access rules.
package struct DeleteAclsRequest: KafkaRequest {
    package typealias Response = DeleteAclsResponse

    package var filters: [DeleteAclsFilter] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("filters", &filters)
    }

    package struct DeleteAclsFilter: WireStructure {
        package var resourceTypeFilter: Int8 = 0
        package var resourceNameFilter: String?
        package var patternTypeFilter: Int8 = 3
        package var principalFilter: String?
        package var hostFilter: String?
        package var operation: Int8 = 0
        package var permissionType: Int8 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("resourceTypeFilter", &resourceTypeFilter)
            try c.field("resourceNameFilter", &resourceNameFilter)
            try c.field("patternTypeFilter", &patternTypeFilter)
            try c.field("principalFilter", &principalFilter)
            try c.field("hostFilter", &hostFilter)
            try c.field("operation", &operation)
            try c.field("permissionType", &permissionType)
        }
    }
}

/// Which access rules were deleted.
package struct DeleteAclsResponse: KafkaResponse {
    package static let apiKey = ApiKey.deleteAcls

    package var throttleTimeMs: Int32 = 0
    package var filterResults: [DeleteAclsFilterResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("filterResults", &filterResults)
    }

    package struct DeleteAclsFilterResult: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var matchingAcls: [DeleteAclsMatchingAcl] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("matchingAcls", &matchingAcls)
        }
    }

    package struct DeleteAclsMatchingAcl: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var resourceType: Int8 = 0
        package var resourceName = ""
        package var patternType: Int8 = 3
        package var principal = ""
        package var host = ""
        package var operation: Int8 = 0
        package var permissionType: Int8 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
            try c.field("patternType", &patternType)
            try c.field("principal", &principal)
            try c.field("host", &host)
            try c.field("operation", &operation)
            try c.field("permissionType", &permissionType)
        }
    }
}
