internal import RecordFormat
internal import Synchronization

/// How far each partition was durable at a moment, for another thread to store.
package struct RecoveryPoints: Sendable {
    /// By topic, in no order, and partition.
    let points: [(topic: String, offsets: [Offset])]
    let path: String
    let files: FileSystem
    let gate: Gate
    /// Counts on with each that the owner of the directory takes.
    let number: UInt64

    /// One write at a time, and never older ones than are stored.
    final class Gate: Sendable {
        /// The number of those in the file. Held for a write, so for a sync.
        let stored = Mutex<UInt64>(0)
        /// Those with a lower number are wrong: they may name a topic that is gone. Whoever says so waits for nobody.
        let oldest = Atomic<UInt64>(0)
    }

    /// Stores them durably, unless newer ones are, or they are wrong by now. On any thread.
    package func write() throws(LogError) {
        try gate.stored.withLock { stored throws(LogError) in
            guard number > stored, number >= gate.oldest.load(ordering: .acquiring) else { return }
            try store()
            stored = number
        }
    }

    private func store() throws(LogError) {
        let lines = points.sorted { $0.topic < $1.topic }.flatMap { topic, offsets in
            offsets.enumerated().map { "\(topic) \($0) \($1)" }
        }
        try CheckpointFile.recoveryPoints.write(lines, in: path, files)
    }
}
