internal import TopicProtocol

extension Admin {
    /// A topic to be created.
    public struct NewTopic: Sendable, Hashable {
        /// Letters, digits, `.`, `_` and `-`, at most 249.
        public var name: String
        /// How many logs it is split into: 1...1024.
        public var partitions: Int
        /// Its own settings by Kafka's names, such as `retention.ms`; `flush.policy` is rdmad's.
        public var configs: [String: String]

        /// A topic with its settings.
        public init(_ name: String, partitions: Int = 1, configs: [String: String] = [:]) {
            self.name = name
            self.partitions = partitions
            self.configs = configs
        }
    }

    /// Creates a topic; durable when this returns.
    /// - Parameter configs: As in ``NewTopic/configs``.
    public func createTopic(
        _ name: String, partitions: Int = 1, configs: [String: String] = [:]
    ) async throws(ClientError) {
        if let error = await createTopics([NewTopic(name, partitions: partitions, configs: configs)])[0] { throw error }
    }

    /// Creates many topics; durable when this returns. The broker makes together what comes together: a thousand take
    /// little more time than one.
    /// - Returns: for each topic, in order, nil or why it was not created.
    public func createTopics(_ topics: [NewTopic]) async -> [ClientError?] {
        var errors = [ClientError?](repeating: nil, count: topics.count)
        for start in stride(from: 0, to: topics.count, by: Self.topicsInFlightMax) {
            await withTaskGroup(of: (Int, ClientError?).self) { group in
                for index in start..<min(start + Self.topicsInFlightMax, topics.count) {
                    group.addTask {
                        do throws(ClientError) {
                            try await self.create(topics[index])
                            return (index, nil)
                        } catch {
                            return (index, error)
                        }
                    }
                }
                for await (index, error) in group { errors[index] = error }
            }
        }
        return errors
    }

    private func create(_ topic: NewTopic) async throws(ClientError) {
        guard let count = UInt32(exactly: topic.partitions) else {
            throw ClientError(.limit, "\(topic.partitions) partitions")
        }
        try check(topic.name, topic.configs)
        let configs = topic.configs.sorted { $0.key < $1.key }.map { TopicConfig(name: $0.key, value: $0.value) }
        _ = try await link.request(.createTopic(name: topic.name, partitions: count, configs: configs))
    }

    /// Deletes a topic and all of its records.
    public func deleteTopic(_ name: String) async throws(ClientError) {
        try check(name, [:])
        _ = try await link.request(.deleteTopic(name: name))
    }

    /// Gives a topic more partitions; durable when this returns. Records of a key may then go to another one.
    /// - Parameter total: How many there shall be, more than there are.
    public func addPartitions(_ topic: String, total: Int) async throws(ClientError) {
        guard let count = UInt32(exactly: total) else { throw ClientError(.limit, "\(total) partitions") }
        try check(topic, [:])
        _ = try await link.request(.admin(.addPartitions(topic: topic, total: count)))
    }

    /// Changes some of a topic's configs, all of the changes or none; durable when this returns.
    /// - Parameters:
    ///   - set: New values by name.
    ///   - delete: Names for which the broker's values shall hold again.
    public func alterConfigs(
        _ topic: String, set: [String: String], delete: [String] = []
    ) async throws(ClientError) {
        try check(topic, set.merging(delete.map { ($0, "") }) { $1 })
        let changes =
            set.sorted { $0.key < $1.key }.map { ConfigChange(name: $0.key, value: $0.value) }
            + delete.map { ConfigChange(name: $0, value: nil) }
        _ = try await link.request(.admin(.alterConfigs(topic: topic, changes: changes)))
    }

    /// All of a topic's configs as they stand, by name.
    public func describeConfigs(_ topic: String) async throws(ClientError) -> [Config] {
        guard !topic.isEmpty else { throw ClientError(.limit, "a topic has a name") }
        try check(topic, [:])
        return try await configs(of: topic)
    }

    /// What the broker was started with.
    public func describeBrokerConfigs() async throws(ClientError) -> [Config] { try await configs(of: "") }

    private func configs(of topic: String) async throws(ClientError) -> [Config] {
        let body = try await link.request(.admin(.describeConfigs(topic: topic)))
        return try parseBody(body) { reader throws(FrameError) in
            try ConfigDescription.list(from: &reader).map { config in
                let source: Config.Source =
                    switch config.source {
                    case .topic: .topic
                    case .broker: .broker
                    default: .default
                    }
                return Config(name: config.name, value: config.value, source: source, isReadOnly: config.isReadOnly)
            }
        }
    }

    /// A setting as it stands.
    public struct Config: Sendable, Hashable {
        /// Where a value comes from.
        public enum Source: String, Sendable {
            /// The topic was given it.
            case topic
            /// The broker was started with it.
            case broker
            /// Nobody has said otherwise.
            case `default`
        }
        /// Kafka's name, where Kafka has one.
        public let name: String
        /// As an operator would write it.
        public let value: String
        /// Where it comes from.
        public let source: Source
        /// Whether only a restart of the broker can change it.
        public let isReadOnly: Bool
    }

    /// Refuses what does not fit into a frame.
    private func check(_ topic: String, _ configs: [String: String]) throws(ClientError) {
        try Links.check(topic: topic)
        for (name, value) in configs
        where [name, value].contains(where: { $0.utf8.count > FrameLimits.topicConfigBytesMax }) {
            throw ClientError(
                .limit, "topic config \(name.prefix(40)) is longer than \(FrameLimits.topicConfigBytesMax) bytes")
        }
        guard configs.count <= FrameLimits.topicConfigsMax else {
            throw ClientError(
                .limit, "\(configs.count) topic configs, at most \(FrameLimits.topicConfigsMax) are allowed")
        }
    }

    /// Requests that wait for their answers at a time.
    private static var topicsInFlightMax: Int { 256 }
}
