internal import Glibc
internal import RecordFormat

/// One file of a partition: the batches from `baseOffset` up to `endOffset`.
final class Segment {
    let baseOffset: Offset
    let file: LogFile
    /// Bytes of whole, good batches: what may be read. The file may be longer (a fenced segment, a failed append).
    var sizeInBytes: Int64 = 0
    /// The offset after the last record.
    var endOffset: Offset
    var index: SparseIndex
    /// The latest timestamp in it, in milliseconds since 1970; `Int64.min` when it is empty.
    var maxTimestamp = Int64.min
    /// The timestamp of its first batch, or nil when it is empty.
    var firstTimestamp: Int64?
    /// What vouches for it once compaction has made it; nil before: then its offsets have no gaps.
    var summary: SegmentSummary?
    /// Positions of one generation mean nothing in another: compaction has replaced the file.
    var generation = 0

    init(baseOffset: Offset, file: LogFile, options: LogOptions) {
        self.baseOffset = baseOffset
        self.file = file
        endOffset = baseOffset
        index = SparseIndex(intervalBytes: options.indexIntervalBytes)
    }

    /// Whether offsets may be missing between batches. Its last one is always there.
    var hasGaps: Bool { summary != nil }

    /// Takes note of a batch written at the end.
    func add(_ header: RecordBatchHeader) {
        index.add(
            lastRelativeOffset: baseOffset.distance(to: header.lastOffset), position: sizeInBytes,
            batchBytes: header.sizeInBytes)
        sizeInBytes += Int64(header.sizeInBytes)
        maxTimestamp = max(maxTimestamp, header.maxTimestamp)
        if firstTimestamp == nil { firstTimestamp = header.maxTimestamp }
        endOffset = header.lastOffset.advanced(by: 1)
    }

    /// Writes the `.index` beside the log. Not synced: nothing of ours depends on it.
    func writeIndex() throws(LogError) {
        let path = String(file.path.dropLast(".log".count)) + ".index"
        let indexFile = try FileSystem(file.storage).open(path, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        try indexFile.write(index.encoded, at: 0)
    }

    /// The file's name: the base offset in 20 digits, as Kafka's.
    static func name(_ baseOffset: Offset) -> String { stem(baseOffset) + ".log" }

    /// What the names of a segment's files begin with.
    static func stem(_ baseOffset: Offset) -> String { String.zeroPadded(baseOffset.rawValue, to: 20) }

    /// The base offset a name stands for, or nil when it is no segment's.
    static func baseOffset(ofName name: String) -> Offset? {
        guard name.utf8.count == 24, name.hasSuffix(".log"), name.utf8.prefix(20).allSatisfy({ (48...57).contains($0) })
        else { return nil }
        return Int64(name.prefix(20)).map { Offset($0) }
    }

    /// What the name of a segment ends with while compaction writes it.
    static let cleanedSuffix = ".cleaned"

    /// Removes the index files of a segment: they are rebuilt when there are none.
    static func removeIndexes(_ baseOffset: Offset, in directory: String, _ files: FileSystem) throws(LogError) {
        for suffix in [".index", ".timeindex"] { try files.remove(directory + "/" + stem(baseOffset) + suffix) }
    }

    /// Removes all files of a segment, the log first.
    static func remove(_ baseOffset: Offset, in directory: String, _ files: FileSystem) throws(LogError) {
        try files.remove(directory + "/" + name(baseOffset))
        try removeIndexes(baseOffset, in: directory, files)
        try files.remove(directory + "/" + SegmentSummary.file(baseOffset).name)
    }

    /// Creates an empty segment and makes its name durable.
    static func create(
        _ baseOffset: Offset, in directory: String, options: LogOptions, _ files: FileSystem
    ) throws(LogError) -> Segment {
        let path = directory + "/" + name(baseOffset)
        let file = try files.open(path, O_RDWR | O_CREAT | O_EXCL, operation: "creating")
        try files.synchronizeDirectory(directory)
        return Segment(baseOffset: baseOffset, file: file, options: options)
    }
}
