internal import BrokerCore
internal import KafkaProtocol
internal import Logging
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// Topics come, grow and go; records go.
extension KafkaDoor {
    func createTopics(_ request: CreateTopicsRequest, _ call: KafkaCall) {
        typealias Result = CreateTopicsResponse.CreatableTopicResult
        let duplicates = Self.duplicates(request.topics.map(\.name))
        gather(request.topics, as: Result.self) { [self] topic, done in
            var result = Result()
            result.name = topic.name
            let creation: TopicCreation
            do throws(BrokerError) {
                guard !duplicates.contains(topic.name) else { throw Self.duplicateName }
                creation = try self.creation(of: topic)
                try broker.check(.create(creation))
            } catch {
                result.errorCode = error.kafkaError
                result.errorMessage = error.kafkaMessage
                return done(result)
            }
            result.numPartitions = Int32(creation.partitions)
            result.replicationFactor = 1
            guard !request.validateOnly else {
                result.configs = Self.list(topicConfigs(of: creation))
                return done(result)
            }
            change(.create(creation)) { [self] outcome in
                if case .failure(let error) = outcome {
                    result.errorCode = error.kafkaError
                    result.errorMessage = error.kafkaMessage
                    (result.numPartitions, result.replicationFactor) = (-1, -1)
                } else {
                    log.info(
                        "topic created", metadata: ["topic": "\(topic.name)", "partitions": "\(creation.partitions)"])
                    result.topicId = topicID(topic.name)
                    result.configs = Self.list(topicConfigs(topic.name))
                }
                done(result)
            }
        } then: { [self] results in
            var response = CreateTopicsResponse()
            response.topics = results
            answer(call, response)
        }
    }

    private static func list(_ configs: [ConfigDescription]) -> [CreateTopicsResponse.CreatableTopicConfigs] {
        configs.map { config in
            var listed = CreateTopicsResponse.CreatableTopicConfigs()
            listed.name = config.name
            listed.value = config.value
            listed.readOnly = config.isReadOnly
            listed.configSource = Int8(config.source.rawValue)
            return listed
        }
    }

    /// As in Kafka, of what a request names twice nothing is done.
    private static func duplicates<Key: Hashable>(_ keys: [Key]) -> Set<Key> {
        var seen: Set<Key> = []
        return Set(keys.filter { !seen.insert($0).inserted })
    }

    private static var duplicateName: BrokerError { BrokerError(.invalidRequest, "Duplicate topic name.") }

    private func creation(of topic: CreateTopicsRequest.CreatableTopic) throws(BrokerError) -> TopicCreation {
        if broker.partitions(of: topic.name) != nil {
            throw BrokerError(.topicAlreadyExists, "Topic '\(topic.name)' already exists.")
        }
        var partitions = Int(topic.numPartitions)
        if topic.assignments.isEmpty {
            if partitions == -1 { partitions = options.partitionsPerTopic }
            guard partitions > 0 else {
                throw BrokerError(
                    .invalidPartitions, "Number of partitions was set to an invalid non-positive value.")
            }
            guard topic.replicationFactor == 1 || topic.replicationFactor == -1 else {
                throw BrokerError(.invalidReplicationFactor, replicationText(topic.replicationFactor))
            }
        } else {
            guard topic.numPartitions == -1, topic.replicationFactor == -1 else {
                throw BrokerError(
                    .invalidRequest,
                    "A manual partition assignment was specified, but partition count or replication factor was not "
                        + "set to -1.")
            }
            partitions = topic.assignments.count
            guard Set(topic.assignments.map(\.partitionIndex)) == Set(0..<Int32(partitions)) else {
                throw BrokerError(
                    .invalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
            }
            for assignment in topic.assignments { try check(assignment.brokerIds) }
        }
        var configs: [TopicConfig] = []
        for config in topic.configs {
            guard let value = config.value else {
                throw BrokerError(.invalidConfig, "Null value not supported for topic configs: \(config.name)")
            }
            if try KafkaTopicConfigs.isSettable(config.name, value) {
                configs.append(TopicConfig(name: config.name, value: value))
            }
        }
        return TopicCreation(topic.name, partitions: partitions, configs: configs)
    }

    private func replicationText(_ factor: Int16) -> String {
        factor <= 0
            ? "Replication factor must be larger than 0, or -1 to use the default value."
            : "Unable to replicate the partition \(factor) time(s): The target replication factor of \(factor) "
                + "cannot be reached because only 1 broker(s) are registered."
    }

    private func check(_ replicas: [Int32]) throws(BrokerError) {
        guard replicas == [options.nodeID] else {
            throw BrokerError(
                .invalidReplicaAssignment,
                "replicas \(replicas) cannot be assigned: the only broker is \(options.nodeID)")
        }
    }

    /// By name; from version 6 on also by id.
    func deleteTopics(_ request: DeleteTopicsRequest, _ call: KafkaCall) {
        typealias Result = DeleteTopicsResponse.DeletableTopicResult
        let wanted =
            call.version >= 6
            ? request.topics
            : request.topicNames.map { name in
                var topic = DeleteTopicsRequest.DeleteTopicState()
                topic.name = name
                return topic
            }
        let duplicates = Self.duplicates(wanted.compactMap { topic in topic.name ?? topicName(topic.topicId) })
        gather(wanted, as: Result.self) { [self] topic, done in
            var result = Result()
            result.name = topic.name
            result.topicId = topic.topicId
            let name = topic.name ?? topicName(topic.topicId)
            let isDuplicate = name.map(duplicates.contains) ?? false
            if let error = Self.fault(in: topic) ?? (isDuplicate ? Self.duplicateName : nil) {
                result.errorCode = error.kafkaError
                result.errorMessage = error.kafkaMessage
                return done(result)
            }
            guard let name else {
                result.errorCode = .unknownTopicId
                return done(result)
            }
            result.name = name
            if call.version >= 6 { result.topicId = topicID(name) }
            change(.delete(name)) { [self] outcome in
                if case .failure(let error) = outcome {
                    result.errorCode = error.kafkaError
                    result.errorMessage = error.kafkaMessage
                } else {
                    log.info("topic deleted", metadata: ["topic": "\(name)"])
                }
                done(result)
            }
        } then: { [self] results in
            var response = DeleteTopicsResponse()
            response.responses = results
            answer(call, response)
        }
    }

    private static func fault(in topic: DeleteTopicsRequest.DeleteTopicState) -> BrokerError? {
        switch (topic.name, topic.topicId == Uuid()) {
        case (nil, true): BrokerError(.invalidRequest, "Neither topic name nor id were specified.")
        case (.some, false): BrokerError(.invalidRequest, "You may not specify both topic name and topic id.")
        case (nil, false), (.some, true): nil
        }
    }

    func createPartitions(_ request: CreatePartitionsRequest, _ call: KafkaCall) {
        typealias Result = CreatePartitionsResponse.CreatePartitionsTopicResult
        let duplicates = Self.duplicates(request.topics.map(\.name))
        gather(request.topics, as: Result.self) { [self] topic, done in
            var result = Result()
            result.name = topic.name
            let creation = TopicCreation(name: topic.name, partitions: Int(topic.count), configs: nil)
            do throws(BrokerError) {
                guard !duplicates.contains(topic.name) else { throw Self.duplicateName }
                try checkGrowth(topic)
                try broker.check(.create(creation))
            } catch {
                result.errorCode = error.kafkaError
                result.errorMessage = error.kafkaMessage
                return done(result)
            }
            guard !request.validateOnly else { return done(result) }
            change(.create(creation)) { [self] outcome in
                if case .failure(let error) = outcome {
                    result.errorCode = error.kafkaError
                    result.errorMessage = error.kafkaMessage
                } else {
                    log.info("partitions added", metadata: ["topic": "\(topic.name)", "partitions": "\(topic.count)"])
                }
                done(result)
            }
        } then: { [self] results in
            var response = CreatePartitionsResponse()
            response.results = results
            answer(call, response)
        }
    }

    private func checkGrowth(_ topic: CreatePartitionsRequest.CreatePartitionsTopic) throws(BrokerError) {
        guard let known = broker.partitions(of: topic.name)?.count else { return }
        guard Int(topic.count) > known else {
            throw BrokerError(
                .invalidPartitions,
                Int(topic.count) == known
                    ? "Topic already has \(known) partition(s)."
                    : "The topic \(topic.name) currently has \(known) partition(s); \(topic.count) would not be an "
                        + "increase.")
        }
        guard let assignments = topic.assignments else { return }
        guard assignments.count == Int(topic.count) - known else {
            throw BrokerError(
                .invalidReplicaAssignment,
                "Attempted to add \(Int(topic.count) - known) additional partition(s), but only \(assignments.count) "
                    + "assignment(s) were specified.")
        }
        for assignment in assignments { try check(assignment.brokerIds) }
    }

    func deleteRecords(_ request: DeleteRecordsRequest, _ call: KafkaCall) {
        typealias Partition = DeleteRecordsResponse.DeleteRecordsPartitionResult
        let wanted = request.topics.flatMap { topic in topic.partitions.map { (topic: topic.name, partition: $0) } }
        gather(wanted, as: Partition.self) { [self] one, done in
            var result = Partition()
            result.partitionIndex = one.partition.partitionIndex
            result.lowWatermark = -1
            guard let partitions = broker.partitions(of: one.topic),
                partitions.indices.contains(Int(one.partition.partitionIndex))
            else {
                result.errorCode = .unknownTopicOrPartition
                return done(result)
            }
            guard one.partition.offset >= -1 else {
                result.errorCode = .offsetOutOfRange
                return done(result)
            }
            let partition = partitions[Int(one.partition.partitionIndex)]
            change(.deleteRecords(partition.address, before: one.partition.offset)) { [self] outcome in
                switch outcome {
                case .success(let start):
                    result.lowWatermark = start ?? partition.log.logStartOffset.rawValue
                    log.info(
                        "records deleted",
                        metadata: [
                            "partition": "\(one.topic)-\(result.partitionIndex)", "before": "\(result.lowWatermark)",
                        ])
                case .failure(let error): result.errorCode = error.kafkaError
                }
                done(result)
            }
        } then: { [self] results in
            var response = DeleteRecordsResponse()
            var next = results[...]
            response.topics = request.topics.map { topic in
                var result = DeleteRecordsResponse.DeleteRecordsTopicResult()
                result.name = topic.name
                result.partitions = Array(next.prefix(topic.partitions.count))
                next = next.dropFirst(topic.partitions.count)
                return result
            }
            answer(call, response)
        }
    }

    /// Does something for each of several things; `then` is called once, with the results in order.
    func gather<Item, Result>(
        _ items: [Item], as: Result.Type, _ body: (Item, @escaping (Result) -> Void) -> Void,
        then: @escaping ([Result]) -> Void
    ) {
        var results = [Result?](repeating: nil, count: items.count)
        var left = items.count
        guard left > 0 else { return then([]) }
        for (index, item) in items.enumerated() {
            body(item) { result in
                results[index] = result
                left -= 1
                if left == 0 { then(results.compactMap { $0 }) }
            }
        }
    }
}

extension BrokerError {
    /// The most that an answer says of one error, in bytes: names of clients are in it, of any length.
    fileprivate static let messageBytesMax = 500

    var kafkaError: KafkaError {
        isTransient && code == .limitReached ? .throttlingQuotaExceeded : KafkaError(code)
    }

    /// In Metadata, where clients that ask again expect another error.
    var metadataError: KafkaError { isTransient ? .leaderNotAvailable : kafkaError }

    /// The text, for an answer: a field of any length would be one that cannot be written.
    var kafkaMessage: String { description.cut(toBytes: Self.messageBytesMax) }
}

extension GroupAnswer {
    var kafkaMessage: String { text.cut(toBytes: BrokerError.messageBytesMax) }
}

extension ErrorCode {
    /// Of Kafka's doors only.
    static let invalidReplicationFactor = ErrorCode(rawValue: KafkaError.invalidReplicationFactor.rawValue)
    static let invalidReplicaAssignment = ErrorCode(rawValue: KafkaError.invalidReplicaAssignment.rawValue)
}
