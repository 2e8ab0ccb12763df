internal import Glibc
internal import RecordFormat

/// One file of a partition: the batches from `baseOffset` up to `endOffset`.
///
/// The file is opened when it is needed; see ``OpenFiles`` for when it is closed.
final class Segment {
    let baseOffset: Offset
    let directory: String
    let files: FileSystem
    /// Bytes of log between two index entries.
    let intervalBytes: Int
    /// Bytes of whole, good batches: what may be read. The file may be longer (a fenced segment, a failed append).
    var sizeInBytes: Int64
    /// The offset after the last record.
    var endOffset: Offset
    /// What vouches for it once compaction has made it; nil before: then its offsets have no gaps.
    var summary: SegmentSummary?
    /// Positions of one generation mean nothing in another: compaction has replaced the file.
    var generation = 0
    /// In memory while it is written to; else they are looked up in their files.
    var indexes: SegmentIndexes?
    /// Whether it has bytes that no sync has covered.
    var isDirty = false
    /// Whether it was used since ``OpenFiles`` last looked.
    var wasUsed = false
    /// Whether the index files were looked at, or written, since the log was opened.
    var hasCheckedIndexes = false
    /// The largest timestamp, of which there may be none; nil before it was looked up. Of a segment whose indexes are
    /// in memory they know better.
    var latestTimestamp: Int64??
    /// The transactions that markers in it abort; nil before they were looked up. See ``TransactionIndex``.
    var aborted: [AbortedTransaction]?
    /// Whether the file does not say the same.
    var hasUnsavedAborted = false
    /// Where it is counted; nil while a log is recovered.
    var openFiles: OpenFiles?
    private var opened: LogFile?
    /// The file after it was let go of: while somebody has it, it is not opened a second time.
    private weak var released: LogFile?

    init(
        baseOffset: Offset, endOffset: Offset, sizeInBytes: Int64, directory: String, intervalBytes: Int,
        _ files: FileSystem
    ) {
        self.baseOffset = baseOffset
        self.endOffset = endOffset
        self.sizeInBytes = sizeInBytes
        self.directory = directory
        self.intervalBytes = intervalBytes
        self.files = files
    }

    var path: String { directory + "/" + Self.name(baseOffset) }
    var isOpen: Bool { opened != nil }

    /// Whether offsets may be missing between batches. Its last one is always there.
    var hasGaps: Bool { summary != nil }

    /// The file of a segment that is open for sure: the caller has just opened it, or it is dirty.
    var file: LogFile { opened! }

    /// The file, opened if it is not.
    @discardableResult
    func open() throws(LogError) -> LogFile {
        wasUsed = true
        if let opened { return opened }
        let file = if let released { released } else { try files.open(path, O_RDWR) }
        take(file)
        return file
    }

    /// Lets go of the descriptor. Whoever holds the file still may use it.
    func closeFile() {
        released = opened
        opened = nil
    }

    /// Counts an open file from now on.
    func adopt(_ openFiles: OpenFiles) {
        self.openFiles = openFiles
        if isOpen { openFiles.add(self) }
    }

    /// Takes a file that was opened elsewhere.
    func take(_ file: LogFile) {
        opened = file
        openFiles?.add(self)
    }

    /// Takes note of a batch written at the end. Its indexes are in memory.
    func add(_ header: RecordBatchHeader) {
        indexes?.add(header, base: baseOffset, position: sizeInBytes)
        sizeInBytes += Int64(header.sizeInBytes)
        endOffset = header.lastOffset.advanced(by: 1)
    }

    /// The file's name: the base offset in 20 digits, as Kafka's.
    static func name(_ baseOffset: Offset) -> String { name(baseOffset, ".log") }

    /// The name of a file that belongs to an offset, as Kafka's.
    static func name(_ offset: Offset, _ suffix: String) -> String { stem(offset) + suffix }

    /// What the names of a segment's files begin with.
    static func stem(_ baseOffset: Offset) -> String { String.zeroPadded(baseOffset.rawValue, to: 20) }

    /// The base offset a name stands for, or nil when it is no segment's.
    static func baseOffset(ofName name: String) -> Offset? { offset(ofName: name, ".log") }

    /// The offset of a name with 20 digits and the suffix, or nil.
    static func offset(ofName name: String, _ suffix: String) -> Offset? {
        let bytes = name.utf8
        guard bytes.count == 20 + suffix.utf8.count, name.hasSuffix(suffix) else { return nil }
        var number: Int64 = 0
        for byte in bytes.prefix(20) {
            guard (48...57).contains(byte) else { return nil }
            let (shifted, isTooLarge) = number.multipliedReportingOverflow(by: 10)
            let (next, isOver) = shifted.addingReportingOverflow(Int64(byte - 48))
            if isTooLarge || isOver { return nil }
            number = next
        }
        return Offset(number)
    }

    /// What the name of a segment ends with while compaction writes it.
    static let cleanedSuffix = ".cleaned"

    /// Removes the index files of a segment: they are rebuilt when there are none.
    static func removeIndexes(_ baseOffset: Offset, in directory: String, _ files: FileSystem) throws(LogError) {
        for suffix in [".index", ".timeindex"] { try files.remove(directory + "/" + stem(baseOffset) + suffix) }
    }

    /// Removes all files of a segment, the log before what is derived from it.
    static func remove(_ baseOffset: Offset, in directory: String, _ files: FileSystem) throws(LogError) {
        // It may know of a transaction that ends in the log that goes.
        try files.remove(directory + "/" + name(baseOffset, ProducerSnapshot.suffix))
        try files.remove(directory + "/" + name(baseOffset))
        try removeIndexes(baseOffset, in: directory, files)
        try files.remove(directory + "/" + name(baseOffset, TransactionIndex.suffix))
        try files.remove(directory + "/" + SegmentSummary.file(baseOffset).name)
    }

    /// Creates an empty segment, and makes its name durable unless that is left to the caller.
    static func create(
        _ baseOffset: Offset, in directory: String, options: LogOptions, openFiles: OpenFiles? = nil,
        isDurable: Bool = true, _ files: FileSystem
    ) throws(LogError) -> Segment {
        let path = directory + "/" + name(baseOffset)
        let file = try files.open(path, O_RDWR | O_CREAT | O_EXCL, operation: "creating")
        if isDurable { try files.synchronizeDirectory(directory) }
        let segment = Segment(
            baseOffset: baseOffset, endOffset: baseOffset, sizeInBytes: 0, directory: directory,
            intervalBytes: options.indexIntervalBytes, files)
        segment.indexes = SegmentIndexes(intervalBytes: options.indexIntervalBytes)
        segment.aborted = []
        segment.openFiles = openFiles
        segment.take(file)
        return segment
    }
}
