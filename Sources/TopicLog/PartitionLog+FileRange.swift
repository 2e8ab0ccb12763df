package import RecordFormat

/// The outcome of ``PartitionLog/fileRange(_:below:bytesMax:isFirst:)``.
package enum FileRead: Sendable {
    case range(FileRange)
    /// Nothing below the bound yet.
    case end
    /// The next batch alone is larger than what was asked for.
    case tooLarge
    /// The data at the cursor is damaged.
    case corrupt(at: Offset)
    /// The cursor is outside the log.
    case outOfRange
}

/// A batch's start, known without a look at the file.
struct LogMark: Sendable {
    /// The offset of the batch that begins there.
    let offset: Offset
    let segment: Offset
    let generation: Int
    let position: Int64
}

// For readers that have files sent.
extension PartitionLog {
    /// Whole batches of one file from the cursor on: as many as fit, all of them below the bound. No payload is read.
    ///
    /// What the index and the last sync say is taken for true; whoever reads the bytes checks them.
    /// - Parameters:
    ///   - bound: The reader's limit: the high watermark, for instance. A batch that reaches it is not in the range.
    ///   - bytesMax: The range is not longer, unless the first batch is.
    ///   - isFirst: Whether a first batch that is longer is given all the same.
    /// - Throws: when the file cannot be opened or its index not be read; the cursor has not moved.
    /// - Precondition: not closed.
    package func fileRange(
        _ cursor: inout FileCursor, below bound: Offset, bytesMax: Int, isFirst: Bool
    ) throws(LogError) -> FileRead {
        let reader: Reader
        switch admit(cursor.cursor, below: bound) {
        case .success(let admitted): reader = admitted
        case .failure(let refusal):
            switch refusal.outcome {
            case .corrupt(let offset): return .corrupt(at: offset)
            case .outOfRange: return .outOfRange
            default: return .end
            }
        }
        let segment = reader.segment
        let position: Int64
        switch try start(cursor, reader) {
        case .found(let place): position = place
        case .corrupt(let range): return .corrupt(at: range.offsets.lowerBound)
        }
        guard let end = try end(of: reader) else { return .corrupt(at: cursor.offset) }
        guard end > position else { return .end }
        cursor.cursor.place = (segment.baseOffset, segment.generation, position)
        cursor.start = cursor.cursor
        if end - position <= Int64(bytesMax) {
            cursor.cursor.offset = min(reader.bound, segment.endOffset)
            cursor.cursor.place = (segment.baseOffset, segment.generation, end)
            cursor.guess = nil
            return .range(FileRange(file: try segment.open(), position: position, count: Int(end - position)))
        }
        let limit = position + Int64(max(bytesMax, 0))
        var cut = try cursor.window.last(after: position, upTo: min(limit, end), in: segment)
        if cut == nil {
            switch try hop(from: position, upTo: limit, end, isFirst: isFirst, at: cursor.offset, in: segment) {
            case .found(let place): cut = place
            case .corrupt(let range): return .corrupt(at: range.offsets.lowerBound)
            }
        }
        guard let cut, cut > position else { return .tooLarge }
        // What the next batch's offset is, the reader will know.
        cursor.guess = (segment.baseOffset, segment.generation, cut)
        return .range(FileRange(file: try segment.open(), position: position, count: Int(cut - position)))
    }

    /// Where the batch begins that holds the cursor's offset.
    private func start(_ cursor: FileCursor, _ reader: Reader) throws(LogError) -> Place {
        if let known = reader.position { return .found(known) }
        let segment = reader.segment
        if let guess = cursor.guess, guess.segment == segment.baseOffset, guess.generation == segment.generation,
            guess.position < segment.sizeInBytes
        {
            let header = try segment.header(at: guess.position)
            if Self.isPlausible(header, in: segment), header.baseOffset <= cursor.offset,
                header.lastOffset >= cursor.offset
            {
                return .found(guess.position)
            }
        }
        return try locate(cursor.offset, in: segment)
    }

    /// Where the first batch begins that the reader may not have; nil when damage is in the way.
    private func end(of reader: Reader) throws(LogError) -> Int64? {
        let segment = reader.segment
        if reader.bound >= segment.endOffset { return segment.sizeInBytes }
        if let mark = durableMark, mark.offset == reader.bound, mark.segment == segment.baseOffset,
            mark.generation == segment.generation
        {
            return mark.position
        }
        if let damage = damages.first(where: { $0.offsets.lowerBound == reader.bound && $0.path == segment.path }) {
            return damage.filePosition
        }
        switch try locate(reader.bound, in: segment) {
        case .found(let position): return position
        case .corrupt: return nil
        }
    }

    /// Goes over batches of which the index knows nothing, to the one that does not fit.
    private func hop(
        from position: Int64, upTo limit: Int64, _ end: Int64, isFirst: Bool, at offset: Offset, in segment: Segment
    ) throws(LogError) -> Place {
        var at = position
        while at < end {
            let header = try segment.header(at: at)
            guard Self.isPlausible(header, in: segment), Int64(header.sizeInBytes) <= end - at else {
                // What is in front of it can be read.
                guard at == position else { break }
                let damage = Segment.Damage(position: at, offset: offset, reason: "no sound batch is here")
                return .corrupt(try fence(damage, in: segment))
            }
            guard at + Int64(header.sizeInBytes) <= limit || (isFirst && at == position) else { break }
            at += Int64(header.sizeInBytes)
        }
        return .found(at)
    }

    private func locate(_ offset: Offset, in segment: Segment) throws(LogError) -> Place {
        // An index interval of small batches' headers.
        let scratch = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(max(options.indexIntervalBytes, RecordBatchHeader.byteCount), 64 << 10), alignment: 16)
        defer { unsafe scratch.deallocate() }
        return unsafe try locate(offset, in: segment, scratch: scratch)
    }
}
