/// The first request of a connection: what does the broker serve?
package struct ApiVersionsRequest: KafkaRequest {
    package typealias Response = ApiVersionsResponse

    package var clientSoftwareName = ""
    package var clientSoftwareVersion = ""

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("clientSoftwareName", &clientSoftwareName, since: 3)
        try c.field("clientSoftwareVersion", &clientSoftwareVersion, since: 3)
    }
}

/// The versions that the broker serves. In a version that it does not know it answers in version 0.
package struct ApiVersionsResponse: KafkaResponse {
    package static let apiKey = ApiKey.apiVersions

    package var errorCode = KafkaError.none
    package var apiKeys: [ApiVersion] = []
    package var throttleTimeMs: Int32 = 0
    package var supportedFeatures: [SupportedFeatureKey] = []
    package var finalizedFeaturesEpoch: Int64 = -1
    package var finalizedFeatures: [FinalizedFeatureKey] = []
    package var zkMigrationReady = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("errorCode", &errorCode)
        try c.field("apiKeys", &apiKeys)
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
    }

    package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.tagged(0, "supportedFeatures", &supportedFeatures, since: 3)
        try c.tagged(1, "finalizedFeaturesEpoch", &finalizedFeaturesEpoch, default: -1, since: 3)
        try c.tagged(2, "finalizedFeatures", &finalizedFeatures, since: 3)
        try c.tagged(3, "zkMigrationReady", &zkMigrationReady, since: 3)
    }

    package struct ApiVersion: WireStructure {
        package var apiKey: Int16 = 0
        package var minVersion: Int16 = 0
        package var maxVersion: Int16 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("apiKey", &apiKey)
            try c.field("minVersion", &minVersion)
            try c.field("maxVersion", &maxVersion)
        }
    }

    package struct SupportedFeatureKey: WireStructure, Equatable {
        package var name = ""
        package var minVersion: Int16 = 0
        package var maxVersion: Int16 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("minVersion", &minVersion)
            try c.field("maxVersion", &maxVersion)
        }
    }

    package struct FinalizedFeatureKey: WireStructure, Equatable {
        package var name = ""
        package var maxVersionLevel: Int16 = 0
        package var minVersionLevel: Int16 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("maxVersionLevel", &maxVersionLevel)
            try c.field("minVersionLevel", &minVersionLevel)
        }
    }
}
