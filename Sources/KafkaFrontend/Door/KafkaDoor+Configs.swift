internal import BrokerCore
internal import KafkaProtocol
internal import Logging
internal import TopicLog
internal import TopicProtocol

// Configs of topics, and the broker's, which nobody changes while it runs.
extension KafkaDoor {
    /// Kinds of resources by Kafka's numbers.
    enum Resource {
        static let topic: Int8 = 2
        static let broker: Int8 = 4
    }

    /// A topic's configs, Kafka's other ones among them.
    func topicConfigs(_ topic: String) -> [ConfigDescription] {
        Self.withFixed((try? broker.describeConfigs(topic)) ?? [])
    }

    /// Those of a topic that would be made.
    func topicConfigs(of creation: TopicCreation) -> [ConfigDescription] {
        Self.withFixed((try? broker.describeConfigs(of: creation)) ?? [])
    }

    private static func withFixed(_ own: [ConfigDescription]) -> [ConfigDescription] {
        let fixed = KafkaTopicConfigs.fixed.map {
            ConfigDescription(name: $0.name, value: $0.values[0], source: .builtIn, isReadOnly: false)
        }
        return (own + fixed).sorted { $0.name < $1.name }
    }

    /// In pieces: topics may go meanwhile, and are not there any more then.
    func describeConfigs(_ request: DescribeConfigsRequest, _ call: KafkaCall) {
        let resources = request.resources.unique { [String($0.resourceType), $0.resourceName] }
        let defaults = request.includeSynonyms ? broker.settings : nil
        var response = DescribeConfigsResponse()
        response.results.reserveCapacity(resources.count)
        var next = 0
        doInPieces(call) { [self] in
            var left = Self.pieceItems
            while next < resources.count, left > 0 {
                let found = describe(resources[next], request, defaults)
                next += 1
                left -= 1 + found.configs.count
                response.results.append(found)
            }
            guard next == resources.count else { return true }
            answer(call, response)
            return false
        }
    }

    /// - Parameter defaults: Where synonyms are found; nil where nobody asks for them.
    private func describe(
        _ resource: DescribeConfigsRequest.DescribeConfigsResource, _ request: DescribeConfigsRequest,
        _ defaults: [ConfigDescription]?
    ) -> DescribeConfigsResponse.DescribeConfigsResult {
        var result = DescribeConfigsResponse.DescribeConfigsResult()
        result.resourceType = resource.resourceType
        result.resourceName = resource.resourceName
        do throws(BrokerError) {
            var configs = try describe(resource.resourceType, resource.resourceName)
            // An empty list stands for all, as none does.
            if let keys = resource.configurationKeys.map({ Set($0) }), !keys.isEmpty {
                configs.removeAll { !keys.contains($0.name) }
            }
            result.configs = configs.map { config in
                var listed = list(config)
                if request.includeDocumentation, resource.resourceType == Resource.topic {
                    listed.documentation = KafkaTopicConfigs.documentation[config.name]
                }
                if let defaults { listed.synonyms = synonyms(of: config, resource.resourceType, defaults) }
                return listed
            }
        } catch {
            result.errorCode = error.kafkaError
            result.errorMessage = error.kafkaMessage
        }
        return result
    }

    private func describe(_ type: Int8, _ name: String) throws(BrokerError) -> [ConfigDescription] {
        switch type {
        case Resource.topic:
            guard broker.partitions(of: name) != nil else { throw Self.unknown(name) }
            return topicConfigs(name)
        case Resource.broker:
            try checkBroker(name)
            return broker.settings
        default: throw BrokerError(.invalidRequest, "Unsupported resource type: \(type)")
        }
    }

    private func checkBroker(_ name: String) throws(BrokerError) {
        guard name.isEmpty || name == "\(options.nodeID)" else {
            throw BrokerError(
                .invalidRequest,
                "Unexpected broker id, expected \(options.nodeID) or empty string, but received \(name)")
        }
    }

    private func list(_ config: ConfigDescription) -> DescribeConfigsResponse.DescribeConfigsResourceResult {
        var listed = DescribeConfigsResponse.DescribeConfigsResourceResult()
        listed.name = config.name
        listed.value = config.value
        listed.readOnly = config.isReadOnly
        listed.configSource = Int8(config.source.rawValue)
        listed.configType = KafkaTopicConfigs.kind(of: config.name, value: config.value).rawValue
        return listed
    }

    /// Where else the value could come from, the nearest first.
    private func synonyms(
        of config: ConfigDescription, _ type: Int8, _ settings: [ConfigDescription]
    ) -> [DescribeConfigsResponse.DescribeConfigsSynonym] {
        func synonym(_ config: ConfigDescription) -> DescribeConfigsResponse.DescribeConfigsSynonym {
            var synonym = DescribeConfigsResponse.DescribeConfigsSynonym()
            synonym.name = config.name
            synonym.value = config.value
            synonym.source = Int8(config.source.rawValue)
            return synonym
        }
        var list = [synonym(config)]
        if type == Resource.topic, config.source == .topic {
            let name = KafkaTopicConfigs.brokerName(of: config.name)
            list += settings.filter { $0.name == name }.map(synonym)
        }
        return list
    }

    // MARK: Altering

    /// What is not named goes back to the broker's value.
    func alterConfigs(_ request: AlterConfigsRequest, _ call: KafkaCall) {
        typealias Result = AlterConfigsResponse.AlterConfigsResourceResponse
        gather(request.resources, as: Result.self) { [self] resource, done in
            let named = Set(resource.configs.map(\.name))
            let dropped = broker.ownConfigs(resource.resourceName).filter { !named.contains($0.name) }
            alter(
                resource.resourceType, resource.resourceName, validateOnly: request.validateOnly,
                { () throws(BrokerError) in
                    try Self.refuseNulls(resource.configs.filter { $0.value == nil }.map(\.name))
                    return try changes(resource.configs.map { ($0.name, $0.value) })
                        + dropped.map { ConfigChange(name: $0.name, value: nil) }
                },
                then: { error in
                    var result = Result()
                    result.resourceType = resource.resourceType
                    result.resourceName = resource.resourceName
                    result.errorCode = error?.kafkaError ?? .none
                    result.errorMessage = error?.kafkaMessage
                    done(result)
                })
        } then: { [self] results in
            var response = AlterConfigsResponse()
            response.responses = results
            answer(call, response)
        }
    }

    func incrementalAlterConfigs(_ request: IncrementalAlterConfigsRequest, _ call: KafkaCall) {
        typealias Result = IncrementalAlterConfigsResponse.AlterConfigsResourceResponse
        gather(request.resources, as: Result.self) { [self] resource, done in
            alter(
                resource.resourceType, resource.resourceName, validateOnly: request.validateOnly,
                { () throws(BrokerError) in
                    guard Set(resource.configs.map(\.name)).count == resource.configs.count else {
                        throw BrokerError(.invalidRequest, "Error due to duplicate config keys")
                    }
                    let nulls = resource.configs.filter { $0.configOperation != 1 && $0.value == nil }
                    try Self.refuseNulls(nulls.map(\.name))
                    var wanted: [(String, String?)] = []
                    for config in resource.configs {
                        wanted.append((config.name, try value(after: config, resource.resourceName)))
                    }
                    return try changes(wanted)
                },
                then: { error in
                    var result = Result()
                    result.resourceType = resource.resourceType
                    result.resourceName = resource.resourceName
                    result.errorCode = error?.kafkaError ?? .none
                    result.errorMessage = error?.kafkaMessage
                    done(result)
                })
        } then: { [self] results in
            var response = IncrementalAlterConfigsResponse()
            response.responses = results
            answer(call, response)
        }
    }

    private static func refuseNulls(_ names: [String]) throws(BrokerError) {
        guard !names.isEmpty else { return }
        throw BrokerError(.invalidRequest, "Null value not supported for : \(names.joined(separator: ", "))")
    }

    /// A config's value after SET, DELETE, APPEND or SUBTRACT; nil for the broker's.
    private func value(
        after config: IncrementalAlterConfigsRequest.AlterableConfig, _ topic: String
    ) throws(BrokerError) -> String? {
        switch config.configOperation {
        case 0: return config.value
        case 1: return nil
        case 2, 3:
            guard let known = try list(config.name, of: topic) else {
                throw BrokerError(
                    .invalidConfig, "Config value append is not allowed for config key: \(config.name)")
            }
            var list = known.split(separator: ",").map(String.init)
            let named = (config.value ?? "").split(separator: ",").map(String.init)
            if config.configOperation == 2 {
                list += named.filter { !list.contains($0) }
            } else {
                list.removeAll { named.contains($0) }
            }
            return list.joined(separator: ",")
        default: throw BrokerError(.invalidRequest, "Unknown config operation \(config.configOperation)")
        }
    }

    /// What a topic's config stands at that is a list; nil for one that is none.
    private func list(_ name: String, of topic: String) throws(BrokerError) -> String? {
        guard broker.partitions(of: topic) != nil else { throw Self.unknown(topic) }
        guard KafkaTopicConfigs.kind(of: name, value: "") == .list else { return nil }
        let fixed = KafkaTopicConfigs.fixed.first { $0.name == name }
        return fixed?.values[0] ?? broker.topicConfig(name, of: topic)
    }

    private static func unknown(_ topic: String) -> BrokerError {
        BrokerError(.unknownTopicOrPartition, "there is no topic named \(topic)")
    }

    /// What of it a log takes; the rest must be as it is anyway.
    private func changes(_ wanted: [(name: String, value: String?)]) throws(BrokerError) -> [ConfigChange] {
        var changes: [ConfigChange] = []
        for (name, value) in wanted where try KafkaTopicConfigs.isSettable(name, value) {
            changes.append(ConfigChange(name: name, value: value))
        }
        return changes
    }

    private func alter(
        _ type: Int8, _ name: String, validateOnly: Bool, _ changes: () throws(BrokerError) -> [ConfigChange],
        then: @escaping (BrokerError?) -> Void
    ) {
        let wanted: [ConfigChange]
        do throws(BrokerError) {
            switch type {
            case Resource.topic: wanted = try changes()
            case Resource.broker:
                try checkBroker(name)
                throw BrokerError(.invalidRequest, "the broker's configs cannot be changed while it runs")
            default: throw BrokerError(.invalidRequest, "Unsupported resource type: \(type)")
            }
            try broker.check(.alter(name, wanted))
        } catch {
            return then(error)
        }
        guard !validateOnly, !wanted.isEmpty else { return then(nil) }
        let list = wanted.map { change in change.value.map { "\(change.name)=\($0)" } ?? "\(change.name) deleted" }
        change(.alter(name, wanted)) { [self] outcome in
            if case .failure(let error) = outcome { return then(error) }
            log.info(
                "topic altered", metadata: ["topic": "\(name)", "configs": "\(list.joined(separator: " ").logged)"])
            then(nil)
        }
    }
}
