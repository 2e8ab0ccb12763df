internal import BrokerCore
internal import KafkaProtocol
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// Offsets by time and by leader epoch.
extension KafkaDoor {
    func listOffsets(_ request: ListOffsetsRequest, _ call: KafkaCall) {
        var response = ListOffsetsResponse()
        response.topics = request.topics.unique(by: \.name).map { topic in
            let partitions = broker.partitions(of: topic.name)
            var result = ListOffsetsResponse.ListOffsetsTopicResponse()
            result.name = topic.name
            result.partitions = topic.partitions.unique(by: \.partitionIndex).map { wanted in
                var found = ListOffsetsResponse.ListOffsetsPartitionResponse()
                found.partitionIndex = wanted.partitionIndex
                guard let partitions, partitions.indices.contains(Int(wanted.partitionIndex)) else {
                    found.errorCode = .unknownTopicOrPartition
                    return found
                }
                list(
                    partitions[Int(wanted.partitionIndex)], wanted, isReadCommitted: request.isolationLevel == 1, &found
                )
                return found
            }
            return result
        }
        answer(call, response)
    }

    private func list(
        _ partition: Partition, _ wanted: ListOffsetsRequest.ListOffsetsPartition, isReadCommitted: Bool,
        _ found: inout ListOffsetsResponse.ListOffsetsPartitionResponse
    ) {
        if let error = partition.epochError(wanted.currentLeaderEpoch) {
            found.errorCode = error
            return
        }
        guard wanted.timestamp >= -3 else {
            found.errorCode = .unsupportedVersion
            return
        }
        do throws(BrokerError) {
            let listed = try broker.listOffsets(
                partition.address, timestamp: wanted.timestamp, isReadCommitted: isReadCommitted)
            found.offset = listed.offset
            found.timestamp = listed.timestamp
            if listed.offset >= 0 { found.leaderEpoch = partition.log.leaderEpoch.rawValue }
        } catch {
            found.errorCode = KafkaError(error.code)
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
