import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

/// A directory that goes with the object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/topiclog-test-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            precondition(unsafe mkdtemp(buffer.baseAddress!) != nil, "no temporary directory")
            return unsafe String(cString: buffer.baseAddress!)
        }
    }

    deinit { removeTree(path) }

    func child(_ name: String) -> String { path + "/" + name }
}

/// The real file system.
let system = FileSystem(SystemStorage())

func removeTree(_ path: String) {
    for name in (try? system.names(in: path)) ?? [] {
        if unsafe unlink(path + "/" + name) != 0 { removeTree(path + "/" + name) }
    }
    unsafe rmdir(path)
}

func readFile(_ path: String) -> [UInt8] { (try? system.contents(of: path)) ?? [] }

func writeFile(_ path: String, _ bytes: [UInt8]) {
    let file = try? system.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    #expect(throws: Never.self) { try file!.write(bytes, at: 0) }
}

/// Every file below a directory, by path, with its bytes.
func snapshot(_ path: String) -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for name in (try? system.names(in: path)) ?? [] {
        if (try? system.names(in: path + "/" + name)) != nil {
            files.merge(snapshot(path + "/" + name)) { $1 }
        } else {
            files[path + "/" + name] = readFile(path + "/" + name)
        }
    }
    return files
}

/// One sealed batch in memory of its own, as a landing slot would hold it.
@safe
final class Batch {
    let buffer: UnsafeMutableRawBufferPointer

    init(
        records: Int = 1, valueBytes: Int = 10, producerID: Int64 = -1, epoch: Int16 = -1, sequence: Int32 = -1,
        fill: UInt8 = 0x55, isTransactional: Bool = false
    ) {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: 100 + records * (valueBytes + 30), alignment: 16)
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        let value = [UInt8](repeating: fill, count: valueBytes)
        for index in 0..<records {
            precondition(builder.append(key: nil, value: value, timestampMilliseconds: Int64(index)))
        }
        let size = builder.seal(
            producerID: producerID, epoch: epoch, baseSequence: sequence, isTransactional: isTransactional)
        unsafe buffer = UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: size)
    }

    /// The end of a transaction.
    init(_ marker: EndTransactionMarker, producerID: Int64, epoch: Int16 = 0) {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: EndTransactionMarker.batchBytes, alignment: 16)
        let size = unsafe marker.write(to: memory, producerID: producerID, epoch: epoch, timestampMilliseconds: 1)
        unsafe buffer = UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: size)
    }

    deinit { unsafe buffer.deallocate() }

    var size: Int { unsafe buffer.count }
}

extension PartitionLog {
    func append(_ batches: [Batch]) -> [AppendResult] {
        unsafe append(batches.map { unsafe $0.buffer })
    }

    /// Appends one batch.
    func append(_ batch: Batch) -> AppendResult { append([batch])[0] }

    /// Appends a batch that is not idempotent.
    @discardableResult
    func append(records: Int = 1, valueBytes: Int = 10) -> AppendResult {
        append(Batch(records: records, valueBytes: valueBytes))
    }

    /// Appends a batch of an idempotent producer.
    func append(producer: Int64, epoch: Int16 = 0, sequence: Int32, records: Int = 1) -> AppendResult {
        append(Batch(records: records, producerID: producer, epoch: epoch, sequence: sequence))
    }
}

/// A reader with a buffer of its own.
struct TestReader {
    var cursor: LogCursor
    var bufferBytes = 1 << 16

    init(_ offset: Int64, bufferBytes: Int = 1 << 16) {
        cursor = LogCursor(Offset(offset))
        self.bufferBytes = bufferBytes
    }

    mutating func next(_ log: PartitionLog, below bound: Offset? = nil) throws -> (read: LogRead, bytes: [UInt8]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 16)
        defer { unsafe memory.deallocate() }
        let read = unsafe try log.read(&cursor, below: bound ?? log.logEndOffset, into: memory)
        guard case .batches(let count, _, _) = read else { return (read, []) }
        return unsafe (read, [UInt8](memory[..<count]))
    }

    /// The base offsets of all batches from here on, each of them validated; and how the reading ended.
    mutating func rest(_ log: PartitionLog, below bound: Offset? = nil) throws -> (bases: [Int64], end: LogRead) {
        var bases: [Int64] = []
        while true {
            let (read, bytes) = try next(log, below: bound)
            guard case .batches = read else { return (bases, read) }
            unsafe try bytes.withUnsafeBytes { all in
                var at = 0
                while at < all.count {
                    let size = unsafe RecordBatchHeader(parsing: .init(rebasing: all[at...])).sizeInBytes
                    let header = unsafe try RecordBatch.validate(
                        .init(rebasing: all[at..<(at + size)]), bytesMax: size)
                    bases.append(header.baseOffset.rawValue)
                    at += size
                }
            }
        }
    }
}

/// A partition directory and its only segment.
func openLog(
    _ directory: TemporaryDirectory, _ options: LogOptions = LogOptions(), bound: Int64? = nil,
    storage: any LogStorage = PlannedStorage()
) throws -> PartitionLog {
    try PartitionLog.open(
        directory: directory.path, options: options, durableBound: bound.map { Offset($0) }, storage: storage)
}

func openDirectory(_ path: String) throws(LogError) -> LogDirectory {
    try LogDirectory.open(path: path, storage: PlannedStorage())
}

func firstSegment(_ directory: TemporaryDirectory) -> String { directory.child("00000000000000000000.log") }

func options(segmentBytes: Int, indexIntervalBytes: Int = 4096) -> LogOptions {
    var options = LogOptions()
    options.segmentBytes = segmentBytes
    options.indexIntervalBytes = indexIntervalBytes
    return options
}

/// Counts, shared with closures.
final class Counter: Sendable {
    private let value: Mutex<Int>
    init(_ start: Int = 0) { value = Mutex(start) }
    var now: Int { value.withLock { $0 } }
    func set(_ new: Int) { value.withLock { $0 = new } }
    /// Adds one, returns what it was.
    @discardableResult func next() -> Int {
        value.withLock {
            $0 += 1
            return $0 - 1
        }
    }
}

func appended(_ base: Int64, _ last: Int64) -> AppendResult { .appended(base: Offset(base), last: Offset(last)) }
func duplicate(_ base: Int64, _ last: Int64) -> AppendResult { .duplicate(base: Offset(base), last: Offset(last)) }

extension AppendResult {
    /// The code of a storage rejection.
    var storageCode: LogError.Code? {
        if case .rejected(.storage(let error)) = self { return error.code }
        return nil
    }
}
