package import RecordFormat

/// Where a reader is that has ranges of files sent to it, and not their bytes: what lies in a range that it was given
/// it knows better than the log, and says so by the offset it asks for next. One per reader and partition.
package struct FileCursor: Sendable {
    var cursor: LogCursor
    /// The position in a segment behind the last range, where a batch begins; its offset was not looked at.
    var guess: (segment: Offset, generation: Int, position: Int64)?
    /// Of a segment that is not written to.
    var window = IndexWindow()

    /// A reader that begins at `offset`: the batch that holds it comes first.
    package init(_ offset: Offset) { cursor = LogCursor(offset) }

    /// The offset to be read next.
    package var offset: Offset { cursor.offset }

    /// Goes where the reader wants to go on.
    package mutating func seek(_ offset: Offset) {
        if offset != cursor.offset { cursor = LogCursor(offset) }
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
        // In memory, it is not copied.
        if case .memory(let entries) = try segment.offsetIndex() { return Self.last(entries, position, limit) }
        let isSame = self.segment.map { $0.base == segment.baseOffset && $0.generation == segment.generation } ?? false
        let covers =
            isSame && entries.first.map { Int64($0.position) <= position } ?? false
            && (isLast || Int64(entries[entries.count - 1].position) >= limit)
        if !covers { try fill(from: position, segment) }
        return Self.last(entries, position, limit)
    }

    private mutating func fill(from position: Int64, _ segment: Segment) throws(LogError) {
        self.segment = nil
        guard case .file(let file) = try segment.offsetIndex() else { return }
        // From the last entry that is not behind the position.
        first = max(
            0,
            try partitionPoint(file.count) { (n) throws(LogError) in
                Int64(try file.entry(n).position) <= position
            } - 1)
        let end = min(file.count, first + Self.entriesMax)
        entries = try file.entries(first..<end)
        isLast = end == file.count
        self.segment = (segment.baseOffset, segment.generation)
    }

    private static func last(
        _ entries: ContiguousArray<OffsetEntry>, _ position: Int64, _ limit: Int64
    ) -> Int64? {
        let count = partitionPoint(entries.count) { Int64(entries[$0].position) <= limit }
        guard count > 0, Int64(entries[count - 1].position) > position else { return nil }
        return Int64(entries[count - 1].position)
    }
}
