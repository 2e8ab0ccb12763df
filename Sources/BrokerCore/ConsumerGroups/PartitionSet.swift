package import TopicLog

/// Partitions by topic. A topic without any is not there.
package struct PartitionSet: Equatable, Sendable {
    package private(set) var topics: [TopicUUID: Set<Int32>] = [:]

    package init() {}

    package init(_ topics: [TopicUUID: Set<Int32>]) { self.topics = topics.filter { !$0.value.isEmpty } }

    package var isEmpty: Bool { topics.isEmpty }
    package var count: Int { topics.values.reduce(0) { $0 + $1.count } }

    package func contains(_ topic: TopicUUID, _ partition: Int32) -> Bool {
        topics[topic]?.contains(partition) ?? false
    }

    package mutating func insert(_ topic: TopicUUID, _ partition: Int32) {
        topics[topic, default: []].insert(partition)
    }

    mutating func formUnion(_ other: PartitionSet) { topics.merge(other.topics) { $0.union($1) } }

    func filter(_ isIncluded: (TopicUUID, Int32) -> Bool) -> PartitionSet {
        PartitionSet(
            Dictionary(uniqueKeysWithValues: topics.map { id, all in (id, all.filter { isIncluded(id, $0) }) }))
    }

    func intersection(_ other: PartitionSet) -> PartitionSet { filter(other.contains) }

    func subtracting(_ other: PartitionSet) -> PartitionSet { filter { !other.contains($0, $1) } }

    func isDisjoint(with other: PartitionSet) -> Bool {
        topics.allSatisfy { id, all in other.topics[id].map(all.isDisjoint) ?? true }
    }

    func isSubset(of other: PartitionSet) -> Bool {
        topics.allSatisfy { id, all in other.topics[id].map(all.isSubset) ?? false }
    }

    /// In order of topics and numbers: what is stored and sent must not depend on how a dictionary is laid out.
    package var sorted: [(topic: TopicUUID, partitions: [Int32])] {
        topics.sorted { $0.key < $1.key }.map { ($0.key, $0.value.sorted()) }
    }

    /// What it takes in memory, roughly.
    var byteCount: Int { topics.values.reduce(0) { $0 + 64 + 8 * $1.count } }
}
