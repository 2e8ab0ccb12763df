internal import TopicProtocol

extension Request {
    /// For error messages.
    var name: String {
        switch self {
        case .createTopic(let name, _, _): "create topic \(name)"
        case .deleteTopic(let name): "delete topic \(name)"
        case .listTopics: "list topics"
        case .describeTopic(let name, _): "describe topic \(name)"
        case .allocateProducerID: "allocate a producer id"
        case .produce, .produceEager: "produce"
        case .openRing: "open a ring"
        case .subscribe(let partition, _): "subscribe to \(partition)"
        case .unsubscribe(let partition): "unsubscribe from \(partition)"
        case .ringCredit: "ring credit"
        }
    }
}
