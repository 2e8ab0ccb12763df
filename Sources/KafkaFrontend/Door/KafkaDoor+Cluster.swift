internal import BrokerCore
internal import KafkaProtocol
internal import Logging
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// Brokers, topics and who leads what: there is one broker, which leads everything.
extension KafkaDoor {
    func metadata(_ request: MetadataRequest, _ call: KafkaCall) {
        guard let wanted = request.topics, !(wanted.isEmpty && call.version == 0) else {
            return answerMetadata(request, broker.topicNames.map { (nil, $0, Uuid()) }, call)
        }
        let named = wanted.unique { topic in topic.name.map(TopicKey.name) ?? .id(topic.topicId) }
        let topics = named.map { topic -> WantedTopic in
            let name = topic.name ?? topicName(topic.topicId)
            return (name == nil ? .unknownTopicId : nil, name, topic.topicId)
        }
        let mayCreate = options.createsTopics && (call.version < 4 || request.allowAutoTopicCreation)
        let missing = Set(
            topics.lazy.compactMap(\.name).filter { self.broker.partitions(of: $0) == nil })
        guard mayCreate, !missing.isEmpty else {
            return answerMetadata(request, topics, call)
        }
        // The answer waits until the topics are there, so that a client can go on at once.
        var left = missing.count
        var errors: [String: KafkaError] = [:]
        for name in missing {
            let creation = TopicCreation(name, partitions: options.partitionsPerTopic, configs: [])
            change(.create(creation)) { [self] result in
                switch result {
                case .success:
                    log.info(
                        "topic created", metadata: ["topic": "\(name)", "asked for by": "\(call.clientID.logged)"])
                case .failure(let error):
                    if error.code != .topicAlreadyExists { errors[name] = error.metadataError }
                }
                left -= 1
                guard left == 0 else { return }
                let known = topics.map { topic -> WantedTopic in
                    (topic.error ?? topic.name.flatMap { errors[$0] }, topic.name, topic.id)
                }
                answerMetadata(request, known, call)
            }
        }
    }

    private enum TopicKey: Hashable {
        case name(String)
        case id(Uuid)
    }

    /// No name: there is no topic with this id.
    private typealias WantedTopic = (error: KafkaError?, name: String?, id: Uuid)

    /// In pieces: topics may go meanwhile, and are not there any more then.
    private func answerMetadata(_ request: MetadataRequest, _ topics: [WantedTopic], _ call: KafkaCall) {
        var response = MetadataResponse()
        var broker = MetadataResponse.MetadataResponseBroker()
        broker.nodeId = options.nodeID
        broker.host = options.advertisedHost
        broker.port = options.advertisedPort
        response.brokers = [broker]
        response.clusterId = self.broker.clusterID
        response.controllerId = options.nodeID
        if request.includeClusterAuthorizedOperations {
            response.clusterAuthorizedOperations = AuthorizedOperations.cluster
        }
        response.topics.reserveCapacity(topics.count)
        var next = 0
        doInPieces(call) { [self] in
            var left = Self.pieceItems
            while next < topics.count, left > 0 {
                let found = topic(topics[next], request, call)
                next += 1
                left -= 1 + found.partitions.count
                response.topics.append(found)
            }
            guard next == topics.count else { return true }
            answer(call, response)
            return false
        }
    }

    private func topic(
        _ wanted: WantedTopic, _ request: MetadataRequest, _ call: KafkaCall
    ) -> MetadataResponse.MetadataResponseTopic {
        var topic = MetadataResponse.MetadataResponseTopic()
        let (error, known, id) = wanted
        guard let name = known else {
            topic.errorCode = error ?? .unknownTopicId
            // Names may be missing since version 12.
            topic.name = call.version >= 12 ? nil : ""
            topic.topicId = id
            return topic
        }
        topic.name = name
        topic.topicId = topicID(name)
        guard let partitions = broker.partitions(of: name) else {
            topic.errorCode =
                error ?? (TopicName.fault(in: name) == nil ? .unknownTopicOrPartition : .invalidTopicException)
            return topic
        }
        topic.isInternal = partitions[0].isInternal
        topic.partitions.reserveCapacity(partitions.count)
        for (index, known) in partitions.enumerated() {
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = Int32(index)
            partition.leaderId = options.nodeID
            partition.leaderEpoch = known.log.leaderEpoch.rawValue
            partition.replicaNodes = [options.nodeID]
            partition.isrNodes = [options.nodeID]
            topic.partitions.append(partition)
        }
        if request.includeTopicAuthorizedOperations { topic.topicAuthorizedOperations = AuthorizedOperations.topic }
        return topic
    }

    func describeCluster(_ request: DescribeClusterRequest, _ call: KafkaCall) {
        var response = DescribeClusterResponse()
        response.clusterId = broker.clusterID
        response.endpointType = request.endpointType
        guard request.endpointType == 1 else {
            response.errorCode = request.endpointType == 2 ? .mismatchedEndpointType : .unsupportedEndpointType
            response.errorMessage = "this is a broker"
            return answer(call, response)
        }
        response.controllerId = options.nodeID
        var broker = DescribeClusterResponse.DescribeClusterBroker()
        broker.brokerId = options.nodeID
        broker.host = options.advertisedHost
        broker.port = options.advertisedPort
        response.brokers = [broker]
        if request.includeClusterAuthorizedOperations {
            response.clusterAuthorizedOperations = AuthorizedOperations.cluster
        }
        answer(call, response)
    }

    /// The coordinator of every group and transactional id is this broker.
    func findCoordinator(_ request: FindCoordinatorRequest, _ call: KafkaCall) {
        var response = FindCoordinatorResponse()
        let error: KafkaError
        switch request.keyType {
        case 0, 1: error = .none
        default: error = .invalidRequest
        }
        if call.version >= 4 {
            response.coordinators = request.coordinatorKeys.map { key in
                var coordinator = FindCoordinatorResponse.Coordinator()
                coordinator.key = key
                coordinator.errorCode = error
                coordinator.nodeId = error == .none ? options.nodeID : -1
                coordinator.host = error == .none ? options.advertisedHost : ""
                coordinator.port = error == .none ? options.advertisedPort : -1
                return coordinator
            }
        } else {
            response.errorCode = error
            response.nodeId = error == .none ? options.nodeID : -1
            response.host = error == .none ? options.advertisedHost : ""
            response.port = error == .none ? options.advertisedPort : -1
        }
        answer(call, response)
    }

    func initProducerId(_ request: InitProducerIdRequest, _ call: KafkaCall) {
        var response = InitProducerIdResponse()
        response.producerEpoch = -1
        // Whoever names itself has an epoch: else it would be given the one that another has.
        guard (request.producerId == -1) == (request.producerEpoch == -1) else {
            response.errorCode = .invalidRequest
            return answer(call, response)
        }
        if let id = request.transactionalId { return initTransactionalProducer(request, id, call) }
        do throws(BrokerError) {
            response.producerId = try broker.allocateProducerID()
            response.producerEpoch = 0
        } catch {
            response.errorCode = KafkaError(error.code)
        }
        answer(call, response)
    }
}

/// What a client is told that it may do, a bit for each of Kafka's operations: all that the resource has.
enum AuthorizedOperations {
    /// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
    static let cluster: Int32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
    /// Read, write, create, delete, alter, describe, describe and alter configs.
    static let topic: Int32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11
    /// Read, delete, describe.
    static let group: Int32 = 1 << 3 | 1 << 6 | 1 << 8
}
