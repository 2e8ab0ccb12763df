internal import Glibc
internal import RecordFormat

/// Kafka's `leader-epoch-checkpoint`: where each leader epoch of a partition began. For replication and for other
/// tools; written at each roll and close, not synced, and what it lacks is added when the log is scanned.
struct LeaderEpochs: Equatable {
    struct Entry: Equatable {
        let epoch: LeaderEpoch
        let start: Offset
    }

    private(set) var entries: [Entry] = []

    /// Takes note of a batch. Epochs never fall.
    mutating func add(_ epoch: LeaderEpoch, at offset: Offset) {
        guard epoch > entries.last?.epoch ?? .unassigned else { return }
        entries.append(Entry(epoch: epoch, start: offset))
    }

    /// Forgets epochs that began at an offset or above it.
    mutating func removeAll(from offset: Offset) {
        entries.removeAll { $0.start >= offset }
    }

    /// What the file says; nothing when it is missing or damaged.
    static func read(in directory: String, _ files: FileSystem) -> LeaderEpochs {
        var epochs = LeaderEpochs()
        for line in (try? CheckpointFile.leaderEpochs.read(in: directory, files)) ?? [] {
            guard let epoch = Int32(line[0]), let start = Int64(line[1]), start >= 0,
                epochs.entries.last.map({ $0.start.rawValue <= start }) ?? true
            else { break }
            epochs.add(LeaderEpoch(epoch), at: Offset(start))
        }
        return epochs
    }

    /// Writes the file if there is anything to say.
    func write(in directory: String, _ files: FileSystem) throws(LogError) {
        guard !entries.isEmpty else { return }
        let lines = entries.map { "\($0.epoch.rawValue) \($0.start)" }
        try CheckpointFile.leaderEpochs.writeUnsynced(lines, in: directory, files)
    }
}
