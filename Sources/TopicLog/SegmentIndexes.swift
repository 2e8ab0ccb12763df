internal import RecordFormat

/// The indexes of a segment that is written to, or was scanned: one entry of each per `intervalBytes` of log.
///
/// On disk `.index` and `.timeindex`, Kafka's. Neither is synced: each entry that is used is checked against the log,
/// and what does not hold is built anew from it.
struct SegmentIndexes {
    private(set) var offsets: ContiguousArray<OffsetEntry> = []
    private(set) var times: ContiguousArray<TimeEntry> = []
    /// The largest timestamp so far, and the last offset of the first batch that has it; nil when there is none.
    private(set) var latest: TimeEntry?
    private var bytesSinceEntry: Int64 = 0
    private let intervalBytes: Int

    init(intervalBytes: Int) {
        self.intervalBytes = intervalBytes
    }

    /// Those of the files, so that appending can go on after `sizeInBytes`.
    init(
        offsets: ContiguousArray<OffsetEntry>, times: ContiguousArray<TimeEntry>, sizeInBytes: Int64,
        intervalBytes: Int
    ) {
        self.offsets = offsets
        self.times = times
        self.intervalBytes = intervalBytes
        latest = times.last
        bytesSinceEntry = sizeInBytes - Int64(offsets.last?.position ?? 0)
    }

    /// Takes note of a batch that was written at `position`. Batches come in order.
    mutating func add(_ header: RecordBatchHeader, base: Offset, position: Int64) {
        let relative = base.distance(to: header.lastOffset)
        if header.maxTimestamp > latest?.timestamp ?? -1, let relative = Int32(exactly: relative) {
            latest = TimeEntry(timestamp: header.maxTimestamp, relativeOffset: relative)
        }
        if bytesSinceEntry >= intervalBytes,
            let relative = UInt32(exactly: relative), let place = UInt32(exactly: position)
        {
            offsets.append(OffsetEntry(relativeOffset: relative, position: place))
            addLatest()
            bytesSinceEntry = 0
        }
        bytesSinceEntry += Int64(header.sizeInBytes)
    }

    /// Adds the entry with which a time index ends: the segment's largest timestamp.
    mutating func addLatest() {
        if let latest, times.last.map(latest.follows) ?? true { times.append(latest) }
    }

    /// A file's bytes.
    static func encoded<Entry: IndexEntry>(_ entries: ContiguousArray<Entry>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * Entry.byteCount)
        for entry in entries { entry.append(to: &bytes) }
        return bytes
    }
}
