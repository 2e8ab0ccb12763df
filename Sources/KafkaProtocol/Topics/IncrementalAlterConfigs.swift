/// Changes configs one by one: sets (0), resets (1), appends to (2) or takes from (3) them.
package struct IncrementalAlterConfigsRequest: KafkaRequest {
    package typealias Response = IncrementalAlterConfigsResponse

    package var resources: [AlterConfigsResource] = []
    package var validateOnly = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("resources", &resources)
        try c.field("validateOnly", &validateOnly)
    }

    package struct AlterConfigsResource: WireStructure {
        package var resourceType: Int8 = 0
        package var resourceName = ""
        package var configs: [AlterableConfig] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
            try c.field("configs", &configs)
        }
    }

    package struct AlterableConfig: WireStructure {
        package var name = ""
        package var configOperation: Int8 = 0
        package var value: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("configOperation", &configOperation)
            try c.field("value", &value)
        }
    }
}

/// Whose configs were changed.
package struct IncrementalAlterConfigsResponse: KafkaResponse {
    package static let apiKey = ApiKey.incrementalAlterConfigs

    package var throttleTimeMs: Int32 = 0
    package var responses: [AlterConfigsResourceResponse] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("responses", &responses)
    }

    package struct AlterConfigsResourceResponse: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var resourceType: Int8 = 0
        package var resourceName = ""

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
        }
    }
}
