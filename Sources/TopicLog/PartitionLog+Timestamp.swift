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

    private func record(
        notBefore timestamp: Int64, _ header: RecordBatchHeader, at position: Int64, in segment: Segment
    ) throws(LogError) -> (offset: Offset, timestamp: Int64)? {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: header.sizeInBytes, alignment: 16)
        defer { unsafe memory.deallocate() }
        let count = unsafe try segment.open().read(into: memory, at: position)
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: memory[..<count])
        guard !header.isCompressed, var reader = unsafe try? RecordReader(bytes) else {
            return (max(header.baseOffset, logStartOffset), header.maxTimestamp)
        }
        while let record = try? reader.next() {
            if record.timestampMilliseconds >= timestamp, record.offset >= logStartOffset {
                return (record.offset, record.timestampMilliseconds)
            }
        }
        return nil
    }
}
