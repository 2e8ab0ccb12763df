import TopicLog

@testable import BrokerCore

/// Topics as groups see them, without a broker.
final class TestTopics: GroupTopics {
    /// By name.
    var partitions: [String: Int] { didSet { change() } }
    private(set) var topicsVersion: UInt64 = 0
    private var ids: [String: TopicUUID] = [:]
    private var lastID: UInt64 = 0

    init(_ partitions: [String: Int] = ["t": 16]) {
        self.partitions = partitions
        change()
    }

    private func change() {
        topicsVersion += 1
        ids = ids.filter { partitions[$0.key] != nil }
        for name in partitions.keys.sorted() where ids[name] == nil {
            lastID += 1
            ids[name] = TopicUUID(high: 7, low: lastID)
        }
    }

    /// How often one was asked for.
    private(set) var lookUps = 0

    func groupTopic(_ name: String) -> (id: TopicUUID, partitions: Int)? {
        lookUps += 1
        return partitions[name].map { (ids[name]!, $0) }
    }

    func topicName(_ id: TopicUUID) -> String? { ids.first { $0.value == id }?.key }

    /// How often all names were asked for.
    private(set) var listings = 0

    var patternTopics: [String] {
        listings += 1
        return Array(partitions.keys)
    }
}
