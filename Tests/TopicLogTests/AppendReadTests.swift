import Glibc
import RecordFormat
import Testing

@testable import TopicLog

@Suite struct AppendReadTests {
    let directory = TemporaryDirectory()

    @Test func assignsOffsetsWithOneWrite() throws {
        let log = try openLog(directory)
        let results = log.append([Batch(records: 3), Batch(), Batch(records: 2)])
        #expect(results == [appended(0, 2), appended(3, 3), appended(4, 5)])
        #expect(log.statistics.writeCalls == 1)
        #expect(log.append(records: 1) == appended(6, 6))
        #expect(log.statistics.writeCalls == 2)
        #expect(log.logEndOffset == Offset(7) && log.durableOffset == .zero && log.logStartOffset == .zero)
        var reader = TestReader(0)
        #expect(try reader.rest(log).bases == [0, 3, 4, 6])
        #expect(log.statistics.readCalls == 1)  // the log begins at byte 0: nothing to look up
    }

    /// More batches than the kernel takes in one call.
    @Test func splitsAtTheVectorLimit() throws {
        let log = try openLog(directory)
        let results = log.append((0..<2500).map { _ in Batch() })
        #expect(results.last == appended(2499, 2499))
        #expect(log.statistics.writeCalls == 3)
        var reader = TestReader(0)
        #expect(try reader.rest(log).bases == Array(0..<2500))
    }

    @Test func rollsSegments() throws {
        let size = Batch().size
        let log = try openLog(directory, options(segmentBytes: 3 * size))
        // Ten in one call: a write for each segment they fall into.
        #expect(log.append((0..<10).map { _ in Batch() }) == (0..<10).map { appended($0, $0) })
        #expect(log.statistics.writeCalls == 4 && log.statistics.rolls == 3)
        let names = try system.names(in: directory.path)
        #expect(names.filter { $0.hasSuffix(".log") } == [0, 3, 6, 9].map { Segment.name(Offset($0)) })
        for start in 0...10 {
            for bufferBytes in [size, 2 * size, 100 * size] {
                var reader = TestReader(Int64(start), bufferBytes: bufferBytes)
                let (bases, end) = try reader.rest(log)
                #expect(bases == Array(Int64(start)..<10))
                #expect(end == .end)
            }
        }
        try log.close()
        let again = try openLog(directory, options(segmentBytes: 3 * size), bound: 0)
        #expect(again.logEndOffset == Offset(10) && again.recovery.records == 10)
        #expect(again.append() == appended(10, 10))
        // A batch larger than a segment gets one of its own.
        #expect(again.append(valueBytes: 5 * size) == appended(11, 11))
        #expect(again.append() == appended(12, 12))
        var reader = TestReader(9)
        #expect(try reader.rest(again).bases == [9, 10, 11, 12])
    }

    @Test func readsByIndex() throws {
        let log = try openLog(directory, options(segmentBytes: 1 << 30, indexIntervalBytes: 500))
        var bases: [Int64] = []
        for index in 0..<300 {
            bases.append(log.logEndOffset.rawValue)
            log.append(records: 1 + index % 3, valueBytes: (index * 37) % 400)
        }
        #expect(log.segments[0].indexes!.offsets.count > 50)
        let before = log.statistics.readCalls
        for offset in 0..<log.logEndOffset.rawValue {
            var reader = TestReader(offset)
            let holding = bases.last { $0 <= offset }!
            guard case .batches(_, let first, _) = try reader.next(log).read else { throw LogReadFailed() }
            #expect(first == Offset(holding))
        }
        // An index interval and a batch are at most a few windows; without an index it would be hundreds.
        #expect(log.statistics.readCalls - before <= 5 * Int(log.logEndOffset.rawValue))
        try log.close()
        // Kafka's format: relative offset of the batch at the position, both 32 bits, big-endian.
        let bytes = readFile(directory.child("00000000000000000000.index"))
        #expect(bytes.count == 8 * log.statistics.indexEntries(bytes))
        let data = readFile(firstSegment(directory))
        for entry in stride(from: 0, to: bytes.count, by: 8) {
            let words = [0, 4].map { at in (0..<4).reduce(0) { $0 << 8 | Int(bytes[entry + at + $1]) } }
            unsafe data.withUnsafeBytes {
                let header = unsafe RecordBatchHeader(parsing: .init(rebasing: $0[words[1]...]))
                #expect(header.lastOffset.rawValue == Int64(words[0]))
            }
        }
    }

    @Test func respectsTheBoundAndTheBuffer() throws {
        let log = try openLog(directory)
        for _ in 0..<3 { log.append(records: 4, valueBytes: 100) }
        var reader = TestReader(0)
        // A batch that reaches the bound is not returned.
        #expect(try reader.rest(log, below: Offset(7)).bases == [0])
        #expect(reader.cursor.offset == Offset(4))
        #expect(try reader.next(log, below: Offset(4)).read == .end)
        #expect(try reader.rest(log, below: Offset(8)).bases == [4])
        #expect(try reader.rest(log, below: Offset(100)) == ([8], .end))
        let size = Batch(records: 4, valueBytes: 100).size
        var small = TestReader(5, bufferBytes: 100)
        #expect(try small.next(log).read == .needs(bytes: size))
        small.bufferBytes = size
        // The batch holds earlier records too: the reader skips them.
        #expect(try small.next(log).read == .batches(byteCount: size, firstBase: Offset(4), nextOffset: Offset(8)))
        var beyond = TestReader(13)
        #expect(try beyond.next(log).read == .outOfRange)
        var negative = TestReader(-1)
        #expect(try negative.next(log).read == .outOfRange)
        var atEnd = TestReader(12)
        #expect(try atEnd.next(log).read == .end)
        log.append()
        #expect(try atEnd.rest(log).bases == [12])
    }

    /// A file that was damaged while open is noticed where its headers no longer fit.
    @Test func reportsDamageUnderTheReader() throws {
        let log = try openLog(directory)
        for _ in 0..<3 { log.append() }
        var bytes = readFile(firstSegment(directory))
        bytes[bytes.count / 3 + 16] = 9
        let file = try system.open(firstSegment(directory), O_WRONLY)
        unsafe try bytes.withUnsafeBytes { unsafe try file.write($0, at: 0) }
        var reader = TestReader(0)
        let (bases, end) = try reader.rest(log)
        #expect(bases == [0])
        #expect(end == .corrupt(at: Offset(1)))
    }

    @Test func ticketsOutliveAnAbandonedLog() throws {
        let log = try openLog(directory)
        log.append()
        let ticket = log.takeFlushTicket()
        log.abandon()
        try system.removeDirectory(log.directory)
        #expect(!system.exists(directory.path))
        // The descriptor lives with the ticket.
        #expect(fdatasync(ticket!.files[0].descriptor) == 0)
        log.didFlush(ticket!, error: nil)
    }
}

struct LogReadFailed: Error {}

extension LogStatistics {
    func indexEntries(_ bytes: [UInt8]) -> Int { bytes.count / 8 }
}
