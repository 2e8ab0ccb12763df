import TopicLog
import TopicProtocol

@testable import BrokerCore

/// A consumer of KIP-848: what it knows, and what it has.
final class ConsumerGroupClient {
    var id: String
    var instance: String?
    var topics: [String]?
    var pattern: String?
    var assignor: String?
    var rebalance: Int32 = 300_000
    var epoch: Int32 = 0
    var owned = PartitionSet()
    var isMember: Bool { epoch > 0 }

    init(_ id: String, topics: [String]? = ["t"], instance: String? = nil, pattern: String? = nil) {
        self.id = id
        self.topics = topics
        self.instance = instance
        self.pattern = pattern
    }

    /// What it says next: everything, as after an error. Who joins has nothing.
    func request(group: String = "g", epoch: Int32? = nil) -> ConsumerGroupHeartbeat {
        var request = ConsumerGroupHeartbeat(group: group)
        request.memberID = id
        request.memberEpoch = epoch ?? self.epoch
        request.instanceID = instance
        request.clientID = "client"
        request.rebalanceTimeoutMilliseconds = rebalance
        request.topics = topics
        request.pattern = pattern
        request.assignor = assignor
        request.owned = owned
        return request
    }

    /// Gives up what it shall not have any more, and takes what it shall have.
    func take(_ answer: ConsumerGroupHeartbeatAnswer) {
        id = answer.memberID
        epoch = answer.memberEpoch
        if let assigned = answer.assigned { owned = assigned }
    }

    /// It is no member any more.
    func drop() {
        epoch = 0
        owned = PartitionSet()
    }
}

extension GroupBench {
    func heartbeat(_ question: UInt32) -> ConsumerGroupHeartbeatAnswer? {
        if case .heartbeat(let answer) = answers[question]?.body, answers[question]?.error == ErrorCode.none {
            answer
        } else {
            nil
        }
    }

    /// A heartbeat whose answer the client follows. The error; NONE when there is none.
    @discardableResult func beat(_ client: ConsumerGroupClient) -> ErrorCode? {
        let question = ask(client.request())
        if let answer = heartbeat(question) { client.take(answer) }
        return error(question)
    }

    /// Heartbeats of all by turns, until nothing moves.
    func settle(_ clients: [ConsumerGroupClient]) {
        for _ in 0..<4 { for client in clients { beat(client) } }
    }

    func consumerGroup(_ id: String = "g") -> ConsumerGroupDescription? {
        var group = try? coordinator.describeConsumerGroup(id)
        // The order of joining is not stored.
        group?.members.sort { $0.memberID < $1.memberID }
        return group
    }

    func id(of topic: String) -> TopicUUID { coordinator.topics.groupTopic(topic)!.id }

    /// All partitions of some topics.
    func all(_ names: String...) -> PartitionSet {
        PartitionSet(
            Dictionary(
                uniqueKeysWithValues: names.map { name in (id(of: name), Set((0..<topics[name]!).map(Int32.init))) }))
    }
}
