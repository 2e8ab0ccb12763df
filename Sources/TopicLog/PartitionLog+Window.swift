package import RecordFormat

/// One file of a partition. Compaction puts another in its place, with the same base offset.
package struct SegmentID: Hashable, Sendable {
    package let baseOffset: Offset
    package let generation: Int
}

/// What of a segment is written for good, as seen from a cursor.
package struct WrittenRange {
    package let segment: SegmentID
    /// Where the cursor's next batch begins.
    package let position: Int64
    /// Every byte before is written, and belongs to a batch below the reader's bound.
    package let end: Int64
    /// Whether the segment ends there.
    package let isWhole: Bool
}

// For readers that map segment files.
extension PartitionLog {
    /// Where the cursor's next batch is, and how far the file behind it can be mapped.
    /// - Returns: nil when only a `read` can tell, or there is nothing to read.
    package func written(at cursor: LogCursor, below bound: Offset) -> WrittenRange? {
        guard case .success(let reader) = admit(cursor, below: bound), let position = reader.position,
            let end = writtenEnd(of: reader.segment, below: reader.bound), position < end
        else { return nil }
        let segment = reader.segment
        return WrittenRange(
            segment: SegmentID(baseOffset: segment.baseOffset, generation: segment.generation), position: position,
            end: end, isWhole: end == segment.sizeInBytes && segment !== segments.last)
    }

    /// The open file of a segment; nil when it is gone.
    package func file(of id: SegmentID) throws(LogError) -> LogFile? { try segment(id)?.open() }

    /// Whether a segment is there.
    package func has(_ id: SegmentID) -> Bool { segment(id) != nil }

    private func segment(_ id: SegmentID) -> Segment? {
        segments.first { $0.baseOffset == id.baseOffset && $0.generation == id.generation }
    }

    /// The same as `read`, where somebody has mapped the file.
    /// - Parameter bytes: Those of the file from the position that `written` gave on, at least one; not past its end.
    package func read(
        _ cursor: inout LogCursor, below bound: Offset, mapped bytes: UnsafeRawBufferPointer
    ) throws(LogError) -> LogRead {
        switch admit(cursor, below: bound) {
        case .failure(let refusal): return refusal.outcome
        case .success(let reader):
            guard let position = reader.position else { return .end }
            return unsafe try take(bytes, at: position, &cursor, reader)
        }
    }

    private func writtenEnd(of segment: Segment, below bound: Offset) -> Int64? {
        if segment.endOffset <= bound { return segment.sizeInBytes }
        // An entry has a batch's last offset and where the batch begins. The indexes are in memory where appends go on.
        let relative = segment.baseOffset.distance(to: bound)
        guard segment.indexes != nil, let index = try? segment.offsetIndex() else { return nil }
        return (try? index.last { Int64($0.relativeOffset) < relative }).flatMap { $0 }.map { Int64($0.position) }
    }
}
