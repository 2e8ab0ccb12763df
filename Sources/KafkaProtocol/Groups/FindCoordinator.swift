/// Asks which broker coordinates a group (key type 0) or a transactional id (1).
package struct FindCoordinatorRequest: KafkaRequest {
    package typealias Response = FindCoordinatorResponse

    package var key = ""
    package var keyType: Int8 = 0
    package var coordinatorKeys: [String] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("key", &key, until: 3)
        try c.field("keyType", &keyType, since: 1)
        try c.field("coordinatorKeys", &coordinatorKeys, since: 4)
    }
}

/// The coordinators.
package struct FindCoordinatorResponse: KafkaResponse {
    package static let apiKey = ApiKey.findCoordinator

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var errorMessage: String?
    package var nodeId: Int32 = 0
    package var host = ""
    package var port: Int32 = 0
    package var coordinators: [Coordinator] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs, since: 1)
        try c.field("errorCode", &errorCode, until: 3)
        try c.field("errorMessage", &errorMessage, since: 1, until: 3)
        try c.field("nodeId", &nodeId, until: 3)
        try c.field("host", &host, until: 3)
        try c.field("port", &port, until: 3)
        try c.field("coordinators", &coordinators, since: 4)
    }

    package struct Coordinator: WireStructure {
        package var key = ""
        package var nodeId: Int32 = 0
        package var host = ""
        package var port: Int32 = 0
        package var errorCode = KafkaError.none
        package var errorMessage: String?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("key", &key)
            try c.field("nodeId", &nodeId)
            try c.field("host", &host)
            try c.field("port", &port)
            try c.field("errorCode", &errorCode)
            try c.field("errorMessage", &errorMessage)
        }
    }
}
