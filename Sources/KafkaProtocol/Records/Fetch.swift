/// Reads record batches, and waits a while when there are too few.
package struct FetchRequest: KafkaRequest {
    package typealias Response = FetchResponse

    package var clusterId: String?
    package var replicaId: Int32 = -1
    package var replicaState = ReplicaState()
    package var maxWaitMs: Int32 = 0
    package var minBytes: Int32 = 0
    package var maxBytes: Int32 = .max
    package var isolationLevel: Int8 = 0
    package var sessionId: Int32 = 0
    package var sessionEpoch: Int32 = -1
    package var topics: [FetchTopic] = []
    package var forgottenTopicsData: [ForgottenTopic] = []
    package var rackId = ""

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("replicaId", &replicaId, until: 14)
        try c.field("maxWaitMs", &maxWaitMs)
        try c.field("minBytes", &minBytes)
        try c.field("maxBytes", &maxBytes)
        try c.field("isolationLevel", &isolationLevel)
        try c.field("sessionId", &sessionId, since: 7)
        try c.field("sessionEpoch", &sessionEpoch, since: 7)
        try c.field("topics", &topics)
        try c.field("forgottenTopicsData", &forgottenTopicsData, since: 7)
        try c.field("rackId", &rackId, since: 11)
    }

    package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.tagged(0, "clusterId", &clusterId, since: 12)
        try c.tagged(1, "replicaState", &replicaState, since: 15)
    }

    package struct ReplicaState: WireStructure, Equatable {
        package var replicaId: Int32 = -1
        package var replicaEpoch: Int64 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("replicaId", &replicaId)
            try c.field("replicaEpoch", &replicaEpoch)
        }
    }

    package struct FetchTopic: WireStructure {
        package var topic = ""
        package var topicId = Uuid()
        package var partitions: [FetchPartition] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic, until: 12)
            try c.field("topicId", &topicId, since: 13)
            try c.field("partitions", &partitions)
        }
    }

    package struct FetchPartition: WireStructure {
        package var partition: Int32 = 0
        package var currentLeaderEpoch: Int32 = -1
        package var fetchOffset: Int64 = 0
        package var lastFetchedEpoch: Int32 = -1
        package var logStartOffset: Int64 = -1
        package var partitionMaxBytes: Int32 = 0
        package var replicaDirectoryId = Uuid()
        package var highWatermark: Int64 = .max

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partition", &partition)
            try c.field("currentLeaderEpoch", &currentLeaderEpoch, since: 9)
            try c.field("fetchOffset", &fetchOffset)
            try c.field("lastFetchedEpoch", &lastFetchedEpoch, since: 12)
            try c.field("logStartOffset", &logStartOffset, since: 5)
            try c.field("partitionMaxBytes", &partitionMaxBytes)
        }

        package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.tagged(0, "replicaDirectoryId", &replicaDirectoryId, since: 17)
            try c.tagged(1, "highWatermark", &highWatermark, default: .max, since: 18)
        }
    }

    package struct ForgottenTopic: WireStructure {
        package var topic = ""
        package var topicId = Uuid()
        package var partitions: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic, until: 12)
            try c.field("topicId", &topicId, since: 13)
            try c.field("partitions", &partitions)
        }
    }
}

/// Batches from the offsets on that were asked for: whole ones, of which the first may begin earlier.
package struct FetchResponse: KafkaResponse {
    package static let apiKey = ApiKey.fetch

    package var throttleTimeMs: Int32 = 0
    package var errorCode = KafkaError.none
    package var sessionId: Int32 = 0
    package var responses: [FetchableTopicResponse] = []
    package var nodeEndpoints: [NodeEndpoint] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("throttleTimeMs", &throttleTimeMs)
        try c.field("errorCode", &errorCode, since: 7)
        try c.field("sessionId", &sessionId, since: 7)
        try c.field("responses", &responses)
    }

    package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.tagged(0, "nodeEndpoints", &nodeEndpoints, since: 16)
    }

    package struct FetchableTopicResponse: WireStructure {
        package var topic = ""
        package var topicId = Uuid()
        package var partitions: [PartitionData] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("topic", &topic, until: 12)
            try c.field("topicId", &topicId, since: 13)
            try c.field("partitions", &partitions)
        }
    }

    package struct PartitionData: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none
        package var highWatermark: Int64 = 0
        package var lastStableOffset: Int64 = -1
        package var logStartOffset: Int64 = -1
        package var divergingEpoch = EpochEndOffset()
        package var currentLeader = LeaderIdAndEpoch()
        package var snapshotId = SnapshotId()
        package var abortedTransactions: [AbortedTransaction]?
        package var preferredReadReplica: Int32 = -1
        package var records: Records?

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
            try c.field("highWatermark", &highWatermark)
            try c.field("lastStableOffset", &lastStableOffset)
            try c.field("logStartOffset", &logStartOffset, since: 5)
            try c.field("abortedTransactions", &abortedTransactions)
            try c.field("preferredReadReplica", &preferredReadReplica, since: 11)
            try c.field("records", &records)
        }

        package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.tagged(0, "divergingEpoch", &divergingEpoch, since: 12)
            try c.tagged(1, "currentLeader", &currentLeader, since: 12)
            try c.tagged(2, "snapshotId", &snapshotId, since: 12)
        }
    }

    package struct EpochEndOffset: WireStructure, Equatable {
        package var epoch: Int32 = -1
        package var endOffset: Int64 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("epoch", &epoch)
            try c.field("endOffset", &endOffset)
        }
    }

    package struct SnapshotId: WireStructure, Equatable {
        package var endOffset: Int64 = -1
        package var epoch: Int32 = -1

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("endOffset", &endOffset)
            try c.field("epoch", &epoch)
        }
    }

    package struct AbortedTransaction: WireStructure {
        package var producerId: Int64 = 0
        package var firstOffset: Int64 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("producerId", &producerId)
            try c.field("firstOffset", &firstOffset)
        }
    }
}
