internal import Glibc
package import RecordFormat

extension PartitionLog {
    /// Reads whole batches from the cursor on, as many as fit, all of them below the bound, and moves the cursor.
    ///
    /// The first read of a cursor looks its place up in the index and by headers; later ones are one `pread` each.
    /// - Parameters:
    ///   - bound: The reader's limit: the high watermark, for instance. A batch that reaches it is not returned.
    ///   - buffer: At least 61 bytes; its contents are undefined unless `.batches` is returned.
    /// - Throws: when the file cannot be read; the cursor has not moved.
    /// - Precondition: not closed.
    package func read(
        _ cursor: inout LogCursor, below bound: Offset, into buffer: UnsafeMutableRawBufferPointer
    ) throws(LogError) -> LogRead {
        precondition(!isClosed, "read of a closed log")
        precondition(buffer.count >= RecordBatchHeader.byteCount, "a read buffer holds at least a header")
        let wanted = cursor.offset
        if let fence, wanted >= fence.start { return .corrupt(at: fence.start) }
        guard wanted >= logStartOffset, wanted <= logEndOffset else { return .outOfRange }
        guard wanted < min(bound, logEndOffset) else { return .end }

        let segment = segments[segmentIndex(for: wanted)]
        let position: Int64
        if let place = cursor.place, place.segment == segment.baseOffset, place.generation == segment.generation {
            position = place.position
        } else {
            guard let found = unsafe try locate(wanted, in: segment, scratch: buffer) else {
                return .corrupt(at: wanted)
            }
            position = found
        }
        let count = unsafe try pread(segment, at: position, into: buffer)
        let outcome = unsafe collect(
            UnsafeRawBufferPointer(rebasing: buffer[..<count]), wanted: wanted, bound: bound, in: segment)
        if case .batches(let byteCount, _, let nextOffset) = outcome {
            cursor.offset = nextOffset
            cursor.place = (segment.baseOffset, segment.generation, position + Int64(byteCount))
        }
        return outcome
    }

    /// The longest prefix of whole batches below the bound.
    private func collect(
        _ bytes: UnsafeRawBufferPointer, wanted: Offset, bound: Offset, in segment: Segment
    ) -> LogRead {
        var end = 0
        var firstBase: Offset?
        var next = wanted
        while bytes.count - end >= RecordBatchHeader.byteCount {
            let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(rebasing: bytes[end...]))
            // The file was sound when it was opened or written: what does not fit now was damaged since.
            guard Self.isPlausible(header, in: segment), header.lastOffset >= next,
                firstBase == nil || header.baseOffset == next || (segment.hasGaps && header.baseOffset > next)
            else { return end == 0 ? .corrupt(at: wanted) : .batches(end, firstBase, next) }
            if header.lastOffset >= bound { break }
            if end + header.sizeInBytes > bytes.count {
                if end == 0 { return .needs(bytes: header.sizeInBytes) }
                break
            }
            if firstBase == nil { firstBase = header.baseOffset }
            end += header.sizeInBytes
            next = header.lastOffset.advanced(by: 1)
        }
        guard end > 0 else { return bytes.count < RecordBatchHeader.byteCount ? .corrupt(at: wanted) : .end }
        return .batches(end, firstBase, next)
    }

    /// The position of the batch that holds an offset; nil when the way there is damaged.
    private func locate(
        _ wanted: Offset, in segment: Segment, scratch: UnsafeMutableRawBufferPointer
    ) throws(LogError) -> Int64? {
        var position = segment.index.position(for: segment.baseOffset.distance(to: wanted))
        // Enough for the headers of an index interval of small batches, and little enough for one large one.
        let window = min(scratch.count, max(options.indexIntervalBytes, RecordBatchHeader.byteCount))
        while position < segment.sizeInBytes {
            let count = unsafe try pread(segment, at: position, into: .init(rebasing: scratch[..<window]))
            guard count >= RecordBatchHeader.byteCount else { return nil }
            var at = 0
            while count - at >= RecordBatchHeader.byteCount {
                let header = unsafe RecordBatchHeader(
                    parsing: UnsafeRawBufferPointer(rebasing: scratch[at..<count]))
                guard Self.isPlausible(header, in: segment) else { return nil }
                if header.lastOffset >= wanted {
                    return header.baseOffset <= wanted || segment.hasGaps ? position + Int64(at) : nil
                }
                at += header.sizeInBytes
            }
            position += Int64(at)
        }
        return nil
    }

    /// Whether a header can be one of this segment's; what comes next may be computed from it without a trap.
    private static func isPlausible(_ header: RecordBatchHeader, in segment: Segment) -> Bool {
        header.magic == 2 && header.sizeInBytes >= RecordBatchHeader.byteCount && header.lastOffsetDelta >= 0
            && header.baseOffset >= segment.baseOffset && header.baseOffset < segment.endOffset
            && header.lastOffset < segment.endOffset
    }

    /// One read, not past the segment's good bytes.
    private func pread(
        _ segment: Segment, at position: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(LogError) -> Int {
        let count = Int(min(Int64(buffer.count), segment.sizeInBytes - position))
        guard count > 0 else { return 0 }
        statistics.readCalls += 1
        return unsafe try segment.file.read(into: .init(rebasing: buffer[..<count]), at: position)
    }

    /// The segment that holds an offset inside the log.
    private func segmentIndex(for offset: Offset) -> Int {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].baseOffset <= offset { low = middle + 1 } else { high = middle }
        }
        return low - 1
    }
}

extension LogRead {
    /// Shorthand for the reader above, which has a first base whenever it has bytes.
    fileprivate static func batches(_ byteCount: Int, _ firstBase: Offset?, _ nextOffset: Offset) -> LogRead {
        .batches(byteCount: byteCount, firstBase: firstBase ?? nextOffset, nextOffset: nextOffset)
    }
}
