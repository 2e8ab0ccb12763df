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

    init(baseOffset: Offset, file: LogFile, options: LogOptions) {
        self.baseOffset = baseOffset
        self.file = file
        endOffset = baseOffset
        index = SparseIndex(intervalBytes: options.indexIntervalBytes)
    }

    /// Takes note of a batch written at the end.
    func add(_ header: RecordBatchHeader) {
        index.add(
            lastRelativeOffset: baseOffset.distance(to: header.lastOffset), position: sizeInBytes,
            batchBytes: header.sizeInBytes)
        sizeInBytes += Int64(header.sizeInBytes)
        endOffset = header.lastOffset.advanced(by: 1)
    }

    /// Writes the `.index` beside the log. Not synced: nothing of ours depends on it.
    func writeIndex() throws(LogError) {
        let path = String(file.path.dropLast(".log".count)) + ".index"
        let indexFile = try FileSystem(file.storage).open(path, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        try indexFile.write(index.encoded, at: 0)
    }

    /// The file's name: the base offset in 20 digits, as Kafka's.
    static func name(_ baseOffset: Offset) -> String {
        String.zeroPadded(baseOffset.rawValue, to: 20) + ".log"
    }

    /// The base offset a name stands for, or nil when it is no segment's.
    static func baseOffset(ofName name: String) -> Offset? {
        guard name.utf8.count == 24, name.hasSuffix(".log"), name.utf8.prefix(20).allSatisfy({ (48...57).contains($0) })
        else { return nil }
        return Int64(name.prefix(20)).map { Offset($0) }
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
