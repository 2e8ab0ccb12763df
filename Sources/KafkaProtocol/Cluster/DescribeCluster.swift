/// Asks which brokers there are.
package struct DescribeClusterRequest: KafkaRequest {
    package typealias Response = DescribeClusterResponse

    package var includeClusterAuthorizedOperations = false
    package var endpointType: Int8 = 1
    package var includeFencedBrokers = false

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("includeClusterAuthorizedOperations", &includeClusterAuthorizedOperations)
        try c.field("endpointType", &endpointType, since: 1)
        try c.field("includeFencedBrokers", &includeFencedBrokers, since: 2)
    }
}

/// The brokers and who is the controller.
package struct DescribeClusterResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeCluster

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var errorMessage: String?
    package var endpointType: Int8 = 1
    package var clusterId = ""
    package var controllerId: Int32 = -1
    package var brokers: [DescribeClusterBroker] = []
    package var clusterAuthorizedOperations: Int32 = .min

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode)
        try c.field("errorMessage", &errorMessage)
        try c.field("endpointType", &endpointType, since: 1)
        try c.field("clusterId", &clusterId)
        try c.field("controllerId", &controllerId)
        try c.field("brokers", &brokers)
        try c.field("clusterAuthorizedOperations", &clusterAuthorizedOperations)
    }

    package struct DescribeClusterBroker: WireStructure {
        package var brokerId: Int32 = 0
        package var host = ""
        package var port: Int32 = 0
        package var rack: String?
        package var isFenced = false

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("brokerId", &brokerId)
            try c.field("host", &host)
            try c.field("port", &port)
            try c.field("rack", &rack)
            try c.field("isFenced", &isFenced, since: 2)
        }
    }
}
