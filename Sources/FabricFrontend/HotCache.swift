internal import BrokerCore
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

/// Batches that have been appended and still lie where they landed, until the memory is needed again: oldest first.
///
/// A batch is named by the unit of the arena that it begins with.
struct HotCache {
    struct Batch {
        let partition: Partition
        let base: Offset
        /// The offset after its last record.
        let next: Offset
        /// Where it lies in the door's region, in bytes.
        let offset: Int
        let byteCount: Int
        /// WRITEs from it that have not completed.
        fileprivate(set) var readers = 0
        fileprivate var older = -1
        fileprivate var newer = -1

        /// Whether nobody can need it where it is: the file has it, and consumers may see it or never will.
        fileprivate var isEvictable: Bool {
            readers == 0
                && (next <= partition.highWatermark || partition.isDeleted || partition.log.refusal != nil)
        }
    }

    private struct Place: Hashable {
        let partition: PartitionAddress
        let base: Offset
    }

    private var batches: [Batch?]
    private var units: [Place: Int] = [:]
    private var oldest = -1
    private var newest = -1

    /// For an arena of so many units.
    init(unitCount: Int) { batches = Array(repeating: nil, count: unitCount) }

    var count: Int { units.count }

    /// Whether a batch begins with the unit.
    func holds(_ unit: Int) -> Bool { batches[unit] != nil }

    /// Takes a batch that has been appended.
    mutating func insert(
        _ partition: Partition, base: Offset, next: Offset, unit: Int, offset: Int, byteCount: Int
    ) {
        precondition(batches[unit] == nil, "the unit holds a batch")
        var batch = Batch(partition: partition, base: base, next: next, offset: offset, byteCount: byteCount)
        batch.older = newest
        if newest >= 0 { batches[newest]!.newer = unit } else { oldest = unit }
        newest = unit
        batches[unit] = batch
        units[Place(partition: partition.address, base: base)] = unit
    }

    /// The batch that begins at an offset of a partition.
    func find(_ partition: PartitionAddress, at offset: Offset) -> (unit: Int, batch: Batch)? {
        guard let unit = units[Place(partition: partition, base: offset)] else { return nil }
        return (unit, batches[unit]!)
    }

    /// A WRITE from it was posted.
    mutating func retain(_ unit: Int) { batches[unit]!.readers += 1 }

    /// A WRITE from it has completed.
    mutating func release(_ unit: Int) { batches[unit]!.readers -= 1 }

    /// Forgets the oldest batch that nobody needs.
    /// - Returns: Its memory, free now; nil when every batch is being written from or waits to be committed.
    mutating func evictOldest() -> (offset: Int, byteCount: Int)? {
        var unit = oldest
        while unit >= 0, !batches[unit]!.isEvictable { unit = batches[unit]!.newer }
        guard unit >= 0, let batch = batches[unit] else { return nil }
        if batch.older >= 0 { batches[batch.older]!.newer = batch.newer } else { oldest = batch.newer }
        if batch.newer >= 0 { batches[batch.newer]!.older = batch.older } else { newest = batch.older }
        batches[unit] = nil
        units[Place(partition: batch.partition.address, base: batch.base)] = nil
        return (batch.offset, batch.byteCount)
    }
}
