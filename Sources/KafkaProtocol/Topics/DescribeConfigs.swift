/// Asks for the configs of topics (resource type 2) and brokers (4). Null keys are all of them.
package struct DescribeConfigsRequest: KafkaRequest {
    package typealias Response = DescribeConfigsResponse

    package var resources: [DescribeConfigsResource] = []
    package var includeSynonyms = false
    package var includeDocumentation = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("resources", &resources)
        try c.field("includeSynonyms", &includeSynonyms)
        try c.field("includeDocumentation", &includeDocumentation, since: 3)
    }

    package struct DescribeConfigsResource: WireStructure {
        package var resourceType: Int8 = 0
        package var resourceName = ""
        package var configurationKeys: [String]?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
            try c.field("configurationKeys", &configurationKeys)
        }
    }
}

/// The configs, each with where it comes from.
package struct DescribeConfigsResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeConfigs

    package var throttleTimeMs: Int32 = 0
    package var results: [DescribeConfigsResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("results", &results)
    }

    package struct DescribeConfigsResult: WireStructure {
        package var errorCode = KafkaError.none
        package var errorMessage: String?
        package var resourceType: Int8 = 0
        package var resourceName = ""
        package var configs: [DescribeConfigsResourceResult] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
            try c.field("resourceType", &resourceType)
            try c.field("resourceName", &resourceName)
            try c.field("configs", &configs)
        }
    }

    package struct DescribeConfigsResourceResult: WireStructure {
        package var name = ""
        package var value: String?
        package var readOnly = false
        package var configSource: Int8 = -1
        package var isSensitive = false
        package var synonyms: [DescribeConfigsSynonym] = []
        package var configType: Int8 = 0
        package var documentation: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("value", &value)
            try c.field("readOnly", &readOnly)
            try c.field("configSource", &configSource)
            try c.field("isSensitive", &isSensitive)
            try c.field("synonyms", &synonyms)
            try c.field("configType", &configType, since: 3)
            try c.field("documentation", &documentation, since: 3)
        }
    }

    package struct DescribeConfigsSynonym: WireStructure {
        package var name = ""
        package var value: String?
        package var source: Int8 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("value", &value)
            try c.field("source", &source)
        }
    }
}
