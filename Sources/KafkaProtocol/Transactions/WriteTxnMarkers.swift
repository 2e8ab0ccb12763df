/// Writes the ends of transactions into partitions; a broker or an administrator asks for it.
package struct WriteTxnMarkersRequest: KafkaRequest {
    package typealias Response = WriteTxnMarkersResponse

    package var markers: [WritableTxnMarker] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("markers", &markers)
    }

    package struct WritableTxnMarker: WireStructure {
        package var producerId: Int64 = 0
        package var producerEpoch: Int16 = 0
        package var transactionResult = false
        package var topics: [WritableTxnMarkerTopic] = []
        package var coordinatorEpoch: Int32 = 0

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("producerId", &producerId)
            try c.field("producerEpoch", &producerEpoch)
            try c.field("transactionResult", &transactionResult)
            try c.field("topics", &topics)
            try c.field("coordinatorEpoch", &coordinatorEpoch)
        }
    }

    package struct WritableTxnMarkerTopic: WireStructure {
        package var name = ""
        package var partitionIndexes: [Int32] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitionIndexes", &partitionIndexes)
        }
    }
}

/// Which partitions have the markers.
package struct WriteTxnMarkersResponse: KafkaResponse {
    package static let apiKey = ApiKey.writeTxnMarkers

    package var markers: [WritableTxnMarkerResult] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("markers", &markers)
    }

    package struct WritableTxnMarkerResult: WireStructure {
        package var producerId: Int64 = 0
        package var topics: [WritableTxnMarkerTopicResult] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("producerId", &producerId)
            try c.field("topics", &topics)
        }
    }

    package struct WritableTxnMarkerTopicResult: WireStructure {
        package var name = ""
        package var partitions: [WritableTxnMarkerPartitionResult] = []

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("name", &name)
            try c.field("partitions", &partitions)
        }
    }

    package struct WritableTxnMarkerPartitionResult: WireStructure {
        package var partitionIndex: Int32 = 0
        package var errorCode = KafkaError.none

        package init() {}

        package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
            try c.field("partitionIndex", &partitionIndex)
            try c.field("errorCode", &errorCode)
        }
    }
}
