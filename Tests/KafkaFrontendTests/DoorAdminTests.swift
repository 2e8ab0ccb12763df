import BrokerCore
import KafkaProtocol
import Testing
import TopicProtocol

@testable import KafkaFrontend

@Suite struct DoorAdminTests {
    private func topic(
        _ name: String, partitions: Int32 = 1, replication: Int16 = 1, configs: [(String, String?)] = [],
        assignments: [(Int32, [Int32])] = []
    ) -> CreateTopicsRequest.CreatableTopic {
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = (name, partitions, replication)
        topic.configs = configs.map { name, value in
            var config = CreateTopicsRequest.CreatableTopicConfig()
            (config.name, config.value) = (name, value)
            return config
        }
        topic.assignments = assignments.map { index, brokers in
            var assignment = CreateTopicsRequest.CreatableReplicaAssignment()
            (assignment.partitionIndex, assignment.brokerIds) = (index, brokers)
            return assignment
        }
        return topic
    }

    private func create(_ topics: [CreateTopicsRequest.CreatableTopic], validateOnly: Bool = false)
        -> CreateTopicsRequest
    {
        var request = CreateTopicsRequest()
        request.topics = topics
        request.validateOnly = validateOnly
        return request
    }

    @Test func createsTopics() throws {
        let bench = try DoorBench { $0.partitionsPerTopic = 4 }
        let client = bench.connect()
        let made = try bench.ask(
            client, 7,
            create([
                topic(
                    "a", partitions: -1, replication: -1,
                    configs: [("retention.ms", "5"), ("min.insync.replicas", "1")]),
                topic("b", partitions: -1, replication: -1, assignments: [(1, [1]), (0, [1])]),
            ])
        ).topics
        #expect(made.map(\.errorCode) == [.none, .none] && made.map(\.numPartitions) == [4, 2])
        #expect(made[0].configs.first { $0.name == "retention.ms" }?.value == "5")
        #expect(bench.broker.ownConfigs("a") == [TopicConfig(name: "retention.ms", value: "5")])
        #expect(bench.broker.partitions(of: "b")?.count == 2)
    }

    @Test func refusesWhatKafkaRefuses() throws {
        let bench = try DoorBench()
        try bench.createTopic("there")
        let client = bench.connect()
        let wanted = [
            topic("there"), topic("bad name"), topic("p", partitions: 0), topic("r", replication: 3),
            topic("twice"), topic("twice"), topic("c", configs: [("min.insync.replicas", "2")]),
            topic("n", configs: [("retention.ms", nil)]), topic("u", configs: [("no.such", "1")]),
            topic("m", assignments: [(0, [1])]),
            topic("s", partitions: -1, replication: -1, assignments: [(0, [5])]),
            topic("q", partitions: -1, replication: -1, assignments: [(1, [1])]),
            topic("good", configs: [("retention.ms", "7")]),
        ]
        for validateOnly in [true, false] {
            let results = try bench.ask(client, 7, create(wanted, validateOnly: validateOnly)).topics
            #expect(
                results.map(\.errorCode) == [
                    .topicAlreadyExists, .invalidTopicException, .invalidPartitions, .invalidReplicationFactor,
                    .invalidRequest, .invalidRequest, .invalidConfig, .invalidConfig, .invalidConfig, .invalidRequest,
                    .invalidReplicaAssignment, .invalidReplicaAssignment, .none,
                ])
            #expect(results.dropLast().allSatisfy { $0.errorMessage?.isEmpty == false })
            #expect(bench.broker.topicCount == (validateOnly ? 1 : 2))
            // What it would have, or has.
            let configs = results.last!.configs
            #expect(configs.contains { $0.name == "retention.ms" && $0.value == "7" && $0.configSource == 1 })
            #expect(configs.contains { $0.name == "cleanup.policy" && $0.value == "delete" && $0.configSource == 5 })
        }
    }

    @Test func deletesTopicsAndRecords() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        _ = try bench.produce(client, "t", makeBatch(records: 5))
        func deleteRecords(before offset: Int64) throws -> DeleteRecordsResponse.DeleteRecordsPartitionResult {
            var request = DeleteRecordsRequest()
            var topic = DeleteRecordsRequest.DeleteRecordsTopic()
            topic.name = "t"
            var partition = DeleteRecordsRequest.DeleteRecordsPartition()
            partition.offset = offset
            topic.partitions = [partition]
            request.topics = [topic]
            return try #require(try bench.ask(client, 2, request).topics.first?.partitions.first)
        }
        #expect(try deleteRecords(before: 3).lowWatermark == 3)
        #expect(try deleteRecords(before: 9).errorCode == .offsetOutOfRange)
        #expect(try deleteRecords(before: -1).lowWatermark == 5)
        var request = DeleteTopicsRequest()
        request.topicNames = ["t", "nosuch"]
        let deleted = try bench.ask(client, 5, request).responses
        #expect(deleted.map(\.errorCode) == [.none, .unknownTopicOrPartition])
        #expect(bench.broker.topicCount == 0)
    }

    @Test func addsPartitions() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        let client = bench.connect()
        func grow(_ name: String, _ count: Int32, _ brokers: [[Int32]]? = nil, validateOnly: Bool = false) throws
            -> KafkaError?
        {
            var request = CreatePartitionsRequest()
            request.validateOnly = validateOnly
            var topic = CreatePartitionsRequest.CreatePartitionsTopic()
            (topic.name, topic.count) = (name, count)
            topic.assignments = brokers?.map { ids in
                var assignment = CreatePartitionsRequest.CreatePartitionsAssignment()
                assignment.brokerIds = ids
                return assignment
            }
            request.topics = [topic]
            return try bench.ask(client, 3, request).results.first?.errorCode
        }
        #expect(try grow("t", 2) == .invalidPartitions && grow("t", 1) == .invalidPartitions)
        #expect(try grow("t", 3, [[2]]) == .invalidReplicaAssignment && grow("t", 3, []) == .invalidReplicaAssignment)
        #expect(try grow("nosuch", 3) == .unknownTopicOrPartition)
        #expect(try grow("t", 3, validateOnly: true) == KafkaError.none)
        #expect(bench.broker.partitions(of: "t")?.count == 2)
        #expect(try grow("t", 3, [[1]]) == KafkaError.none)
        #expect(bench.broker.partitions(of: "t")?.count == 3)
    }

    // MARK: Configs

    private func describe(_ type: Int8, _ name: String, keys: [String]? = nil) -> DescribeConfigsRequest {
        var request = DescribeConfigsRequest()
        var resource = DescribeConfigsRequest.DescribeConfigsResource()
        (resource.resourceType, resource.resourceName, resource.configurationKeys) = (type, name, keys)
        request.resources = [resource]
        request.includeSynonyms = true
        return request
    }

    @Test func describesConfigs() throws {
        let bench = try DoorBench()
        try bench.broker.perform(
            .create(.init("t", partitions: 1, configs: [TopicConfig(name: "retention.ms", value: "7")])))
        let client = bench.connect()
        let all = try #require(try bench.ask(client, 4, describe(2, "t")).results.first)
        #expect(all.configs.map(\.name) == all.configs.map(\.name).sorted() && all.configs.count > 20)
        let own = try #require(all.configs.first { $0.name == "retention.ms" })
        #expect(own.value == "7" && own.configSource == 1 && own.configType == 5 && own.synonyms.first?.source == 1)
        #expect(all.configs.first { $0.name == "compression.type" }?.value == "producer")
        #expect(all.configs.allSatisfy { $0.documentation == nil })
        var documented = describe(2, "t")
        documented.includeDocumentation = true
        let texts = try bench.ask(client, 4, documented).results.first?.configs.map(\.documentation)
        #expect(texts?.count == all.configs.count && texts?.allSatisfy { $0?.isEmpty == false } == true)
        let some = try bench.ask(client, 4, describe(2, "t", keys: ["cleanup.policy"])).results
        #expect(some[0].configs.map(\.name) == ["cleanup.policy"] && some[0].configs.map(\.configType) == [7])
        // An empty list stands for all of them.
        let whole = try bench.ask(client, 4, describe(2, "t", keys: [])).results
        #expect(whole.first?.configs.map(\.name) == all.configs.map(\.name))
        #expect(try bench.ask(client, 4, describe(2, "nosuch")).results[0].errorCode == .unknownTopicOrPartition)
        #expect(try bench.ask(client, 4, describe(4, "9")).results[0].errorCode == .invalidRequest)
        #expect(try bench.ask(client, 4, describe(4, "1")).results[0].errorCode == .none)
    }

    /// What Kafka's own clients write for "for ever".
    @Test func takesTheLargestTimes() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        let names = ["delete.retention.ms", "retention.ms", "segment.ms"]
        let wanted = topic("t", configs: names.map { ($0, "\(Int64.max)") })
        let made = try bench.ask(client, 7, create([wanted])).topics
        #expect(made.map(\.errorCode) == [.none])
        #expect(made.first?.configs.filter { names.contains($0.name) }.map(\.value) == names.map { _ in "\(Int64.max)" })
        let described = try bench.ask(client, 4, describe(2, "t", keys: names)).results
        #expect(described.first?.configs.map(\.value) == names.map { _ in "\(Int64.max)" })
        let more = topic("u", configs: [("retention.ms", "9223372036854775808")])
        #expect(try bench.ask(client, 7, create([more])).topics.map(\.errorCode) == [.invalidConfig])
    }

    @Test func altersConfigsOneByOne() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        func alter(_ configs: [(String, Int8, String?)], validateOnly: Bool = false, type: Int8 = 2, name: String = "t")
            throws -> KafkaError?
        {
            var request = IncrementalAlterConfigsRequest()
            request.validateOnly = validateOnly
            var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
            (resource.resourceType, resource.resourceName) = (type, name)
            resource.configs = configs.map { name, operation, value in
                var config = IncrementalAlterConfigsRequest.AlterableConfig()
                (config.name, config.configOperation, config.value) = (name, operation, value)
                return config
            }
            request.resources = [resource]
            return try bench.ask(client, 1, request).responses.first?.errorCode
        }
        func own() -> [String] { bench.broker.ownConfigs("t").map { "\($0.name)=\($0.value)" } }
        #expect(try alter([("retention.ms", 0, "9")], validateOnly: true) == KafkaError.none)
        #expect(own().isEmpty)
        #expect(try alter([("retention.ms", 0, "9"), ("cleanup.policy", 2, "compact")]) == KafkaError.none)
        #expect(own() == ["cleanup.policy=delete,compact", "retention.ms=9"])
        #expect(try alter([("cleanup.policy", 3, "delete"), ("retention.ms", 1, nil)]) == KafkaError.none)
        #expect(own() == ["cleanup.policy=compact"])
        // What holds anyway may be said; anything else would be a lie.
        #expect(try alter([("message.timestamp.type", 0, "CreateTime")]) == KafkaError.none)
        #expect(try alter([("message.timestamp.type", 0, "LogAppendTime")]) == .invalidConfig)
        #expect(try alter([("retention.ms", 2, "1")]) == .invalidConfig)
        #expect(try alter([("retention.ms", 0, "x")]) == .invalidConfig)
        #expect(try alter([("retention.ms", 0, "1"), ("retention.ms", 0, "2")]) == .invalidRequest)
        #expect(try alter([("log.retention.ms", 0, "1")], type: 4, name: "1") == .invalidRequest)
        #expect(try alter([("retention.ms", 0, "1")], name: "nosuch") == .unknownTopicOrPartition)
        #expect(try alter([("cleanup.policy", 2, "delete")], name: "nosuch") == .unknownTopicOrPartition)
        #expect(try alter([("listeners", 2, "x")]) == .invalidConfig)
        #expect(try alter([("leader.replication.throttled.replicas", 3, "1:1")]) == KafkaError.none)
        // Only what is deleted has no value.
        for operation in [0, 2, 3] as [Int8] {
            for name in ["cleanup.policy", "message.timestamp.type", "retention.ms"] {
                #expect(try alter([("segment.ms", 0, "5"), (name, operation, nil)]) == .invalidRequest)
            }
        }
        #expect(own() == ["cleanup.policy=compact"])
    }

    /// What is not named goes.
    @Test func altersAllConfigsAtOnce() throws {
        let bench = try DoorBench()
        try bench.broker.perform(
            .create(.init("t", partitions: 1, configs: [TopicConfig(name: "retention.ms", value: "7")])))
        var request = AlterConfigsRequest()
        var resource = AlterConfigsRequest.AlterConfigsResource()
        (resource.resourceType, resource.resourceName) = (2, "t")
        var config = AlterConfigsRequest.AlterableConfig()
        (config.name, config.value) = ("segment.ms", "1000")
        resource.configs = [config]
        request.resources = [resource]
        #expect(try bench.ask(bench.connect(), 2, request).responses.map(\.errorCode) == [.none])
        #expect(bench.broker.ownConfigs("t") == [TopicConfig(name: "segment.ms", value: "1000")])
        // A name without a value is no way to say that.
        (config.name, config.value) = ("retention.ms", nil)
        resource.configs.append(config)
        request.resources = [resource]
        let refused = try bench.ask(bench.connect(), 2, request).responses
        #expect(refused.map(\.errorCode) == [.invalidRequest])
        #expect(refused.first?.errorMessage?.contains("Null value not supported for : retention.ms") == true)
        #expect(bench.broker.ownConfigs("t") == [TopicConfig(name: "segment.ms", value: "1000")])
    }

    @Test func describesLogDirectories() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        let client = bench.connect()
        let batch = makeBatch()
        _ = try bench.produce(client, "t", batch, partition: 1)
        let all = try #require(try bench.ask(client, 4, DescribeLogDirsRequest()).results.first)
        #expect(all.logDir == bench.path + "/data" && all.totalBytes > 0 && all.usableBytes > 0)
        #expect(all.topics.map(\.name) == ["t"])
        #expect(all.topics[0].partitions.map(\.partitionSize) == [0, Int64(batch.count)])
    }

    @Test func hasNoAuthorizer() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        #expect(try bench.ask(client, 3, DescribeAclsRequest()).errorCode == .securityDisabled)
        var create = CreateAclsRequest()
        create.creations = [.init()]
        #expect(try bench.ask(client, 3, create).results.map(\.errorCode) == [.securityDisabled])
        var delete = DeleteAclsRequest()
        delete.filters = [.init()]
        #expect(try bench.ask(client, 3, delete).filterResults.map(\.errorCode) == [.securityDisabled])
    }
}
