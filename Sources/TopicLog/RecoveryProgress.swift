internal import Synchronization

/// How far the opening of a data directory is, for whoever shows it.
/// - Threading: any thread.
package final class RecoveryProgress: Sendable {
    private let partitions = Atomic<Int>(0)
    private let partitionsOpen = Atomic<Int>(0)
    private let bytes = Atomic<Int64>(0)
    private let bytesRead = Atomic<Int64>(0)

    /// Nothing is known yet.
    package init() {}

    /// Partitions in all; 0 as long as they are not known.
    package var partitionsTotal: Int { partitions.load(ordering: .relaxed) }
    /// Partitions that are open.
    package var partitionsDone: Int { partitionsOpen.load(ordering: .relaxed) }
    /// Bytes of segments that must be read, because they were not closed in order.
    package var bytesTotal: Int64 { bytes.load(ordering: .relaxed) }
    /// How many of them were read.
    package var bytesDone: Int64 { bytesRead.load(ordering: .relaxed) }

    func begin(partitions count: Int, bytes: Int64) {
        partitions.store(count, ordering: .relaxed)
        self.bytes.store(bytes, ordering: .relaxed)
    }

    func add(partitions count: Int = 0, bytes count64: Int64 = 0) {
        partitionsOpen.wrappingAdd(count, ordering: .relaxed)
        bytesRead.wrappingAdd(count64, ordering: .relaxed)
    }
}
