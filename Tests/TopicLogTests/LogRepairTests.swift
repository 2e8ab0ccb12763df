import Glibc
import RecordFormat
import Testing

@testable import TopicLog

/// Damage among acknowledged records, repaired when asked.
@Suite struct LogRepairTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }
    var partition: String { path + "/t-0" }

    /// Twelve batches of three records, four to a segment; the bytes of each segment and of a batch.
    private func write() throws -> (segments: [String], each: Int) {
        let size = Batch(records: 3).size
        let data = try LogDirectory.open(path: path, options: options(segmentBytes: 4 * size))
        try data.createTopic(name: "t", partitions: 1)
        for _ in 0..<12 { data.partition(topic: "t", index: 0)!.append(records: 3) }
        try data.close()
        let segments = try LogInspector.segments(in: partition).map(\.path)
        #expect(segments.count == 3)
        return (segments, size)
    }

    private func damage(_ path: String, at position: Int) {
        var bytes = readFile(path)
        bytes[position] ^= 0x40
        writeFile(path, bytes)
    }

    private func repair(isDryRun: Bool = false) throws -> [LogRepair.Change] {
        try LogRepair(path: path).repair("t-0", isDryRun: isDryRun)
    }

    /// Opens, reads everything, appends and opens again; the base offsets of the batches that hold records.
    private func readAndGoOn() throws -> [Int64] {
        var bases: [Int64] = []
        for round in 0..<2 {
            let data = try openDirectory(path)
            let log = data.partition(topic: "t", index: 0)!
            try #require(log.fence == nil, "\(log.fence!)")
            var reader = TestReader(0)
            bases = []
            while case (let read, let bytes) = try reader.next(log), case .batches = read {
                var at = 0
                while at < bytes.count {
                    let header = unsafe bytes.withUnsafeBytes {
                        unsafe RecordBatchHeader(parsing: .init(rebasing: $0[at...]))
                    }
                    if header.recordCount > 0 { bases.append(header.baseOffset.rawValue) }
                    at += header.sizeInBytes
                }
            }
            #expect(log.append(records: 3) == appended(Int64(36 + 3 * round), Int64(38 + 3 * round)))
            try data.close()
        }
        return bases
    }

    /// One batch of any segment: only its records are lost.
    @Test(arguments: 0..<12) func oneBatch(_ number: Int) throws {
        let (segments, each) = try write()
        let segment = segments[number / 4]
        damage(segment, at: number % 4 * each + 80)
        let broken = readFile(segment)
        // What was durable a start does not read again.
        #expect(try openDirectory(path).partition(topic: "t", index: 0)!.fence == nil)
        let planned = try repair(isDryRun: true)
        #expect(planned.map(\.lostOffsets) == [3] && readFile(segment) == broken, "a dry run changes nothing")
        let done = try repair()
        #expect(done.map(\.lostOffsets) == [3] && done.map(\.path) == [segment])
        #expect(readFile(done[0].keptAs) == broken)
        #expect(try repair().isEmpty, "a second run has nothing to do")
        #expect(try readAndGoOn() == (0..<13).map { 3 * $0 }.filter { $0 != 3 * number })
    }

    /// The end of the last segment, which had been acknowledged.
    @Test func lostEnd() throws {
        let (segments, each) = try write()
        writeFile(segments[2], Array(readFile(segments[2])[..<(2 * each + 17)]))
        #expect(try repair().map(\.lostOffsets) == [6])
        #expect(try readAndGoOn() == (0..<13).map { 3 * $0 }.filter { $0 != 30 && $0 != 33 })
    }

    /// A whole segment's contents.
    @Test func emptySegment() throws {
        let (segments, _) = try write()
        writeFile(segments[1], [])
        #expect(try repair().map(\.lostOffsets) == [12])
        #expect(try readAndGoOn() == (0..<13).map { 3 * $0 }.filter { $0 < 12 || $0 >= 24 })
    }

    /// Two places in one file, two files.
    @Test func severalPlaces() throws {
        let (segments, each) = try write()
        damage(segments[0], at: 70)
        damage(segments[0], at: 2 * each + 70)
        damage(segments[1], at: 3 * each + 70)
        #expect(try repair().map(\.lostOffsets) == [6, 3])
        #expect(try readAndGoOn() == (0..<13).map { 3 * $0 }.filter { ![0, 6, 21].contains($0) })
    }

    /// Cut before every call it makes: the next run finishes.
    @Test func cutAtEveryCall() throws {
        for cut in 0..<200 {
            removeTree(path)
            let (segments, each) = try write()
            damage(segments[2], at: each + 70)
            let calls = Counter()
            FaultPlan.$current.withValue({ _, _ in calls.next() >= cut ? EIO : 0 }) {
                _ = try? LogRepair(path: path, storage: PlannedStorage()).repair("t-0", isDryRun: false)
            }
            _ = try repair()
            #expect(try readAndGoOn() == (0..<13).map { 3 * $0 }.filter { $0 != 27 }, "cut \(cut)")
            if calls.now <= cut {
                #expect(cut > 8)
                return
            }
        }
        Issue.record("never finished")
    }

    @Test func aRunningBrokerKeepsItOut() throws {
        _ = try write()
        let data = try openDirectory(path)
        do {
            _ = try repair()
            Issue.record("repaired under a broker")
        } catch let error as LogError {
            #expect(error.code == .inUse)
        }
        try data.close()
    }
}
