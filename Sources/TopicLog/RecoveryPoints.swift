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

    /// One write at a time; the number says how often all partitions' points were stored by the owner of the
    /// directory, after which older ones are wrong: they may name a topic that is gone.
    final class Gate: Sendable {
        let generation = Mutex<UInt64>(0)
    }

    /// Stores them durably, unless the owner has stored newer ones since. On any thread.
    package func write() throws(LogError) {
        try gate.generation.withLock { current throws(LogError) in
            if current == generation { try store() }
        }
    }

    func store() throws(LogError) {
        let lines = points.sorted { $0.topic < $1.topic }.flatMap { topic, offsets in
            offsets.enumerated().map { "\(topic) \($0) \($1)" }
        }
        try CheckpointFile.recoveryPoints.write(lines, in: path, files)
    }
}
