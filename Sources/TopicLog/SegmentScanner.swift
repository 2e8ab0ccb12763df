internal import Glibc
internal import RecordFormat

/// Walks the batches of one segment from its beginning, with large preads, until the end or the first bad one.
///
/// Owns its read buffer: `deallocate` it.
@safe  // Every access lies inside `buffer`, which `load` has filled with that part of the file.
struct SegmentScanner {
    private let buffer: UnsafeMutableRawBufferPointer
    private var loadedStart: Int64 = 0
    private var loadedCount = 0
    private var file: LogFile
    private var fileBytes: Int64 = 0
    /// CRC-32C of all headers returned so far as compacted.
    private(set) var headersChecksum: UInt32 = 0
    private var bufferBytes: Int { unsafe buffer.count }

    /// A read costs little beside the checksums of 1 MiB; where only headers are wanted, small batches come many at
    /// once and of large ones little is read in vain.
    static let scanBytes = 1 << 20, hopBytes = 1 << 12

    /// - Parameter bufferBytes: How much to read at once; at least a header.
    init(file: LogFile, fileBytes: Int64, bufferBytes: Int) {
        precondition(bufferBytes >= RecordBatchHeader.byteCount)
        self.file = file
        self.fileBytes = fileBytes
        unsafe buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 16)
    }

    func deallocate() {
        unsafe buffer.deallocate()
    }

    /// The batch header at `position`, if a sound one is there.
    /// - Parameters:
    ///   - expected: The base offset it must have: offsets have no gaps.
    ///   - compactedEnd: Where a compacted segment ends: up to there offsets and records may be missing, and something
    ///     else must vouch for those that are there. Nil for any other.
    ///   - epochs: The range its leader epoch must be in.
    ///   - durableBound: A batch that ends below it is judged by its header; any other is read and its checksum too.
    /// - Returns: the header, or what is wrong there.
    /// - Throws: when the file cannot be read.
    mutating func batch(
        at position: Int64, expecting expected: Offset, compactedEnd: Offset? = nil,
        epochs: ClosedRange<LeaderEpoch>, durableBound: Offset
    ) throws(LogError) -> Result<RecordBatchHeader, Damage> {
        let left = fileBytes - position
        guard left >= Int64(RecordBatchHeader.byteCount) else {
            return .failure(Damage("\(left) bytes are less than a batch header"))
        }
        // Headers alone: little more than they are is read.
        let window = expected < durableBound ? Self.hopBytes : bufferBytes
        try load(position, atLeast: RecordBatchHeader.byteCount, window: window)
        let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(slice(position, fileBytes)))
        // Base offset and leader epoch are outside the checksum: only their neighbours can vouch for them.
        guard header.magic == 2 else { return .failure(Damage("magic is \(header.magic), not 2")) }
        guard header.baseOffset == expected || compactedEnd.map({ header.isWithin(expected, $0) }) == true else {
            return .failure(Damage("base offset is \(header.baseOffset), not \(expected)"))
        }
        guard epochs.contains(header.partitionLeaderEpoch) else {
            return .failure(Damage("leader epoch \(header.partitionLeaderEpoch) is outside \(epochs)"))
        }
        // Compaction leaves empty batches.
        guard header.sizeInBytes + (compactedEnd != nil ? 1 : 0) > RecordBatchHeader.byteCount,
            Int64(header.sizeInBytes) <= left
        else {
            return .failure(Damage("a batch of \(header.sizeInBytes) bytes, of which \(left) are there"))
        }
        guard compactedEnd != nil ? header.hasPossibleCount : header.hasConsistentCount else {
            return .failure(Damage("\(header.recordCount) records, last delta \(header.lastOffsetDelta)"))
        }
        if compactedEnd != nil {
            headersChecksum = unsafe CRC32C.extend(
                headersChecksum, with: .init(rebasing: slice(position, fileBytes)[..<RecordBatchHeader.byteCount]))
        }
        if header.lastOffset >= durableBound {
            let sum = try checksumOfBatch(at: position, bytes: header.sizeInBytes)
            guard sum == header.crc else {
                return .failure(Damage("CRC-32C is \(sum), the header says \(header.crc)"))
            }
        }
        return .success(header)
    }

    /// What the control batch at `position` says, whose header was looked at; nil when it is no end of a transaction.
    mutating func marker(at position: Int64, bytes: Int) throws(LogError) -> EndTransactionMarker? {
        guard bytes <= min(bufferBytes, Self.hopBytes) else { return nil }
        try load(position, atLeast: bytes, window: Self.hopBytes)
        return unsafe EndTransactionMarker(UnsafeRawBufferPointer(slice(position, position + Int64(bytes))))
    }

    /// A batch may be larger than the buffer, and a damaged length announce anything: so piece by piece.
    private mutating func checksumOfBatch(at position: Int64, bytes: Int) throws(LogError) -> UInt32 {
        let end = position + Int64(bytes)
        var sum: UInt32 = 0
        var next = position + Int64(RecordBatchHeader.checksumRangeStart)
        while next < end {
            try load(next, atLeast: 1, window: bufferBytes)
            let piece = unsafe slice(next, end)
            sum = unsafe CRC32C.extend(sum, with: UnsafeRawBufferPointer(piece))
            next += Int64(piece.count)
        }
        return sum
    }

    /// What is loaded of `start..<end`.
    private func slice(_ start: Int64, _ end: Int64) -> UnsafeMutableRawBufferPointer {
        let stop = min(end, loadedStart + Int64(loadedCount))
        return unsafe UnsafeMutableRawBufferPointer(
            rebasing: buffer[Int(start - loadedStart)..<Int(stop - loadedStart)])
    }

    /// Makes sure that `count` bytes from `position` are loaded. They lie in the file and fit the buffer.
    private mutating func load(_ position: Int64, atLeast count: Int, window: Int) throws(LogError) {
        if position >= loadedStart && position + Int64(count) <= loadedStart + Int64(loadedCount) { return }
        loadedStart = position
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(window, bufferBytes)])
        loadedCount = unsafe try file.read(into: target, at: position)
        guard loadedCount >= count else {
            throw LogError(errno: EIO, "reading \(count) bytes at \(position) from", file.path, advice: "it shrank")
        }
    }

    /// What is wrong with a batch; an `Error` only so that `Result` takes it.
    struct Damage: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }
}

extension RecordBatchHeader {
    /// Whether the batch lies between `expected` and `end`.
    fileprivate func isWithin(_ expected: Offset, _ end: Offset) -> Bool {
        baseOffset > expected && baseOffset < end && baseOffset.distance(to: end) > Int64(lastOffsetDelta)
    }
}
