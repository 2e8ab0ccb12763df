internal import Glibc
package import RecordFormat

/// Reads the segment files of a partition from end to end without changing anything: for people and tools.
///
/// What cannot be a batch is reported as damage, up to the next whole batch: nothing of a file goes unmentioned.
/// Owns its buffer, which grows to the largest batch, as far as the file has one.
/// - Threading: one thread. A broker may write meanwhile: then the last batch may look cut.
package final class LogInspector {
    /// A range of a file, or of offsets, that no batch accounts for.
    package struct Damage: Sendable, CustomStringConvertible {
        /// Where it begins in the file, in bytes.
        package let position: Int64
        /// Up to the next batch, or the file's end. 0 when batches follow each other but their offsets do not.
        package let byteCount: Int64
        /// The first offset that is missing.
        package let start: Offset
        /// The offset that the log goes on with; nil when nothing follows in the file.
        package let end: Offset?
        /// What is wrong where it begins.
        package let reason: String

        package var description: String {
            let offsets = end.map { "offsets \(start)..<\($0)" } ?? "offsets from \(start) on"
            return "at byte \(position), \(byteCount) bytes, \(offsets): \(reason)"
        }
    }

    /// What stands next in a file.
    package enum Finding {
        /// A whole batch with the right checksum.
        case batch(RecordBatchHeader, position: Int64)
        case damage(Damage)
    }

    private let files: FileSystem
    private let path: String
    private let base: Offset
    private let file: LogFile
    private let fileBytes: Int64
    private var buffer: [UInt8] = []
    private var position: Int64 = 0
    private var expected: Offset
    /// After compaction offsets are missing on purpose.
    private let allowsGaps: Bool
    /// Whether offsets are missing between the batches so far, or records in them.
    private var hasGaps = false
    /// CRC-32C of the headers of all batches so far.
    private var headersChecksum: UInt32 = 0

    /// - Parameters:
    ///   - path: A segment file.
    ///   - expected: The offset it must begin with, as its name says.
    ///   - allowsGaps: Whether missing offsets are no damage.
    /// - Throws: when it cannot be read.
    package init(
        path: String, expecting expected: Offset, allowsGaps: Bool = false, storage: any LogStorage = SystemStorage()
    ) throws(LogError) {
        files = FileSystem(storage)
        file = try files.open(path, O_RDONLY)
        fileBytes = try file.size()
        (self.path, base) = (path, expected)
        self.expected = expected
        self.allowsGaps = allowsGaps
    }

    /// The segment files of a partition directory with their base offsets, in order.
    package static func segments(
        in directory: String, storage: any LogStorage = SystemStorage()
    ) throws(LogError) -> [(base: Offset, path: String)] {
        try FileSystem(storage).names(in: directory).compactMap { name in
            Segment.baseOffset(ofName: name).map { ($0, directory + "/" + name) }
        }
    }

    /// The partition directories of a data directory, in order.
    package static func partitions(
        in directory: String, storage: any LogStorage = SystemStorage()
    ) throws(LogError) -> [String] {
        try FileSystem(storage).names(in: directory).filter { TopicName.parse(directory: $0) != nil }
    }

    /// Up to where each partition of a data directory was durable when that was last written, by directory name.
    package static func recoveryPoints(
        in directory: String, storage: any LogStorage = SystemStorage()
    ) throws(LogError) -> [String: Offset] {
        try LogDirectory.readOffsets(.recoveryPoints, in: directory, FileSystem(storage))
    }

    /// Whether offsets may be missing in a segment: a `.compacted` file beside it says what compaction, or a repair,
    /// has left there.
    package static func isCompacted(
        _ segment: (base: Offset, path: String), storage: any LogStorage = SystemStorage()
    ) throws(LogError) -> Bool {
        try !summaries(segment.path, segment.base, FileSystem(storage)).isEmpty
    }

    private static func summaries(
        _ path: String, _ base: Offset, _ files: FileSystem
    ) throws(LogError) -> [SegmentSummary] {
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        return try SegmentSummary.read(base, in: directory, files)
    }

    /// What is wrong with the gaps of a compacted segment that was read to its end: nothing but the `.compacted` file
    /// tells them from damaged headers. A start of the broker would say the same.
    package func gapDamage() throws(LogError) -> String? {
        guard hasGaps else { return nil }
        let isVouchedFor = try Self.summaries(path, base, files).contains { summary in
            summary.sizeInBytes == fileBytes && summary.endOffset == expected
                && summary.headersChecksum == headersChecksum
        }
        return isVouchedFor ? nil : "the batch headers are not those that compaction wrote"
    }

    /// The offset after the last batch so far.
    package var nextOffset: Offset { expected }
    /// The size of the file in bytes.
    package var sizeInBytes: Int64 { fileBytes }

    /// The next batch or damage; nil at the file's end.
    package func next() throws(LogError) -> Finding? {
        guard position < fileBytes else { return nil }
        let start = position
        let reason: String
        switch try batch(at: start) {
        case .success(let header):
            if header.baseOffset == expected || (allowsGaps && header.baseOffset > expected) {
                count(header)
                position += Int64(header.sizeInBytes)
                expected = header.lastOffset.advanced(by: 1)
                return .batch(header, position: start)
            }
            reason = "base offset is \(header.baseOffset), not \(expected)"
            // The base offset is outside of the checksum: the batch behind it tells which of the two is wrong.
            if header.baseOffset > expected, try follows(header, at: start) {
                defer { expected = header.baseOffset }
                return .damage(
                    Damage(position: start, byteCount: 0, start: expected, end: header.baseOffset, reason: reason))
            }
        case .failure(let why): reason = why.reason
        }
        let first = expected
        var following: Offset?
        position = fileBytes
        if let (place, header) = try resume(after: start) {
            position = place
            expected = header.baseOffset
            following = header.baseOffset
        }
        return .damage(
            Damage(position: start, byteCount: position - start, start: first, end: following, reason: reason))
    }

    /// Lends the bytes of the batch that ``next()`` has just returned.
    package func withBatch<T>(_ header: RecordBatchHeader, _ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        try unsafe buffer.withUnsafeBytes { bytes in
            unsafe try body(UnsafeRawBufferPointer(rebasing: bytes[..<header.sizeInBytes]))
        }
    }

    /// Takes note of the batch in the buffer, which is the next one.
    private func count(_ header: RecordBatchHeader) {
        hasGaps = hasGaps || header.baseOffset != expected || !header.hasConsistentCount
        headersChecksum = unsafe buffer.withUnsafeBytes { bytes in
            unsafe CRC32C.extend(headersChecksum, with: .init(rebasing: bytes[..<RecordBatchHeader.byteCount]))
        }
    }

    /// Whether the batch behind goes on from this one's offsets; nothing behind vouches for nothing.
    private func follows(_ header: RecordBatchHeader, at start: Int64) throws(LogError) -> Bool {
        let place = start + Int64(header.sizeInBytes)
        guard place < fileBytes, case .success(let next) = try batch(at: place) else { return false }
        return next.baseOffset == header.lastOffset.advanced(by: 1)
    }

    /// The first whole batch behind a damaged place whose offsets may follow.
    private func resume(after start: Int64) throws(LogError) -> (Int64, RecordBatchHeader)? {
        var place = start + 1
        while place + Int64(RecordBatchHeader.byteCount) <= fileBytes {
            let window = try load(place, byteCount: 1 << 20)
            guard let index = candidate(in: window, at: place) else {
                place += Int64(window - RecordBatchHeader.byteCount + 1)
                continue
            }
            // Takes the buffer for itself.
            place += Int64(index)
            if case .success(let header) = try batch(at: place) { return (place, header) }
            place += 1
        }
        return nil
    }

    /// The first place in the buffer that may begin a batch of later offsets.
    private func candidate(in window: Int, at place: Int64) -> Int? {
        unsafe buffer.withUnsafeBytes { bytes in
            for index in 0...(window - RecordBatchHeader.byteCount) where unsafe bytes[index + 16] == 2 {
                let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(rebasing: bytes[index...]))
                let end = place + Int64(index) + Int64(header.sizeInBytes)
                if header.sizeInBytes >= RecordBatchHeader.byteCount, end <= fileBytes, header.baseOffset >= expected,
                    expected.distance(to: header.baseOffset) <= Int64(Int32.max)
                {
                    return index
                }
            }
            return nil
        }
    }

    /// Leaves the batch at a position in the buffer, if a sound one is there.
    private func batch(at place: Int64) throws(LogError) -> Result<RecordBatchHeader, SegmentScanner.Damage> {
        let left = fileBytes - place
        guard left >= Int64(RecordBatchHeader.byteCount) else {
            return .failure(.init("\(left) bytes are less than a batch header"))
        }
        _ = try load(place, byteCount: RecordBatchHeader.byteCount)
        let header = unsafe buffer.withUnsafeBytes { unsafe RecordBatchHeader(parsing: $0) }
        guard header.magic == 2 else { return .failure(.init("magic is \(header.magic), not 2")) }
        guard header.sizeInBytes >= RecordBatchHeader.byteCount, Int64(header.sizeInBytes) <= left else {
            return .failure(.init("a batch of \(header.sizeInBytes) bytes, of which \(left) are there"))
        }
        guard header.baseOffset.rawValue >= 0, header.lastOffsetDelta >= 0,
            header.baseOffset.rawValue < Int64.max - Int64(Int32.max)
        else { return .failure(.init("base offset \(header.baseOffset), last delta \(header.lastOffsetDelta)")) }
        _ = try load(place, byteCount: header.sizeInBytes)
        let sum = unsafe buffer.withUnsafeBytes { bytes in
            unsafe CRC32C.checksum(.init(rebasing: bytes[RecordBatchHeader.checksumRangeStart..<header.sizeInBytes]))
        }
        guard sum == header.crc else { return .failure(.init("CRC-32C is \(sum), the header says \(header.crc)")) }
        return .success(header)
    }

    /// Reads up to `byteCount` bytes; returns how many there were.
    private func load(_ place: Int64, byteCount: Int) throws(LogError) -> Int {
        let count = Int(min(Int64(byteCount), fileBytes - place))
        if buffer.count < count { buffer = Array(repeating: 0, count: count) }
        var failure: LogError?
        let got = unsafe buffer.withUnsafeMutableBytes { bytes in
            do throws(LogError) { return unsafe try file.read(into: .init(rebasing: bytes[..<count]), at: place) } catch
            {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        guard got == count else { throw LogError(errno: EIO, "reading", file.path, advice: "it shrank meanwhile") }
        return got
    }
}
