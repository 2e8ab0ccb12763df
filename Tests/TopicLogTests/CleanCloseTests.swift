import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

/// What a clean stop leaves, and what an open after it does without.
@Suite struct CleanCloseTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }

    /// A topic of two partitions, the first with idempotent batches in several segments.
    func fill(_ options: LogOptions, storage: any LogStorage = PlannedStorage()) throws -> LogDirectory {
        let data = try LogDirectory.open(path: path, options: options, storage: storage)
        try data.createTopic(name: "t", partitions: 2)
        let log = data.partition(topic: "t", index: 0)!
        for sequence in 0..<20 { _ = log.append(producer: 7, sequence: Int32(sequence)) }
        return data
    }

    @Test func opensNoFileOfAPartition() throws {
        let small = options(segmentBytes: 3 * Batch().size)
        try fill(small).close()
        let storage = CountingStorage()
        let data = try LogDirectory.open(path: path, options: small, storage: storage)
        #expect(storage.opened.withLock { $0 }.filter { $0.contains("/t-") }.isEmpty)
        let log = data.partition(topic: "t", index: 0)!
        #expect(log.logEndOffset == Offset(20) && log.durableOffset == Offset(20) && log.recovery.batches == 0)
        var reader = TestReader(0)
        #expect(try reader.rest(log).bases == Array(0..<20))
        #expect(log.append(producer: 7, sequence: 20) == appended(20, 20))
        for sequence in 16...20 as ClosedRange<Int64> {
            #expect(log.append(producer: 7, sequence: Int32(sequence)) == duplicate(sequence, sequence))
        }
        #expect(log.append(producer: 7, sequence: 15) == .rejected(.outOfOrderSequence))
        #expect(data.partition(topic: "t", index: 1)!.append() == appended(0, 0))
    }

    /// What was said at the clean stop holds for one start: a crash after it is a crash.
    @Test func isForgottenAtTheNextStart() throws {
        try fill(LogOptions()).close()
        var data = try openDirectory(path)
        #expect(data.partition(topic: "t", index: 0)!.append(producer: 7, sequence: 20) == appended(20, 20))
        data.dropLock()
        data = try openDirectory(path)
        #expect(data.partition(topic: "t", index: 0)!.logEndOffset == Offset(21))
        #expect(data.partition(topic: "t", index: 0)!.append(producer: 7, sequence: 20) == duplicate(20, 20))
    }

    /// A segment that is not as the stop left it is looked at.
    @Test func isNotBelievedOfAChangedSegment() throws {
        try fill(LogOptions()).close()
        let segment = path + "/t-0/00000000000000000000.log"
        writeFile(segment, readFile(segment) + [1, 2, 3])
        let log = try openDirectory(path).partition(topic: "t", index: 0)!
        #expect(log.logEndOffset == Offset(20) && log.recovery.tornBytes == 3)
    }

    /// Every file beside the log may be missing, cut or flipped: it is built anew, and nothing else changes.
    @Test(arguments: [".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"])
    func damagedFilesAreRebuilt(_ suffix: String) throws {
        let many = options(segmentBytes: 10 * Batch().size, indexIntervalBytes: 2 * Batch().size)
        for damage in 0..<6 {
            let directory = TemporaryDirectory()
            let path = directory.child("data")
            do {
                let data = try LogDirectory.open(path: path, options: many)
                try data.createTopic(name: "t", partitions: 1)
                let log = data.partition(topic: "t", index: 0)!
                for sequence in 0..<35 { _ = log.append(producer: 7, sequence: Int32(sequence)) }
                try data.close()
            }
            let names = try system.names(in: path + "/t-0").filter { $0.hasSuffix(suffix) }
            #expect(!names.isEmpty)
            for name in names {
                let file = path + "/t-0/" + name
                var bytes = readFile(file)
                switch damage {
                case 0: try system.remove(file)
                case 1: bytes = []
                case 2: bytes.removeLast(min(bytes.count, 8))
                case 3: for index in bytes.indices { bytes[index] ^= 0xFF }
                case 4: for index in bytes.indices where index % 8 == 7 { bytes[index] &+= 1 }
                default: bytes = Array(repeating: 0, count: bytes.count)
                }
                if damage > 0 { writeFile(file, bytes) }
            }
            let data = try LogDirectory.open(path: path, options: many)
            let log = data.partition(topic: "t", index: 0)!
            for offset in 0..<35 as Range<Int64> {
                var reader = TestReader(offset)
                #expect(try reader.rest(log) == (Array(offset..<35), .end), "\(suffix) \(damage) \(offset)")
            }
            #expect(try log.offset(forTimestamp: 0)?.offset == .zero, "\(suffix) \(damage)")
            #expect(log.append(producer: 7, sequence: 34) == duplicate(34, 34), "\(suffix) \(damage)")
            #expect(log.append(producer: 7, sequence: 31) == duplicate(31, 31), "\(suffix) \(damage)")
            #expect(log.append(producer: 7, sequence: 35) == appended(35, 35), "\(suffix) \(damage)")
            #expect(try log.verify().isEmpty)
            try data.close()
        }
    }

    /// A log with many segments reads and appends with few descriptors.
    @Test func keepsFewFilesOpen() throws {
        var few = options(segmentBytes: Batch().size)
        few.openSegmentsMax = 3
        let data = try LogDirectory.open(path: path, options: few)
        try data.createTopic(name: "t", partitions: 4)
        let logs = (0..<4).map { data.partition(topic: "t", index: $0)! }
        for round in 0..<10 as Range<Int64> {
            for log in logs {
                #expect(log.append() == appended(round, round))
                try log.synchronize()
            }
        }
        for log in logs {
            var reader = TestReader(0)
            #expect(try reader.rest(log).bases == Array(0..<10))
        }
        #expect(logs.flatMap(\.segments).filter(\.isOpen).count <= 3)
        for log in logs { #expect(log.append() == appended(10, 10)) }
        #expect(logs.allSatisfy { $0.segments.last!.isOpen }, "what waits for a sync stays open")
        try data.close()
    }

    @Test func tooManyOpenFilesSayWhatToDo() {
        let error = LogError(errno: EMFILE, "opening", "/data/t-0/0.log")
        #expect(error.description.contains("LimitNOFILE"))
    }
}

/// The kernel's calls; remembers which files were opened.
final class CountingStorage: LogStorage {
    let real = SystemStorage()
    let opened = Mutex<[String]>([])

    func open(_ path: String, _ flags: Int32) -> Int32 {
        opened.withLock { $0.append(path) }
        return real.open(path, flags)
    }
    func close(_ descriptor: Int32) { real.close(descriptor) }
    func size(of descriptor: Int32) -> Int64 { real.size(of: descriptor) }
    func size(at path: String) -> Int64 { real.size(at: path) }
    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
        unsafe real.read(descriptor, into: buffer, at: position)
    }
    func write(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>, at position: Int64) -> Int {
        unsafe real.write(descriptor, vectors, at: position)
    }
    func truncate(_ descriptor: Int32, to size: Int64) -> Int32 { real.truncate(descriptor, to: size) }
    func synchronize(_ descriptor: Int32) -> Int32 { real.synchronize(descriptor) }
    func dropCache(of descriptor: Int32) { real.dropCache(of: descriptor) }
    func lock(_ descriptor: Int32) -> Int32 { real.lock(descriptor) }
    func unlock(_ descriptor: Int32) { real.unlock(descriptor) }
    func createDirectory(_ path: String) -> Int32 { real.createDirectory(path) }
    func synchronizeDirectory(_ path: String) -> Int32 { real.synchronizeDirectory(path) }
    func rename(_ old: String, to new: String) -> Int32 { real.rename(old, to: new) }
    func remove(_ path: String) -> Int32 { real.remove(path) }
    func removeDirectory(_ path: String) -> Int32 { real.removeDirectory(path) }
    func exists(_ path: String) -> Int32 { real.exists(path) }
    func names(in path: String, _ take: (String) -> Void) -> Int32 { real.names(in: path, take) }
}
