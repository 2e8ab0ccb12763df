internal import BrokerCore
internal import KafkaProtocol
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// Offsets by time and by leader epoch.
extension KafkaDoor {
    func listOffsets(_ request: ListOffsetsRequest, _ call: KafkaCall) {
        let listing = OffsetListing(request, broker)
        doInPieces(call) { [self] in
            if listing.goOn() { return true }
            answer(call, listing.response)
            return false
        }
    }

    func offsetsForLeaderEpochs(_ request: OffsetForLeaderEpochRequest, _ call: KafkaCall) {
        var response = OffsetForLeaderEpochResponse()
        response.topics = request.topics.map { topic in
            let partitions = broker.partitions(of: topic.topic)
            var result = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult()
            result.topic = topic.topic
            result.partitions = topic.partitions.map { wanted in
                var found = OffsetForLeaderEpochResponse.EpochEndOffset()
                found.partition = wanted.partition
                guard let partitions, partitions.indices.contains(Int(wanted.partition)) else {
                    found.errorCode = .unknownTopicOrPartition
                    return found
                }
                let partition = partitions[Int(wanted.partition)]
                if let error = partition.epochError(wanted.currentLeaderEpoch) {
                    found.errorCode = error
                    return found
                }
                do throws(LogError) {
                    if let end = try partition.log.end(ofEpoch: LeaderEpoch(wanted.leaderEpoch)) {
                        found.leaderEpoch = end.epoch.rawValue
                        found.endOffset = end.offset.rawValue
                    }
                } catch {
                    found.errorCode = .kafkaStorageError
                }
                return found
            }
            return result
        }
        answer(call, response)
    }
}
