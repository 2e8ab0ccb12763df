package import RecordFormat

extension PartitionLog {
    /// Batches that one lookup goes over at most. An index leads it to the right one or two; only where deleted records
    /// share a segment with others does it say less.
    static let lookupBatchesMax = 1_000

    /// The first record whose timestamp is at least the given one.
    ///
    /// Of a compressed batch, whose records cannot be looked at here, and of one whose header claims a later timestamp
    /// than its records have, the batch's first record. Where more than ``lookupBatchesMax`` batches would have to be
    /// looked at, the first that was not: the record is not before it.
    /// - Parameter timestamp: Milliseconds since 1970.
    /// - Returns: its offset and timestamp, or nil when every record is older.
    /// - Complexity: O(segments), then O(log of the segment's index) and one index interval.
    /// - Precondition: not closed.
    package func offset(
        forTimestamp timestamp: Int64
    ) throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        var lookup = TimeLookup(.notBefore(timestamp))
        _ = try goOn(with: &lookup)
        return lookup.found
    }

    /// Goes on with a lookup by time, over so many segments at most: of each that was not looked at before, files are
    /// opened and read.
    /// - Returns: false at its end: ``TimeLookup/found`` says what was found.
    /// - Precondition: not closed.
    package func goOn(with lookup: inout TimeLookup, segmentsMax: Int = .max) throws(LogError) -> Bool {
        precondition(!isClosed, "lookup in a closed log")
        var left = segmentsMax
        for index in segments.indices[max(0, segmentIndex(for: lookup.next))...] {
            let segment = segments[index]
            guard segment.sizeInBytes > 0, segment.endOffset > max(logStartOffset, lookup.next) else { continue }
            guard left > 0 else { return true }
            left -= 1
            lookup.segmentsLookedAt += 1
            lookup.next = segment.endOffset
            switch lookup.wanted {
            case .notBefore(let timestamp):
                guard let latest = try segment.maxTimestamp(), latest >= timestamp else { continue }
                lookup.found = try offset(forTimestamp: timestamp, in: segment)
                if lookup.found != nil { return false }
            case .latest:
                let own =
                    segment.baseOffset >= logStartOffset
                    ? try segment.maxTimestamp() : try latestTimestamp(ofRest: segment)
                if let own, own > lookup.latest?.timestamp ?? -1 { lookup.latest = (segment.baseOffset, own) }
            }
        }
        // Should that segment be gone by now, so is its record.
        if let latest = lookup.latest, let segment = segments.last(where: { $0.baseOffset <= latest.base }) {
            lookup.found = try offset(forTimestamp: latest.timestamp, in: segment)
        }
        return false
    }

    private func offset(
        forTimestamp timestamp: Int64, in segment: Segment
    ) throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        let times = try segment.timeIndex()
        let place = try times.count { $0.timestamp < timestamp }
        // The first such record lies between two entries of the offset index, the batch of the time entry too: both are
        // added together.
        let relative = place < times.count ? Int64(try times.entry(place).relativeOffset) : .max
        var position = try start(of: segment, before: relative)
        var found: (offset: Offset, timestamp: Int64)?
        var left = Self.lookupBatchesMax
        while position < segment.sizeInBytes {
            let first = try segment.header(at: position)
            let damage = try segment.walk(from: position, at: first.baseOffset) { (header, at) throws(LogError) in
                guard header.lastOffset >= logStartOffset else { return true }
                if left == 0 {
                    found = (max(header.baseOffset, logStartOffset), header.maxTimestamp)
                } else if header.maxTimestamp >= timestamp {
                    found = try record(notBefore: timestamp, header, at: at, in: segment)
                }
                left -= 1
                return found == nil
            }
            guard found == nil, let damage, let next = try fence(damage, in: segment).resumePosition else { break }
            position = next
        }
        return found
    }

    /// Where the index says that the batch with an offset begins, or one that is a little before it; at the log's
    /// beginning if that is later.
    private func start(of segment: Segment, before relativeOffset: Int64) throws(LogError) -> Int64 {
        let relative = max(relativeOffset, segment.baseOffset.distance(to: logStartOffset))
        return Int64(try segment.offsetIndex().last { Int64($0.relativeOffset) < relative }?.position ?? 0)
    }

    /// The record with the latest timestamp, the first of those that have it; nil when there is none.
    ///
    /// Of a compressed batch the first record stands for all, as above. Where deleted records share a segment with
    /// more than ``lookupBatchesMax`` batches, those behind them are not looked at.
    /// - Complexity: O(segments).
    /// - Precondition: not closed.
    package func latestRecord() throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        var lookup = TimeLookup(.latest)
        _ = try goOn(with: &lookup)
        return lookup.found
    }

    /// The latest timestamp in a segment whose first records are deleted.
    private func latestTimestamp(ofRest segment: Segment) throws(LogError) -> Int64? {
        var latest: Int64?
        var left = Self.lookupBatchesMax
        let position = try start(of: segment, before: 0)
        let first = try segment.header(at: position)
        _ = try segment.walk(from: position, at: first.baseOffset) { (header, position) throws(LogError) in
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
            left -= 1
            return left > 0
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
        // Of one that begins before the log does, it may be the deleted ones that the header speaks of.
        if found != nil || (isLookedAt && header.baseOffset < logStartOffset) { return found }
        return (max(header.baseOffset, logStartOffset), header.maxTimestamp)
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

/// A lookup by time, which may be made in pieces: ``PartitionLog/goOn(with:segmentsMax:)``.
package struct TimeLookup {
    package enum Wanted {
        /// The first record with at least this timestamp, in milliseconds since 1970.
        case notBefore(Int64)
        /// The record with the latest timestamp.
        case latest
    }

    let wanted: Wanted
    /// All before were looked at.
    var next = Offset.zero
    /// The latest timestamp so far, and the segment that has it.
    var latest: (base: Offset, timestamp: Int64)?
    package internal(set) var found: (offset: Offset, timestamp: Int64)?
    package internal(set) var segmentsLookedAt = 0

    package init(_ wanted: Wanted) { self.wanted = wanted }
}
