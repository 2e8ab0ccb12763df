import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

@Suite struct FileRangeTests {
    let directory = TemporaryDirectory()

    /// All bytes from an offset on, range by range, as a client goes on that asks for what follows its last record.
    private func read(
        _ log: PartitionLog, from offset: Int64, below bound: Offset? = nil, bytesMax: Int
    ) throws -> (bytes: [UInt8], ranges: Int) {
        var cursor = FileCursor(Offset(offset))
        var (bytes, ranges) = ([UInt8](), 0)
        while true {
            let found = try log.fileRange(
                &cursor, below: bound ?? log.logEndOffset, bytesMax: bytesMax, isFirst: true)
            guard case .range(let range) = found else { return (bytes, ranges) }
            let part = try contents(range)
            bytes += part
            ranges += 1
            cursor.seek(try next(behind: part))
        }
    }

    private func contents(_ range: FileRange) throws -> [UInt8] {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 1)
        defer { unsafe memory.deallocate() }
        #expect(unsafe try range.file.read(into: memory, at: range.position) == range.count)
        return unsafe Array(memory)
    }

    /// The offset after the last of some whole batches.
    private func next(behind bytes: [UInt8]) throws -> Offset {
        unsafe try bytes.withUnsafeBytes { all in
            var at = 0
            var next = Offset.zero
            while at < all.count {
                let size = unsafe RecordBatchHeader(parsing: .init(rebasing: all[at...])).sizeInBytes
                let header = unsafe try RecordBatch.validate(.init(rebasing: all[at..<(at + size)]), bytesMax: size)
                next = header.lastOffset.advanced(by: 1)
                at += size
            }
            return next
        }
    }

    private func fill(_ log: PartitionLog, batches: Int) {
        for index in 0..<batches { log.append(records: 1 + index % 3, valueBytes: 20 + index % 400) }
    }

    /// Whatever the limit, the ranges together are the log from the batch that holds the offset on.
    @Test(arguments: [1, 100, 777, 5_000, 50_000, 1 << 30])
    func rangesAreTheLog(bytesMax: Int) throws {
        let log = try openLog(directory, options(segmentBytes: 40_000))
        fill(log, batches: 400)
        #expect(log.segments.count > 2)
        let whole = try log.segments.flatMap { segment in
            try contents(FileRange(file: segment.open(), position: 0, count: Int(segment.sizeInBytes)))
        }
        #expect(try read(log, from: 0, bytesMax: bytesMax).bytes == whole)
        for start in [1, 2, 5, 311, 400, 797] as [Int64] {
            let rest = try read(log, from: start, bytesMax: bytesMax).bytes
            let first = try #require(rest.isEmpty ? nil : rest)
            let header = unsafe first.withUnsafeBytes { unsafe RecordBatchHeader(parsing: $0) }
            #expect(header.baseOffset.rawValue <= start && header.lastOffset.rawValue >= start)
            #expect(Array(whole.suffix(rest.count)) == rest)
        }
    }

    /// Nothing at or above the bound, whether it is the last sync's or another one.
    @Test func endsBelowTheBound() throws {
        let log = try openLog(directory)
        fill(log, batches: 100)
        let ticket = try #require(log.takeFlushTicket())
        log.didFlush(ticket, error: nil)
        let durable = log.durableOffset
        fill(log, batches: 50)
        #expect(try next(behind: try read(log, from: 0, below: durable, bytesMax: 1 << 30).bytes) == durable)
        for bound in [3, 90, 150] as [Int64] {
            let end = try next(behind: try read(log, from: 0, below: Offset(bound), bytesMax: 1 << 30).bytes)
            #expect(end <= Offset(bound) && end.rawValue > bound - 3)
            #expect(try read(log, from: 0, below: Offset(bound), bytesMax: 300).bytes.count > 0)
        }
    }

    /// A reader that follows costs no read at all, one that is behind a header for each range: never payload.
    @Test func readsNoPayload() throws {
        let count = Counts()
        var storage = PlannedStorage()
        storage.willRead = { count.add($0) }
        let log = try openLog(directory, storage: storage)
        var cursor = FileCursor(.zero)
        for _ in 0..<50 {
            log.append(records: 10, valueBytes: 1_000)
            let found = try log.fileRange(&cursor, below: log.logEndOffset, bytesMax: 1 << 20, isFirst: true)
            guard case .range(let range) = found else { throw TestFailure() }
            #expect(range.count > 10_000)
            cursor.seek(log.logEndOffset)
        }
        #expect(count.calls == 0)
        cursor = FileCursor(.zero)
        var ranges = 0
        while case .range(let range) = try log.fileRange(
            &cursor, below: log.logEndOffset, bytesMax: 100_000, isFirst: true)
        {
            ranges += 1
            let calls = count.calls
            let bytes = try contents(range)
            count.forget(count.calls - calls, bytes: range.count)
            cursor.seek(try next(behind: bytes))
        }
        #expect(ranges > 4 && count.calls < 2 * ranges && count.bytes == count.calls * RecordBatchHeader.byteCount)
    }

    /// Of a segment that is not written to any more a piece of the index is read, and used for many ranges.
    @Test func opensAnIndexNowAndThen() throws {
        let storage = PlannedStorage()
        let log = try openLog(directory, options(segmentBytes: 2_000_000), storage: storage)
        for _ in 0..<400 { log.append(valueBytes: 8_000) }
        #expect(log.segments.count == 2)
        let before = storage.paths.opens.load(ordering: .relaxed)
        let (_, ranges) = try read(log, from: 0, bytesMax: 20_000)
        let opens = storage.paths.opens.load(ordering: .relaxed) - before
        #expect(ranges > 150 && opens < 8, "\(opens) files opened for \(ranges) ranges")
    }

    /// Who found too little comes back to where it began, without a search.
    @Test func goesBackToItsStart() throws {
        let count = Counts()
        var storage = PlannedStorage()
        storage.willRead = { count.add($0) }
        let log = try openLog(directory, storage: storage)
        fill(log, batches: 30)
        var cursor = FileCursor(Offset(20))
        var sizes: [Int] = []
        var calls: [Int] = []
        for _ in 0..<3 {
            cursor.seek(Offset(20))
            let found = try log.fileRange(&cursor, below: log.logEndOffset, bytesMax: 1 << 20, isFirst: true)
            guard case .range(let range) = found else { throw TestFailure() }
            sizes.append(range.count)
            calls.append(count.calls)
            log.append(valueBytes: 100)
        }
        #expect(sizes[0] < sizes[1] && sizes[1] < sizes[2] && calls[2] == calls[0])
    }

    @Test func givesAFirstBatchThatIsTooLarge() throws {
        let log = try openLog(directory)
        log.append(valueBytes: 1_000)
        var cursor = FileCursor(.zero)
        guard case .tooLarge = try log.fileRange(&cursor, below: log.logEndOffset, bytesMax: 100, isFirst: false)
        else { throw TestFailure() }
        guard case .range = try log.fileRange(&cursor, below: log.logEndOffset, bytesMax: 100, isFirst: true)
        else { throw TestFailure() }
        guard case .end = try log.fileRange(&cursor, below: .zero, bytesMax: 100, isFirst: true)
        else { throw TestFailure() }
        var beyond = FileCursor(Offset(9))
        guard case .outOfRange = try log.fileRange(&beyond, below: log.logEndOffset, bytesMax: 100, isFirst: true)
        else { throw TestFailure() }
    }

    /// A reader that goes back is not led astray by where it was.
    @Test func seeksAnywhere() throws {
        let log = try openLog(directory, options(segmentBytes: 100_000))
        fill(log, batches: 500)
        var cursor = FileCursor(.zero)
        var numbers = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            let offset = Int64.random(in: 0..<log.logEndOffset.rawValue, using: &numbers)
            cursor.seek(Offset(offset))
            let bytesMax = Int.random(in: 1...20_000, using: &numbers)
            guard
                case .range(let range) = try log.fileRange(
                    &cursor, below: log.logEndOffset, bytesMax: bytesMax, isFirst: true)
            else { throw TestFailure() }
            let bytes = try contents(range)
            let header = unsafe bytes.withUnsafeBytes { unsafe RecordBatchHeader(parsing: $0) }
            #expect(header.baseOffset.rawValue <= offset && header.lastOffset.rawValue >= offset)
            #expect(range.count <= bytesMax || range.count == header.sizeInBytes)
            _ = try next(behind: bytes)
            if Bool.random(using: &numbers) { cursor.seek(try next(behind: bytes)) }
        }
    }

    @Test func knowsWhereEpochsEnd() throws {
        let log = try openLog(directory)
        log.append(records: 3)
        log.leaderEpoch = LeaderEpoch(2)
        log.append(records: 4)
        #expect(try log.end(ofEpoch: .zero)?.offset == Offset(3))
        let between = try log.end(ofEpoch: LeaderEpoch(1))
        #expect(between?.epoch == .zero && between?.offset == Offset(3))
        #expect(try log.end(ofEpoch: LeaderEpoch(2))?.offset == Offset(7))
        #expect(try log.end(ofEpoch: LeaderEpoch(3)) == nil)
    }
}

private struct TestFailure: Error {}

/// Reads, and the bytes that they wanted.
private final class Counts: Sendable {
    private let state = Mutex((calls: 0, bytes: 0))
    var calls: Int { state.withLock { $0.calls } }
    var bytes: Int { state.withLock { $0.bytes } }
    func add(_ bytes: Int) { state.withLock { $0 = ($0.calls + 1, $0.bytes + bytes) } }
    func forget(_ calls: Int, bytes: Int) { state.withLock { $0 = ($0.calls - calls, $0.bytes - bytes) } }
}
