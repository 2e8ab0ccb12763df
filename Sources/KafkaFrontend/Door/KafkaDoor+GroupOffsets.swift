internal import BrokerCore
internal import KafkaProtocol
internal import TopicProtocol

// What groups have committed.
extension KafkaDoor {
    func offsetCommit(_ request: OffsetCommitRequest, _ call: KafkaCall) {
        let caller = GroupCaller(
            group: request.groupId, generation: request.generationIdOrMemberEpoch, memberID: request.memberId,
            instanceID: request.groupInstanceId.flatMap(nonEmpty))
        let byID = call.version >= 10
        let topics = request.topics.map { topic in
            TopicOffsets(
                // Of an id that nobody has: no topic has this name.
                topic: topicName(topic.name, topic.topicId, byID: byID) ?? "",
                partitions: topic.partitions.map { partition in
                    TopicOffsets.Partition(
                        partition: UInt32(bitPattern: partition.partitionIndex), offset: partition.committedOffset,
                        leaderEpoch: partition.committedLeaderEpoch, metadata: partition.committedMetadata ?? "")
                })
        }
        // It may be long, and waits for the disk.
        ask(.commit(caller, topics), call) { [self, share] answered in
            defer { withExtendedLifetime(share) {} }
            let errors = Self.errors(answered)
            var response = OffsetCommitResponse()
            var index = 0
            response.topics = zip(request.topics, topics).map { topic, named in
                var result = OffsetCommitResponse.OffsetCommitResponseTopic()
                result.name = topic.name
                result.topicId = topic.topicId
                result.partitions = topic.partitions.map { partition in
                    var committed = OffsetCommitResponse.OffsetCommitResponsePartition()
                    committed.partitionIndex = partition.partitionIndex
                    committed.errorCode = errors(index)
                    if named.topic.isEmpty, byID, committed.errorCode == .unknownTopicOrPartition {
                        committed.errorCode = .unknownTopicId
                    }
                    // Older clients do not know it here.
                    if call.version < 9, committed.errorCode == .groupIdNotFound {
                        committed.errorCode = .illegalGeneration
                    }
                    index += 1
                    return committed
                }
                return result
            }
            answer(call, response)
        }
    }

    /// The error of each partition: its own, or that of the whole request.
    static func errors(_ answered: GroupAnswer) -> (Int) -> KafkaError {
        if answered.error == .none, case .errors(let list) = answered.body {
            return { list.errors.indices.contains($0) ? KafkaError(list.errors[$0]) : .unknownServerError }
        }
        // Which clients try again.
        let error = answered.isTransient ? KafkaError.coordinatorNotAvailable : KafkaError(answered.error)
        return { _ in error }
    }

    func offsetFetch(_ request: OffsetFetchRequest, _ call: KafkaCall) {
        var wanted = request.groups.unique(by: \.groupId)
        if call.version < 8 {
            wanted = [OffsetFetchRequest.OffsetFetchRequestGroup()]
            wanted[0].groupId = request.groupId
            wanted[0].topics = request.topics
        }
        var groups = [OffsetFetchResponse.OffsetFetchResponseGroup](repeating: .init(), count: wanted.count)
        var left = wanted.count
        guard left > 0 else { return answer(call, OffsetFetchResponse()) }
        for (index, one) in wanted.enumerated() {
            offsetFetch(one, isStable: request.requireStable, call) { [self] group in
                groups[index] = group
                left -= 1
                if left == 0 { answerOffsetFetch(groups, call) }
            }
        }
    }

    private func offsetFetch(
        _ wanted: OffsetFetchRequest.OffsetFetchRequestGroup, isStable: Bool, _ call: KafkaCall,
        then: @escaping (OffsetFetchResponse.OffsetFetchResponseGroup) -> Void
    ) {
        let byID = call.version >= 10
        var group = OffsetFetchResponse.OffsetFetchResponseGroup()
        group.groupId = wanted.groupId
        if wanted.memberId != nil || wanted.memberEpoch >= 0 {
            do throws(BrokerError) {
                try broker.checkOffsetFetch(
                    wanted.groupId, memberID: wanted.memberId ?? "", memberEpoch: wanted.memberEpoch)
            } catch {
                group.errorCode = KafkaError(error.code)
                return then(group)
            }
        }
        var topics = byID ? wanted.topics?.unique(by: \.topicId) : wanted.topics?.unique(by: \.name)
        for index in topics?.indices ?? 0..<0 {
            topics![index].partitionIndexes = topics![index].partitionIndexes.unique()
        }
        if byID {
            let unknown = topics?.filter { topicName($0.topicId) == nil } ?? []
            topics = topics?.filter { topicName($0.topicId) != nil }
            group.topics = Self.list([], .unknownTopicId, unknown)
        }
        let scope: OffsetFetchScope =
            topics.map { topics in
                .partitions(
                    topics.map { topic in
                        TopicPartitions(
                            topic: topicName(topic.name, topic.topicId, byID: byID) ?? "",
                            partitions: topic.partitionIndexes.map { UInt32(bitPattern: $0) })
                    })
            } ?? .all(afterTopic: "", partition: -1)
        fetchOffsets(of: wanted.groupId, scope, [], call) { [self] found, error in
            group.errorCode = error
            var listed = Self.list(found, error, topics)
            if isStable { markPending(wanted.groupId, &listed) }
            if byID, error == .none {
                for index in listed.indices { listed[index].topicId = topicID(listed[index].name) }
            }
            group.topics += listed
            then(group)
        }
    }

    /// What a transaction may still change is not told to who wants it stable.
    private func markPending(_ group: String, _ topics: inout [OffsetFetchResponse.OffsetFetchResponseTopics]) {
        for topic in topics.indices {
            for place in topics[topic].partitions.indices {
                let index = topics[topic].partitions[place].partitionIndex
                guard
                    broker.isOffsetPending(
                        group: group, topic: topics[topic].name, partition: UInt32(bitPattern: index))
                else { continue }
                topics[topic].partitions[place] = Self.partition(
                    UInt32(bitPattern: index), -1, -1, "", .unstableOffsetCommit)
            }
        }
    }

    /// Page by page.
    private func fetchOffsets(
        of group: String, _ scope: OffsetFetchScope, _ known: [TopicOffsets], _ call: KafkaCall,
        then: @escaping ([TopicOffsets], KafkaError) -> Void
    ) {
        ask(.fetch(OffsetFetch(group: group, scope: scope)), call) { [self] answered in
            guard answered.error == .none, case .offsets(let page) = answered.body else {
                return then([], KafkaError(answered.error))
            }
            let topics = known + page.topics
            guard page.isCut, let last = page.topics.last, let end = last.partitions.last else {
                return then(topics, .none)
            }
            switch scope {
            case .all:
                fetchOffsets(
                    of: group, .all(afterTopic: last.topic, partition: Int32(bitPattern: end.partition)), topics, call,
                    then: then)
            case .partitions(let wanted):
                let count = page.topics.reduce(0) { $0 + $1.partitions.count }
                fetchOffsets(of: group, .partitions(Self.drop(count, of: wanted)), topics, call, then: then)
            }
        }
    }

    /// The partitions behind the first `count`.
    private static func drop(_ count: Int, of topics: [TopicPartitions]) -> [TopicPartitions] {
        var left = count
        return topics.compactMap { topic in
            let dropped = min(left, topic.partitions.count)
            left -= dropped
            guard dropped < topic.partitions.count else { return nil }
            return TopicPartitions(topic: topic.topic, partitions: Array(topic.partitions.dropFirst(dropped)))
        }
    }

    /// What was found; with an error, what was asked for.
    private static func list(
        _ topics: [TopicOffsets], _ error: KafkaError, _ wanted: [OffsetFetchRequest.OffsetFetchRequestTopics]?
    ) -> [OffsetFetchResponse.OffsetFetchResponseTopics] {
        if error != .none {
            return (wanted ?? []).map { topic in
                var listed = OffsetFetchResponse.OffsetFetchResponseTopics()
                listed.name = topic.name
                listed.topicId = topic.topicId
                listed.partitions = topic.partitionIndexes.map { partition(UInt32(bitPattern: $0), -1, -1, "", error) }
                return listed
            }
        }
        return topics.map { topic in
            var listed = OffsetFetchResponse.OffsetFetchResponseTopics()
            listed.name = topic.topic
            listed.partitions = topic.partitions.map {
                partition($0.partition, $0.offset, $0.leaderEpoch, $0.metadata, .none)
            }
            return listed
        }
    }

    private static func partition(
        _ index: UInt32, _ offset: Int64, _ epoch: Int32, _ metadata: String, _ error: KafkaError
    ) -> OffsetFetchResponse.OffsetFetchResponsePartitions {
        var partition = OffsetFetchResponse.OffsetFetchResponsePartitions()
        partition.partitionIndex = Int32(bitPattern: index)
        partition.committedOffset = offset
        partition.committedLeaderEpoch = epoch
        partition.metadata = metadata
        partition.errorCode = error
        return partition
    }

    private func answerOffsetFetch(_ groups: [OffsetFetchResponse.OffsetFetchResponseGroup], _ call: KafkaCall) {
        var response = OffsetFetchResponse()
        if call.version >= 8 {
            response.groups = groups
        } else {
            response.topics = groups[0].topics
            response.errorCode = groups[0].errorCode
        }
        answer(call, response)
    }

    func offsetDelete(_ request: OffsetDeleteRequest, _ call: KafkaCall) {
        let topics = request.topics.map { topic in
            TopicPartitions(
                topic: topic.name, partitions: topic.partitions.map { UInt32(bitPattern: $0.partitionIndex) })
        }
        ask(.deleteOffsets(group: request.groupId, topics), call) { [self] answered in
            var response = OffsetDeleteResponse()
            response.errorCode = KafkaError(answered.error)
            if answered.error == .none {
                let errors = Self.errors(answered)
                var index = 0
                response.topics = request.topics.map { topic in
                    var result = OffsetDeleteResponse.OffsetDeleteResponseTopic()
                    result.name = topic.name
                    result.partitions = topic.partitions.map { partition in
                        var deleted = OffsetDeleteResponse.OffsetDeleteResponsePartition()
                        deleted.partitionIndex = partition.partitionIndex
                        deleted.errorCode = errors(index)
                        index += 1
                        return deleted
                    }
                    return result
                }
            }
            answer(call, response)
        }
    }
}
