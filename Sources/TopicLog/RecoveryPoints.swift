internal import RecordFormat
internal import Synchronization

/// How far each partition was durable at a moment, for another thread to store.
package struct RecoveryPoints: Sendable {
    /// By topic, in no order, and partition.
    let points: [(topic: String, offsets: [Offset])]
    let path: String
    let files: FileSystem
    let gate: Gate
    let generation: UInt64

    /// One write at a time. The owner of the directory stores all partitions' points itself at times, after which
    /// older ones are wrong: they may name a topic that is gone.
    final class Gate: Sendable {
        /// Held for a write, so for a sync.
        let writing = Mutex(())
        /// How often the owner has stored them: only it counts on, and without `writing` it reads.
        let generation = Atomic<UInt64>(0)
    }

    /// Stores them durably, unless the owner has stored newer ones since. On any thread.
    package func write() throws(LogError) {
        try gate.writing.withLock { _ throws(LogError) in
            if gate.generation.load(ordering: .acquiring) == generation { try store() }
        }
    }

    func store() throws(LogError) {
        let lines = points.sorted { $0.topic < $1.topic }.flatMap { topic, offsets in
            offsets.enumerated().map { "\(topic) \($0) \($1)" }
        }
        try CheckpointFile.recoveryPoints.write(lines, in: path, files)
    }
}
