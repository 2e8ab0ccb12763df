/// Creates access rules.
package struct CreateAclsRequest: KafkaRequest {
    package typealias Response = CreateAclsResponse

    package var creations: [AclCreation] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("creations", &creations)
    }

    package struct AclCreation: WireStructure {
        package var resourceType: Int8 = 0
        package var resourceName = ""
        package var resourcePatternType: Int8 = 3
        package var principal = ""
        package var host = ""
        package var operation: Int8 = 0
        package var permissionType: Int8 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
            try c.field("resourcePatternType", &resourcePatternType)
            try c.field("principal", &principal)
            try c.field("host", &host)
            try c.field("operation", &operation)
            try c.field("permissionType", &permissionType)
        }
    }
}

/// Which access rules were created.
package struct CreateAclsResponse: KafkaResponse {
    package static let apiKey = ApiKey.createAcls

    package var throttleTimeMs: Int32 = 0
    package var results: [AclCreationResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("results", &results)
    }

    package struct AclCreationResult: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
        }
    }
}
