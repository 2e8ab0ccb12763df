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
        case .subscribe(let partition, _, _): "subscribe to \(partition)"
        case .unsubscribe(let partition): "unsubscribe from \(partition)"
        case .ringCredit: "ring credit"
        case .group(let request): request.name
        case .admin(let request): request.name
        }
    }
}

extension GroupRequest {
    var name: String {
        switch self {
        case .join(let join): "join group \(join.group)"
        case .sync(let sync): "sync with group \(sync.caller.group)"
        case .heartbeat(let caller): "heartbeat to group \(caller.group)"
        case .leave(let group, _): "leave group \(group)"
        case .commit(let caller, _): "commit offsets of group \(caller.group)"
        case .fetch(let fetch): "fetch offsets of group \(fetch.group)"
        case .list: "list groups"
        case .describe(let group): "describe group \(group)"
        case .delete(let group): "delete group \(group)"
        case .deleteOffsets(let group, _): "delete offsets of group \(group)"
        }
    }
}

extension AdminRequest {
    var name: String {
        switch self {
        case .alterConfigs(let topic, _): "alter the configs of topic \(topic)"
        case .describeConfigs(let topic):
            topic.isEmpty ? "describe the broker's configs" : "describe the configs of topic \(topic)"
        case .addPartitions(let topic, _): "add partitions to topic \(topic)"
        case .listOffsets(let partition, _, _): "list offsets of \(partition)"
        case .deleteRecords(let partition, _): "delete records of \(partition)"
        }
    }
}
