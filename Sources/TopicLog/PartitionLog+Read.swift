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
        precondition(buffer.count >= RecordBatchHeader.byteCount, "a read buffer holds at least a header")
        let reader: Reader
        switch admit(cursor, below: bound) {
        case .failure(let refusal): return refusal.outcome
        case .success(let admitted): reader = admitted
        }
        let position: Int64
        if let known = reader.position {
            position = known
        } else {
            switch unsafe try locate(cursor.offset, in: reader.segment, scratch: buffer) {
            case .found(let place): position = place
            case .corrupt(let range): return .corrupt(at: range.offsets.lowerBound)
            }
        }
        let count = unsafe try pread(reader.segment, at: position, into: buffer)
        return unsafe try take(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: position, &cursor, reader)
    }

    /// What a cursor reads in.
    struct Reader {
        let segment: Segment
        /// The reader's bound, or where damage begins before it.
        let bound: Offset
        /// Where the next batch begins, when that is known.
        let position: Int64?
    }

    /// Why there is nothing to read; an `Error` only so that `Result` takes it.
    struct Refusal: Error {
        let outcome: LogRead
    }

    /// Whether there is something to read at a cursor, and where.
    func admit(_ cursor: LogCursor, below bound: Offset) -> Result<Reader, Refusal> {
        precondition(!isClosed, "read of a closed log")
        let wanted = cursor.offset
        if let fence, wanted >= fence.start { return .failure(Refusal(outcome: .corrupt(at: fence.start))) }
        guard wanted >= logStartOffset, wanted <= logEndOffset else { return .failure(Refusal(outcome: .outOfRange)) }
        guard wanted < min(bound, logEndOffset) else { return .failure(Refusal(outcome: .end)) }
        if let range = damage(at: wanted) {
            return .failure(Refusal(outcome: .corrupt(at: range.offsets.lowerBound)))
        }
        // What is in front of a damaged range can be read.
        let bound = damages.first { $0.offsets.lowerBound > wanted }.map { min(bound, $0.offsets.lowerBound) } ?? bound
        let segment = segments[segmentIndex(for: wanted)]
        var position: Int64? = wanted == segment.baseOffset ? 0 : nil
        if let place = cursor.place, place.segment == segment.baseOffset, place.generation == segment.generation {
            position = place.position
        }
        return .success(Reader(segment: segment, bound: bound, position: position))
    }

    /// Takes whole batches from the bytes of a segment from a position on, and moves the cursor past them.
    func take(
        _ bytes: UnsafeRawBufferPointer, at position: Int64, _ cursor: inout LogCursor, _ reader: Reader
    ) throws(LogError) -> LogRead {
        let wanted = cursor.offset
        let segment = reader.segment
        let outcome = unsafe collect(
            bytes, bytesLeft: segment.sizeInBytes - position, wanted: wanted, bound: reader.bound, in: segment)
        switch outcome {
        case .batches(let byteCount, _, let nextOffset):
            cursor.offset = nextOffset
            cursor.place = (segment.baseOffset, segment.generation, position + Int64(byteCount))
        case .corrupt:
            try fence(.init(position: position, offset: wanted, reason: "no sound batch is here"), in: segment)
        default: break
        }
        return outcome
    }

    /// The longest prefix of whole batches below the bound.
    /// - Parameter bytesLeft: Bytes of the segment from the first of `bytes` on.
    private func collect(
        _ bytes: UnsafeRawBufferPointer, bytesLeft: Int64, wanted: Offset, bound: Offset, in segment: Segment
    ) -> LogRead {
        var end = 0
        var firstBase: Offset?
        var next = wanted
        var last: (start: Int, offset: Offset)?
        while bytes.count - end >= RecordBatchHeader.byteCount {
            let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(rebasing: bytes[end...]))
            // The file was sound when it was opened or written: what does not fit now was damaged since.
            guard Self.isPlausible(header, in: segment), header.lastOffset >= next,
                header.baseOffset == next || (firstBase == nil && header.baseOffset < next)
                    || (segment.hasGaps && header.baseOffset > next),
                Int64(end + header.sizeInBytes) <= bytesLeft
            else {
                // A false length leads astray: who led here must be sound to be handed out.
                if let last {
                    let batch = unsafe UnsafeRawBufferPointer(rebasing: bytes[last.start..<end])
                    if unsafe (try? RecordBatch.validate(batch, bytesMax: batch.count, isStored: true)) == nil {
                        (end, next) = (last.start, last.offset)
                    }
                }
                return end == 0 ? .corrupt(at: wanted) : .batches(end, firstBase, next)
            }
            if header.lastOffset >= bound { break }
            if end + header.sizeInBytes > bytes.count {
                if end == 0 { return .needs(bytes: header.sizeInBytes) }
                break
            }
            if firstBase == nil { firstBase = header.baseOffset }
            last = (end, max(wanted, header.baseOffset))
            end += header.sizeInBytes
            next = header.lastOffset.advanced(by: 1)
        }
        guard end > 0 else { return bytes.count < RecordBatchHeader.byteCount ? .corrupt(at: wanted) : .end }
        return .batches(end, firstBase, next)
    }

    enum Place {
        case found(Int64)
        case corrupt(DamagedRange)
    }

    /// The position of the batch that holds an offset, unless the way there is damaged.
    func locate(
        _ wanted: Offset, in segment: Segment, scratch: UnsafeMutableRawBufferPointer, attempt: Int = 0
    ) throws(LogError) -> Place {
        if wanted == segment.baseOffset { return .found(0) }
        // Enough for the headers of an index interval of small batches, and little enough for one large one.
        let window = min(scratch.count, max(options.indexIntervalBytes, RecordBatchHeader.byteCount))
        let relative = segment.baseOffset.distance(to: wanted)
        var start = Int64(try segment.offsetIndex().last { Int64($0.relativeOffset) <= relative }?.position ?? 0)
        for range in damages where range.offsets.upperBound <= wanted && range.path == segment.path {
            start = max(start, range.resumePosition ?? 0)
        }
        var position = start
        var expected: Offset?
        while true {
            let count = unsafe try pread(segment, at: position, into: .init(rebasing: scratch[..<window]))
            var at = 0
            repeat {
                var header: RecordBatchHeader?
                if count - at >= RecordBatchHeader.byteCount {
                    header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(rebasing: scratch[at..<count]))
                }
                // With gaps, the first batch behind the offset is as good.
                let hasGaps = segment.hasGaps && (expected != nil || start == 0)
                guard let header, Self.isPlausible(header, in: segment), header.baseOffset <= wanted || hasGaps,
                    expected.map({ header.baseOffset == $0 || (hasGaps && header.baseOffset > $0) }) ?? true
                else {
                    let bad = position + Int64(at)
                    if let damage = try judge(bad, expected, in: segment) {
                        let range = try fence(damage, in: segment)
                        if range.offsets.contains(wanted) { return .corrupt(range) }
                    }
                    // Now either a range more is known or the index is new. Damage that escapes both ends here.
                    guard attempt < 8 else {
                        let damage = Segment.Damage(
                            position: bad, offset: wanted, reason: "no way to the batch is sound")
                        return .corrupt(try fence(damage, in: segment))
                    }
                    return unsafe try locate(wanted, in: segment, scratch: scratch, attempt: attempt + 1)
                }
                if header.lastOffset >= wanted { return .found(position + Int64(at)) }
                expected = header.lastOffset.advanced(by: 1)
                at += header.sizeInBytes
            } while count - at >= RecordBatchHeader.byteCount
            position += Int64(at)
        }
    }

    /// What is wrong when no sound batch is where one should begin: the log, there or before, or nothing but the index,
    /// which is then built anew.
    private func judge(
        _ position: Int64, _ expected: Offset?, in segment: Segment
    ) throws(LogError) -> Segment.Damage? {
        // Batches led here from each other: their successor is bad.
        if let expected {
            return Segment.Damage(position: position, offset: expected, reason: "no sound batch is here")
        }
        // The index did, or the known end of a damaged range.
        let damage = try segment.walk { (_, place) in place < position }
        if let damage, self.damage(at: damage.offset) == nil { return damage }
        try segment.buildIndexes()
        if segment !== segments.last { segment.releaseIndexes() }
        return nil
    }

    /// Whether a header can be one of this segment's; what comes next may be computed from it without a trap.
    static func isPlausible(_ header: RecordBatchHeader, in segment: Segment) -> Bool {
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
        return unsafe try segment.open().read(into: .init(rebasing: buffer[..<count]), at: position)
    }

    /// The segment that holds an offset inside the log.
    func segmentIndex(for offset: Offset) -> Int {
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
