internal import BrokerCore
internal import KafkaProtocol
internal import TopicLog

// Newer versions of requests name topics by their ids.
extension KafkaDoor {
    /// The topic with an id; nil when there is none.
    func topicName(_ id: Uuid) -> String? { broker.topicName(TopicUUID(id)) }

    /// A topic's id; zero when there is no such topic.
    func topicID(_ name: String) -> Uuid { broker.uuid(of: name).map(Uuid.init) ?? Uuid() }

    /// The topic that a part of a request means: by id where the version has one.
    func topicName(_ name: String, _ id: Uuid, byID: Bool) -> String? { byID ? topicName(id) : name }
}

extension TopicUUID {
    init(_ id: Uuid) { self.init(high: id.high, low: id.low) }
}

extension Uuid {
    init(_ id: TopicUUID) { self.init(high: id.high, low: id.low) }
}
