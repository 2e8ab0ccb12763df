internal import BrokerCore
internal import KafkaProtocol
internal import TopicLog
internal import TopicProtocol

// Groups whose broker assigns the partitions (KIP-848).
extension KafkaDoor {
    func consumerGroupHeartbeat(_ request: ConsumerGroupHeartbeatRequest, _ call: KafkaCall) {
        // Since version 1 members choose their ids.
        if call.version >= 1, request.memberId.isEmpty {
            var response = ConsumerGroupHeartbeatResponse()
            response.errorCode = .invalidRequest
            response.errorMessage = "MemberId can't be empty."
            return answer(call, response)
        }
        var heartbeat = ConsumerGroupHeartbeat(group: request.groupId)
        heartbeat.memberID = request.memberId
        heartbeat.memberEpoch = request.memberEpoch
        heartbeat.instanceID = request.instanceId
        heartbeat.rackID = request.rackId
        heartbeat.clientID = call.clientID
        heartbeat.rebalanceTimeoutMilliseconds = request.rebalanceTimeoutMs
        heartbeat.topics = request.subscribedTopicNames
        heartbeat.pattern = request.subscribedTopicRegex
        heartbeat.assignor = request.serverAssignor
        heartbeat.owned = request.topicPartitions.map { topics in
            var owned = PartitionSet()
            for topic in topics {
                for partition in topic.partitions { owned.insert(TopicUUID(topic.topicId), partition) }
            }
            return owned
        }
        ask(heartbeat, call) { [self] answered in
            var response = ConsumerGroupHeartbeatResponse()
            response.errorCode = KafkaError(answered.error)
            response.errorMessage = nonEmpty(answered.kafkaMessage)
            if answered.error == .none, case .heartbeat(let body) = answered.body {
                response.memberId = body.memberID
                response.memberEpoch = body.memberEpoch
                response.heartbeatIntervalMs = body.heartbeatIntervalMilliseconds
                response.assignment = body.assigned.map { assigned in
                    var assignment = ConsumerGroupHeartbeatResponse.Assignment()
                    assignment.topicPartitions = assigned.sorted.map { topic, partitions in
                        var listed = ConsumerGroupHeartbeatResponse.TopicPartitions()
                        listed.topicId = Uuid(topic)
                        listed.partitions = partitions
                        return listed
                    }
                    return assignment
                }
            }
            answer(call, response)
        }
    }

    func consumerGroupDescribe(_ request: ConsumerGroupDescribeRequest, _ call: KafkaCall) {
        var response = ConsumerGroupDescribeResponse()
        response.groups = request.groupIds.unique().map { id in
            var described = ConsumerGroupDescribeResponse.DescribedGroup()
            described.groupId = id
            if request.includeAuthorizedOperations { described.authorizedOperations = AuthorizedOperations.group }
            do throws(BrokerError) {
                let group = try broker.describeConsumerGroup(id)
                described.groupState = group.state
                described.groupEpoch = group.groupEpoch
                described.assignmentEpoch = group.assignmentEpoch
                described.assignorName = group.assignor
                described.members = group.members.map(describe)
            } catch {
                described.errorCode = KafkaError(error.code)
                described.errorMessage = error.kafkaMessage
            }
            return described
        }
        answer(call, response)
    }

    private func describe(_ member: ConsumerGroupDescription.Member) -> ConsumerGroupDescribeResponse.Member {
        var described = ConsumerGroupDescribeResponse.Member()
        described.memberId = member.memberID
        described.instanceId = member.instanceID
        described.rackId = member.rackID
        described.memberEpoch = member.memberEpoch
        described.clientId = member.clientID
        described.clientHost = member.host
        described.subscribedTopicNames = member.topics
        described.subscribedTopicRegex = member.pattern
        described.assignment = assignment(member.assigned)
        described.targetAssignment = assignment(member.target)
        // 1: it speaks the consumer protocol.
        described.memberType = 1
        return described
    }

    /// Of topics that there are.
    private func assignment(_ partitions: PartitionSet) -> ConsumerGroupDescribeResponse.Assignment {
        var assignment = ConsumerGroupDescribeResponse.Assignment()
        assignment.topicPartitions = partitions.sorted.compactMap { topic, numbers in
            guard let name = broker.topicName(topic) else { return nil }
            var listed = ConsumerGroupDescribeResponse.TopicPartitions()
            listed.topicId = Uuid(topic)
            listed.topicName = name
            listed.partitions = numbers
            return listed
        }
        return assignment
    }
}
