import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

@Suite struct TimestampTests {
    let directory = TemporaryDirectory()

    /// A batch of records with the given timestamps, and perhaps a header that says something else.
    private func append(_ timestamps: [Int64], claiming latest: Int64? = nil, to log: PartitionLog) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200 + timestamps.count * 80, alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        for timestamp in timestamps {
            precondition(builder.append(key: nil, value: Array("value".utf8), timestampMilliseconds: timestamp))
        }
        let size = builder.seal()
        let batch = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<size])
        if let latest { unsafe batch.storeBytes(of: latest.bigEndian, toByteOffset: 35, as: Int64.self) }
        _ = unsafe log.append([batch])
    }

    /// Random timestamps, mostly rising, some far out of order; every lookup is compared with a plain search.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func findsTheFirstRecord(_ seed: UInt64) throws {
        var random = SeededGenerator(state: seed &* 0x9E37_79B9_7F4A_7C15)
        let layout = options(segmentBytes: 6000, indexIntervalBytes: 400)
        var log = try openLog(directory, layout)
        var all: [Int64] = []
        var now: Int64 = 1000
        for _ in 0..<300 {
            let timestamps = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                now += Int64.random(in: 0...3, using: &random)
                return Int.random(in: 0..<20, using: &random) == 0
                    ? now + Int64.random(in: -50...50, using: &random) : now
            }
            append(timestamps, to: log)
            all += timestamps
        }
        #expect(log.segments.count > 3)
        for reopened in ["open", "killed", "closed"] {
            if reopened == "killed" { log = try openLog(directory, layout) }
            if reopened == "closed" {
                try log.close()
                log = try openLog(directory, layout, bound: Int64(all.count))
            }
            for timestamp in 940...(now + 60) {
                let expected = all.firstIndex { $0 >= timestamp }
                let found = try log.offset(forTimestamp: timestamp)
                #expect(found?.offset.rawValue == expected.map { Int64($0) }, "\(timestamp), \(reopened), seed \(seed)")
                #expect(found?.timestamp == expected.map { all[$0] })
            }
        }
    }

    /// Compared with a plain search, whatever of the log is deleted.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func findsTheLatestRecord(_ seed: UInt64) throws {
        var random = SeededGenerator(state: seed &* 0x9E37_79B9_7F4A_7C15)
        let log = try openLog(directory, options(segmentBytes: 1000, indexIntervalBytes: 200))
        #expect(try log.latestRecord() == nil)
        var all: [Int64] = []
        for _ in 0..<60 {
            let timestamps = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                Int64.random(in: 1...1000, using: &random)
            }
            append(timestamps, to: log)
            all += timestamps
        }
        try log.synchronize()
        #expect(log.segments.count > 3)
        for start in 0..<all.count {
            _ = try log.moveStart(to: Offset(Int64(start)))
            let rest = all[start...]
            let expected = rest.firstIndex(of: rest.max()!)!
            let found = try log.latestRecord()
            #expect(found?.offset.rawValue == Int64(expected), "from \(start), seed \(seed)")
            #expect(found?.timestamp == all[expected])
        }
        _ = try log.moveStart(to: Offset(Int64(all.count)))
        #expect(try log.latestRecord() == nil)
    }

    /// In pieces the same is found, and each looks at no more segments than it may.
    @Test func aLookupInPiecesFindsTheSame() throws {
        let log = try openLog(directory, options(segmentBytes: 1000, indexIntervalBytes: 200))
        for number in 0..<200 as Range<Int64> { append([number * 10], to: log) }
        let segments = log.segments.count
        #expect(segments > 10)
        func find(_ wanted: TimeLookup.Wanted) throws -> (found: Offset?, pieces: Int) {
            var lookup = TimeLookup(wanted)
            var pieces = 1
            while try log.goOn(with: &lookup, segmentsMax: 3) { pieces += 1 }
            return (lookup.found?.offset, pieces)
        }
        for timestamp in stride(from: Int64(0), through: 2_000, by: 50) {
            let (found, pieces) = try find(.notBefore(timestamp))
            #expect(try found == log.offset(forTimestamp: timestamp)?.offset)
            #expect(timestamp < 1_990 || pieces >= segments / 3)
        }
        let (latest, pieces) = try find(.latest)
        #expect(try latest == log.latestRecord()?.offset && latest == Offset(199))
        #expect(pieces >= segments / 3)
        // What goes meanwhile is not missed.
        var lookup = TimeLookup(.latest)
        let hasMore = try log.goOn(with: &lookup, segmentsMax: 3)
        #expect(hasMore)
        try log.synchronize()
        _ = try log.moveStart(to: Offset(150))
        while try log.goOn(with: &lookup, segmentsMax: 3) {}
        #expect(lookup.found?.offset == Offset(199))
    }

    /// A header is the client's word: what it claims is what is found, and nothing behind it is searched.
    @Test func aBatchThatClaimsALaterTimestamp() throws {
        let log = try openLog(directory, options(segmentBytes: 2000, indexIntervalBytes: 300))
        for number in 0..<60 as Range<Int64> {
            append([number * 10, number * 10], claiming: number == 20 ? 1_000_000 : nil, to: log)
        }
        #expect(log.segments.count > 2)
        #expect(try log.offset(forTimestamp: 1_000)?.offset == Offset(40))
        #expect(try log.offset(forTimestamp: 1_000)?.timestamp == 1_000_000)
        #expect(try log.latestRecord()?.offset == Offset(40))
        #expect(try log.offset(forTimestamp: 200)?.timestamp == 200)
        #expect(try log.offset(forTimestamp: 100)?.offset == Offset(20))
        // Where it is cut, its records count.
        try log.synchronize()
        _ = try log.moveStart(to: Offset(41))
        #expect(try log.offset(forTimestamp: 1_000) == nil)
        #expect(try log.latestRecord()?.timestamp == 590)
    }

    /// Deleted records that share a segment with others had the timestamp: what is behind them is searched, but not
    /// without end.
    @Test func aLookupGoesOverABoundedNumberOfBatches() throws {
        let log = try openLog(directory, options(segmentBytes: 1 << 20, indexIntervalBytes: 4096))
        append([1_000_000], to: log)
        for number in 1..<1_500 as Range<Int64> { append([number], to: log) }
        try log.synchronize()
        _ = try log.moveStart(to: Offset(1))
        #expect(try log.offset(forTimestamp: 1_000)?.offset == Offset(1_000))
        #expect(try log.offset(forTimestamp: 1_200)?.offset == Offset(1_001))
        #expect(try log.offset(forTimestamp: 5_000)?.offset == Offset(1_001))
        #expect(try log.offset(forTimestamp: 1_000_001) == nil)
        #expect(try log.latestRecord()?.offset == Offset(1_000))
        _ = try log.moveStart(to: Offset(600))
        #expect(try log.offset(forTimestamp: 1_200)?.offset == Offset(1_200))
        #expect(try log.offset(forTimestamp: 5_000) == nil)
        #expect(try log.latestRecord()?.offset == Offset(1_499))
    }

    /// Each segment's latest timestamp is read once, and not with all of its index.
    @Test func aLookupReadsNoIndexTwice() throws {
        let storage = PlannedStorage()
        let layout = options(segmentBytes: 1000, indexIntervalBytes: 200)
        var log = try openLog(directory, layout, storage: storage)
        for number in 0..<200 as Range<Int64> { append([number], to: log) }
        try log.close()
        log = try openLog(directory, layout, bound: 200, storage: storage)
        #expect(log.segments.count > 10)
        for _ in 0..<2 { #expect(try log.latestRecord()?.offset == Offset(199)) }
        let before = storage.paths.opens.load(ordering: .relaxed)
        #expect(try log.latestRecord()?.offset == Offset(199))
        #expect(try log.offset(forTimestamp: 500) == nil)
        #expect(storage.paths.opens.load(ordering: .relaxed) - before <= 2)
    }

    /// Kafka's format: the largest timestamp so far, and the offset that has it first; the last entry is the segment's.
    @Test func format() throws {
        let log = try openLog(directory, options(segmentBytes: 1 << 20, indexIntervalBytes: 1))
        for timestamps in [[5, 7], [6], [7], [9, 8], [1]] as [[Int64]] { append(timestamps, to: log) }
        try log.close()
        let bytes = readFile(directory.child(Segment.name(.zero, ".timeindex")))
        var entries: [[Int64]] = []
        for start in stride(from: 0, to: bytes.count, by: 12) {
            entries.append([
                bytes[start..<(start + 8)].reduce(0) { $0 << 8 | Int64($1) },
                bytes[(start + 8)..<(start + 12)].reduce(0) { $0 << 8 | Int64($1) },
            ])
        }
        #expect(entries == [[7, 1], [9, 5]])
    }
}

/// xorshift: the same numbers for the same seed.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
