package import RecordFormat

/// Where a reader is that has ranges of files sent to it, and not their bytes: what lies in a range that it was given
/// it knows better than the log, and says so by the offset it asks for next. One per reader and partition.
package struct FileCursor: Sendable {
    var cursor: LogCursor
    /// Where the last range began.
    var start: LogCursor
    /// The position in a segment behind the last range, where a batch begins; its offset was not looked at.
    var guess: (segment: Offset, generation: Int, position: Int64)?
    /// Of a segment that is not written to.
    var window = IndexWindow()

    /// A reader that begins at `offset`: the batch that holds it comes first.
    package init(_ offset: Offset) {
        cursor = LogCursor(offset)
        start = cursor
    }

    /// The offset to be read next.
    package var offset: Offset { cursor.offset }

    /// Goes where the reader wants to go on, or back to where the last range began.
    package mutating func seek(_ offset: Offset) {
        guard offset != cursor.offset else { return }
        cursor = start.offset == offset ? start : LogCursor(offset)
    }
}

/// Some entries of a segment's offset index, read together so that the next ranges need no read.
struct IndexWindow: Sendable {
    private var segment: (base: Offset, generation: Int)?
    private var entries: ContiguousArray<OffsetEntry> = []
    /// The number of the first of `entries`.
    private var first = 0
    private var isLast = false

    /// As many as 4 MiB of log have, at least.
    static let entriesMax = 1_024

    /// The start of the last batch known to begin after `position` and at `limit` or before it.
    mutating func last(after position: Int64, upTo limit: Int64, in segment: Segment) throws(LogError) -> Int64? {
        // Those of a segment that is written to are in memory.
        if let indexes = segment.indexes { return Self.last(indexes.offsets, position, limit) }
        let isSame = self.segment.map { $0.base == segment.baseOffset && $0.generation == segment.generation } ?? false
        let begins = isSame && (entries.first.map { Int64($0.position) <= position } ?? isLast)
        if !begins || !(isLast || Int64(entries[entries.count - 1].position) >= limit) {
            try fill(from: position, segment, isNear: begins)
        }
        return Self.last(entries, position, limit)
    }

    /// Reads the entries from the last one on that is not behind a position.
    /// - Parameter isNear: Whether the position is behind the first of those that are here.
    private mutating func fill(from position: Int64, _ segment: Segment, isNear: Bool) throws(LogError) {
        self.segment = nil
        isLast = true
        switch try segment.offsetIndex() {
        case .memory(let all): entries = all
        case .file(let file):
            // A reader that goes on needs no search.
            var start = first + Self.count(entries, notBehind: position) - 1
            if !isNear || start == first + entries.count - 1 {
                start =
                    try partitionPoint(file.count) { (n) throws(LogError) in
                        Int64(try file.entry(n).position) <= position
                    } - 1
            }
            first = max(0, start)
            let end = min(file.count, first + Self.entriesMax)
            entries = try file.entries(first..<end)
            isLast = end == file.count
        }
        self.segment = (segment.baseOffset, segment.generation)
    }

    private static func count(_ entries: ContiguousArray<OffsetEntry>, notBehind position: Int64) -> Int {
        partitionPoint(entries.count) { Int64(entries[$0].position) <= position }
    }

    private static func last(
        _ entries: ContiguousArray<OffsetEntry>, _ position: Int64, _ limit: Int64
    ) -> Int64? {
        let count = count(entries, notBehind: limit)
        guard count > 0, Int64(entries[count - 1].position) > position else { return nil }
        return Int64(entries[count - 1].position)
    }
}
