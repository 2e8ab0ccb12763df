internal import TopicLog

/// What groups ask about topics.
protocol GroupTopics: AnyObject {
    /// Another one whenever topics or partitions come or go.
    var topicsVersion: UInt64 { get }
    /// How many partitions a topic has, and its id; nil when there is no such topic.
    func groupTopic(_ name: String) -> (id: TopicUUID, partitions: Int)?
    /// The name of a topic with this id; nil when there is none.
    func topicName(_ id: TopicUUID) -> String?
    /// All that clients may subscribe to by a pattern.
    var patternTopics: [String] { get }
}

extension Broker: GroupTopics {
    func groupTopic(_ name: String) -> (id: TopicUUID, partitions: Int)? {
        guard let partitions = topics[name], let id = directory.id(topic: name) else { return nil }
        return (id, partitions.count)
    }

    var patternTopics: [String] { topics.keys.filter { !Self.isInternal($0) } }
}
