/// What opening a data directory found: for the log line a broker writes at start.
package struct RecoveryReport: Sendable, CustomStringConvertible {
    /// One partition's share.
    package struct Entry: Sendable {
        /// The topic's name.
        package let topic: String
        /// The partition's index.
        package let partition: Int
        /// What its `open` found and did.
        package let recovery: PartitionRecovery
        /// The corrupt range, or nil.
        package let fence: LogFence?
    }

    /// Topics open now.
    package internal(set) var topicCount = 0
    /// Every partition, in the order of topics and indexes.
    package internal(set) var partitions: [Entry] = []
    /// Directories of deleted topics, removed now because a stop had come in between.
    package internal(set) var removedDirectories: [String] = []
    /// Partition directories that no topic claims and that hold no data: creates that were cut. Left alone.
    package internal(set) var orphans: [String] = []

    /// Configs of topics that were stored with less than they can be now.
    package internal(set) var raisedConfigs: [(topic: String, name: String, stored: String, value: String)] = []

    /// Offsets that hold records, or did, in all partitions.
    package var recordCount: Int64 { partitions.reduce(0) { $0 + $1.recovery.records } }
    /// Bytes cut from logs' ends, kept in `.torn` files.
    package var tornBytes: Int64 { partitions.reduce(0) { $0 + $1.recovery.tornBytes } }
    /// The partitions that cannot be read to their end.
    package var fences: [Entry] { partitions.filter { $0.fence != nil } }

    mutating func add(_ topic: String, _ logs: [PartitionLog]) {
        for (index, log) in logs.enumerated() {
            partitions.append(.init(topic: topic, partition: index, recovery: log.recovery, fence: log.fence))
        }
    }

    package var description: String {
        var text = "\(topicCount) topics, \(partitions.count) partitions, \(recordCount) records"
        if tornBytes > 0 { text += ", \(tornBytes) torn bytes cut (kept in .torn files)" }
        if !removedDirectories.isEmpty { text += ", \(removedDirectories.count) deleted directories removed" }
        if !orphans.isEmpty { text += ", unclaimed directories: \(orphans.joined(separator: " "))" }
        for entry in fences { text += "; \(entry.topic)-\(entry.partition): \(entry.fence!)" }
        return text
    }
}
