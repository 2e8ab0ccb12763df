internal import RecordFormat

/// Where in a segment to begin looking for an offset: one entry per `indexIntervalBytes` of log.
///
/// On disk Kafka's `.index`: per entry 8 bytes, big-endian: `relativeOffset u32 | position u32`. The offset is the last
/// one of the batch that begins at the position, less the segment's base. Kept in memory; the file is for others.
struct SparseIndex {
    struct Entry: Equatable {
        var relativeOffset: UInt32
        var position: UInt32
    }

    private(set) var entries: ContiguousArray<Entry> = []
    private var bytesSinceEntry = 0
    private let intervalBytes: Int

    init(intervalBytes: Int) {
        self.intervalBytes = intervalBytes
    }

    /// Takes note of a batch that was written at `position`. Batches come in order.
    mutating func add(lastRelativeOffset: Int64, position: Int64, batchBytes: Int) {
        if bytesSinceEntry >= intervalBytes,
            let relative = UInt32(exactly: lastRelativeOffset), let place = UInt32(exactly: position)
        {
            entries.append(Entry(relativeOffset: relative, position: place))
            bytesSinceEntry = 0
        }
        bytesSinceEntry += batchBytes
    }

    /// The position of a batch that begins at or before the offset: at most an interval and a batch before its own.
    /// - Complexity: O(log entries).
    func position(for relativeOffset: Int64) -> Int64 {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if Int64(entries[middle].relativeOffset) <= relativeOffset { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? 0 : Int64(entries[low - 1].position)
    }

    /// The file's bytes.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * 8)
        for entry in entries {
            for word in [entry.relativeOffset, entry.position] {
                for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
            }
        }
        return bytes
    }
}
