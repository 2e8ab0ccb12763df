/// Asks for access rules.
package struct DescribeAclsRequest: KafkaRequest {
    package typealias Response = DescribeAclsResponse

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

/// The access rules that fit.
package struct DescribeAclsResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeAcls

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var errorMessage: String?
    package var resources: [DescribeAclsResource] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
        try c.field("errorMessage", &errorMessage)
        try c.field("resources", &resources)
    }

    package struct DescribeAclsResource: WireStructure {
        package var resourceType: Int8 = 0
        package var resourceName = ""
        package var patternType: Int8 = 3
        package var acls: [AclDescription] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
            try c.field("patternType", &patternType)
            try c.field("acls", &acls)
        }
    }

    package struct AclDescription: WireStructure {
        package var principal = ""
        package var host = ""
        package var operation: Int8 = 0
        package var permissionType: Int8 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("principal", &principal)
            try c.field("host", &host)
            try c.field("operation", &operation)
            try c.field("permissionType", &permissionType)
        }
    }
}
