internal import BrokerCore
internal import KafkaProtocol
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

/// A ListOffsets request on its way through partitions and segments.
final class OffsetListing {
    private let broker: Broker
    private let request: ListOffsetsRequest
    private(set) var response = ListOffsetsResponse()
    /// What is looked at now: a topic of the request, and a partition of that.
    private var topic = 0
    private var place = 0
    private var seenTopics: Set<String> = []
    private var seenPartitions: Set<Int32> = []
    /// That partition's, where segments are to be looked at. A topic may have been made again since.
    private var going: (partition: PartitionAddress, lookup: TimeLookup)?
    /// How many segments this piece may still look at.
    private var segmentsLeft = 0

    init(_ request: ListOffsetsRequest, _ broker: Broker) {
        self.request = request
        self.broker = broker
    }

    /// Does a piece of the work. Returns whether there is more.
    func goOn() -> Bool {
        var left = KafkaDoor.pieceItems
        segmentsLeft = KafkaDoor.pieceSegments
        while topic < request.topics.count {
            let wanted = request.topics[topic]
            if place == 0, going == nil, seenTopics.insert(wanted.name).inserted {
                var result = ListOffsetsResponse.ListOffsetsTopicResponse()
                result.name = wanted.name
                response.topics.append(result)
                seenPartitions = []
            } else if place == 0, going == nil {
                place = wanted.partitions.count
            }
            while place < wanted.partitions.count {
                guard left > 0, segmentsLeft > 0 else { return true }
                left -= 1
                let one = wanted.partitions[place]
                if going != nil || seenPartitions.insert(one.partitionIndex).inserted {
                    guard let found = list(one, of: wanted.name) else { return true }
                    response.topics[response.topics.count - 1].partitions.append(found)
                }
                place += 1
            }
            (topic, place) = (topic + 1, 0)
            left -= 1
            if left <= 0 || segmentsLeft <= 0 { return topic < request.topics.count }
        }
        return false
    }

    /// Nil: there are more segments to be looked at.
    private func list(
        _ wanted: ListOffsetsRequest.ListOffsetsPartition, of topic: String
    ) -> ListOffsetsResponse.ListOffsetsPartitionResponse? {
        var found = ListOffsetsResponse.ListOffsetsPartitionResponse()
        found.partitionIndex = wanted.partitionIndex
        let before = going
        going = nil
        guard let partitions = broker.partitions(of: topic), partitions.indices.contains(Int(wanted.partitionIndex))
        else {
            found.errorCode = .unknownTopicOrPartition
            return found
        }
        let partition = partitions[Int(wanted.partitionIndex)]
        if let error = partition.epochError(wanted.currentLeaderEpoch) {
            found.errorCode = error
            return found
        }
        guard wanted.timestamp >= -3 else {
            found.errorCode = .unsupportedVersion
            return found
        }
        var lookup = before?.partition == partition.address ? before?.lookup : nil
        let looked = lookup?.segmentsLookedAt ?? 0
        defer { segmentsLeft -= (lookup?.segmentsLookedAt ?? 0) - looked }
        do throws(BrokerError) {
            guard
                let listed = try broker.listOffsets(
                    partition.address, timestamp: wanted.timestamp, isReadCommitted: request.isolationLevel == 1,
                    &lookup, segmentsMax: segmentsLeft)
            else {
                going = lookup.map { (partition.address, $0) }
                return nil
            }
            found.offset = listed.offset
            found.timestamp = listed.timestamp
            if listed.offset >= 0 { found.leaderEpoch = partition.log.leaderEpoch.rawValue }
        } catch {
            found.errorCode = KafkaError(error.code)
        }
        return found
    }
}
