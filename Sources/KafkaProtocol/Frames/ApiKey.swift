/// The APIs that the codec knows, by Kafka's numbers.
package enum ApiKey: Int16, CaseIterable, Sendable {
    case produce = 0
    case fetch = 1
    case listOffsets = 2
    case metadata = 3
    case offsetCommit = 8
    case offsetFetch = 9
    case findCoordinator = 10
    case joinGroup = 11
    case heartbeat = 12
    case leaveGroup = 13
    case syncGroup = 14
    case describeGroups = 15
    case listGroups = 16
    case saslHandshake = 17
    case apiVersions = 18
    case createTopics = 19
    case deleteTopics = 20
    case deleteRecords = 21
    case initProducerId = 22
    case offsetForLeaderEpoch = 23
    case addPartitionsToTxn = 24
    case addOffsetsToTxn = 25
    case endTxn = 26
    case writeTxnMarkers = 27
    case txnOffsetCommit = 28
    case describeAcls = 29
    case createAcls = 30
    case deleteAcls = 31
    case describeConfigs = 32
    case alterConfigs = 33
    case describeLogDirs = 35
    case saslAuthenticate = 36
    case createPartitions = 37
    case deleteGroups = 42
    case incrementalAlterConfigs = 44
    case offsetDelete = 47
    case describeCluster = 60
    case describeProducers = 61
    case describeTransactions = 65
    case listTransactions = 66
    case consumerGroupHeartbeat = 68
    case consumerGroupDescribe = 69

    /// Kafka's name.
    package var name: String { row.name }

    /// What the codec reads and writes.
    package var versions: ClosedRange<Int16> { row.versions }

    /// What ApiVersions says of an API that is served; nil for one that is not served yet. docs/kafka-protocol.md says
    /// why some versions that the codec knows are not among them.
    package var advertised: ClosedRange<Int16>? { row.advertised }

    /// Whether a version has compact strings and arrays, and tagged fields (KIP-482).
    package func isFlexible(_ version: Int16) -> Bool { version >= row.flexibleSince }

    private var row: Row {
        switch self {
        case .produce: Row("Produce", 3...13, flexibleSince: 9, advertised: 0...11)
        case .fetch: Row("Fetch", 4...18, flexibleSince: 12)
        case .listOffsets: Row("ListOffsets", 1...11, flexibleSince: 6, advertised: 1...7)
        case .metadata: Row("Metadata", 0...13, flexibleSince: 9)
        case .offsetCommit: Row("OffsetCommit", 2...10, flexibleSince: 8)
        case .offsetFetch: Row("OffsetFetch", 1...10, flexibleSince: 6)
        case .findCoordinator: Row("FindCoordinator", 0...6, flexibleSince: 3)
        case .joinGroup: Row("JoinGroup", 0...9, flexibleSince: 6)
        case .heartbeat: Row("Heartbeat", 0...4, flexibleSince: 4)
        case .leaveGroup: Row("LeaveGroup", 0...5, flexibleSince: 4)
        case .syncGroup: Row("SyncGroup", 0...5, flexibleSince: 4)
        case .describeGroups: Row("DescribeGroups", 0...6, flexibleSince: 5, advertised: 0...5)
        case .listGroups: Row("ListGroups", 0...5, flexibleSince: 3)
        case .saslHandshake: Row("SaslHandshake", 0...1)
        case .apiVersions: Row("ApiVersions", 0...4, flexibleSince: 3)
        case .createTopics: Row("CreateTopics", 2...7, flexibleSince: 5)
        case .deleteTopics: Row("DeleteTopics", 1...6, flexibleSince: 4)
        case .deleteRecords: Row("DeleteRecords", 0...2, flexibleSince: 2)
        case .initProducerId: Row("InitProducerId", 0...5, flexibleSince: 2, advertised: 0...4)
        case .offsetForLeaderEpoch: Row("OffsetForLeaderEpoch", 2...4, flexibleSince: 4)
        case .addPartitionsToTxn: Row("AddPartitionsToTxn", 0...3, flexibleSince: 3)
        case .addOffsetsToTxn: Row("AddOffsetsToTxn", 0...3, flexibleSince: 3)
        case .endTxn: Row("EndTxn", 0...4, flexibleSince: 3)
        case .writeTxnMarkers: Row("WriteTxnMarkers", 1...1, flexibleSince: 1)
        case .txnOffsetCommit: Row("TxnOffsetCommit", 0...4, flexibleSince: 3)
        case .describeAcls: Row("DescribeAcls", 1...3, flexibleSince: 2)
        case .createAcls: Row("CreateAcls", 1...3, flexibleSince: 2)
        case .deleteAcls: Row("DeleteAcls", 1...3, flexibleSince: 2)
        case .describeConfigs: Row("DescribeConfigs", 1...4, flexibleSince: 4)
        case .alterConfigs: Row("AlterConfigs", 0...2, flexibleSince: 2)
        case .describeLogDirs: Row("DescribeLogDirs", 1...4, flexibleSince: 2)
        case .saslAuthenticate: Row("SaslAuthenticate", 0...2, flexibleSince: 2)
        case .createPartitions: Row("CreatePartitions", 0...3, flexibleSince: 2)
        case .deleteGroups: Row("DeleteGroups", 0...2, flexibleSince: 2)
        case .incrementalAlterConfigs: Row("IncrementalAlterConfigs", 0...1, flexibleSince: 1)
        case .offsetDelete: Row("OffsetDelete", 0...0)
        case .describeCluster: Row("DescribeCluster", 0...2, flexibleSince: 0, advertised: 0...1)
        case .describeProducers: Row("DescribeProducers", 0...0, flexibleSince: 0)
        case .describeTransactions: Row("DescribeTransactions", 0...0, flexibleSince: 0)
        case .listTransactions: Row("ListTransactions", 0...1, flexibleSince: 0)
        case .consumerGroupHeartbeat: Row("ConsumerGroupHeartbeat", 0...1, flexibleSince: 0)
        case .consumerGroupDescribe: Row("ConsumerGroupDescribe", 0...1, flexibleSince: 0)
        }
    }

    private struct Row {
        let name: String
        let versions: ClosedRange<Int16>
        let flexibleSince: Int16
        let advertised: ClosedRange<Int16>?

        init(_ name: String, _ versions: ClosedRange<Int16>, flexibleSince: Int16 = .max) {
            self.init(name, versions, flexibleSince: flexibleSince, advertised: versions)
        }

        init(
            _ name: String, _ versions: ClosedRange<Int16>, flexibleSince: Int16 = .max,
            advertised: ClosedRange<Int16>?
        ) {
            self.name = name
            self.versions = versions
            self.flexibleSince = flexibleSince
            self.advertised = advertised
        }
    }
}
