package import RecordFormat

extension PartitionLog {
    /// The first record whose timestamp is at least the given one.
    ///
    /// Of a compressed batch, whose records cannot be looked at here, the first record that can be the one: the
    /// batch's.
    /// - Parameter timestamp: Milliseconds since 1970.
    /// - Returns: its offset and timestamp, or nil when every record is older.
    /// - Complexity: O(segments), then O(log of the segment's index) and one index interval.
    /// - Precondition: not closed.
    package func offset(
        forTimestamp timestamp: Int64
    ) throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        precondition(!isClosed, "lookup in a closed log")
        for segment in segments where segment.sizeInBytes > 0 && segment.endOffset > logStartOffset {
            guard let latest = try segment.maxTimestamp(), latest >= timestamp else { continue }
            if let found = try offset(forTimestamp: timestamp, in: segment) { return found }
        }
        return nil
    }

    private func offset(
        forTimestamp timestamp: Int64, in segment: Segment
    ) throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        let times = try segment.timeIndex()
        let offsets = try segment.offsetIndex()
        let place = try times.count { $0.timestamp < timestamp }
        // The first such record lies between two entries of the offset index, the batch of the time entry too: both are
        // added together.
        let relative = place < times.count ? Int64(try times.entry(place).relativeOffset) : .max
        var position = Int64(try offsets.last { Int64($0.relativeOffset) < relative }?.position ?? 0)
        var found: (offset: Offset, timestamp: Int64)?
        while position < segment.sizeInBytes {
            let first = try segment.header(at: position)
            let damage = try segment.walk(from: position, at: first.baseOffset) { (header, at) throws(LogError) in
                guard header.maxTimestamp >= timestamp, header.lastOffset >= logStartOffset else { return true }
                found = try record(notBefore: timestamp, header, at: at, in: segment)
                return found == nil
            }
            guard found == nil, let damage, let next = try fence(damage, in: segment).resumePosition else { break }
            position = next
        }
        return found
    }

    /// The record with the latest timestamp, the first of those that have it; nil when there is none.
    ///
    /// Of a compressed batch the first record stands for all, as above.
    /// - Complexity: O(segments); if deleted records share a segment with others, O(that segment's batches).
    /// - Precondition: not closed.
    package func latestRecord() throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        precondition(!isClosed, "lookup in a closed log")
        var latest: Int64?
        for segment in segments where segment.sizeInBytes > 0 && segment.endOffset > logStartOffset {
            let own =
                segment.baseOffset >= logStartOffset
                ? try segment.maxTimestamp() : try latestTimestamp(ofRest: segment)
            if let own { latest = max(latest ?? own, own) }
        }
        guard let latest else { return nil }
        return try offset(forTimestamp: latest)
    }

    /// The latest timestamp in a segment whose first records are deleted.
    private func latestTimestamp(ofRest segment: Segment) throws(LogError) -> Int64? {
        var latest: Int64?
        _ = try segment.walk { (header, position) throws(LogError) in
            guard header.lastOffset >= logStartOffset else { return true }
            var own = header.maxTimestamp
            if header.baseOffset < logStartOffset {
                var rest: Int64 = -1
                let isLookedAt = try forEachRecord(of: header, at: position, in: segment) { offset, timestamp in
                    if offset >= logStartOffset { rest = max(rest, timestamp) }
                    return true
                }
                if isLookedAt { own = rest }
            }
            if own >= 0 { latest = max(latest ?? own, own) }
            return true
        }
        return latest
    }

    private func record(
        notBefore timestamp: Int64, _ header: RecordBatchHeader, at position: Int64, in segment: Segment
    ) throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        var found: (offset: Offset, timestamp: Int64)?
        let isLookedAt = try forEachRecord(of: header, at: position, in: segment) { offset, own in
            if own >= timestamp, offset >= logStartOffset { found = (offset, own) }
            return found == nil
        }
        return isLookedAt ? found : (max(header.baseOffset, logStartOffset), header.maxTimestamp)
    }

    /// Goes over a batch's records as long as `body` says so.
    /// - Returns: false when they cannot be looked at: the batch is compressed.
    private func forEachRecord(
        of header: RecordBatchHeader, at position: Int64, in segment: Segment,
        _ body: (_ offset: Offset, _ timestamp: Int64) -> Bool
    ) throws(LogError) -> Bool {
        guard !header.isCompressed else { return false }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: header.sizeInBytes, alignment: 16)
        defer { unsafe memory.deallocate() }
        let count = unsafe try segment.open().read(into: memory, at: position)
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: memory[..<count])
        guard var reader = unsafe try? RecordReader(bytes) else { return false }
        while let record = try? reader.next() {
            guard body(record.offset, record.timestampMilliseconds) else { break }
        }
        return true
    }
}
