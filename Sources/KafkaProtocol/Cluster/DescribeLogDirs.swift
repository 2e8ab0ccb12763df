/// Asks what lies in the log directories. Null topics are all of them.
package struct DescribeLogDirsRequest: KafkaRequest {
    package typealias Response = DescribeLogDirsResponse

    package var topics: [DescribableLogDirTopic]?

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("topics", &topics)
    }

    package struct DescribableLogDirTopic: WireStructure {
        package var topic = ""
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic)
            try c.field("partitions", &partitions)
        }
    }
}

/// What lies in the log directories.
package struct DescribeLogDirsResponse: KafkaResponse {
    package static let apiKey = ApiKey.describeLogDirs

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var results: [DescribeLogDirsResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode, since: 3)
        try c.field("results", &results)
    }

    package struct DescribeLogDirsResult: WireStructure {
        package var errorCode = KafkaError.none
        package var logDir = ""
        package var topics: [DescribeLogDirsTopic] = []
        package var totalBytes: Int64 = -1
        package var usableBytes: Int64 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("errorCode", &errorCode)
            try c.field("logDir", &logDir)
            try c.field("topics", &topics)
            try c.field("totalBytes", &totalBytes, since: 4)
            try c.field("usableBytes", &usableBytes, since: 4)
        }
    }

    package struct DescribeLogDirsTopic: WireStructure {
        package var name = ""
        package var partitions: [DescribeLogDirsPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct DescribeLogDirsPartition: WireStructure {
        package var partitionIndex: Int32 = 0
        package var partitionSize: Int64 = 0
        package var offsetLag: Int64 = 0
        package var isFutureKey = false

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("partitionSize", &partitionSize)
            try c.field("offsetLag", &offsetLag)
            try c.field("isFutureKey", &isFutureKey)
        }
    }
}
