import RecordFormat
import Testing

@testable import TopicLog

@Suite struct TimestampTests {
    let directory = TemporaryDirectory()

    /// A batch of records with the given timestamps.
    private func append(_ timestamps: [Int64], to log: PartitionLog) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200 + timestamps.count * 80, alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        for timestamp in timestamps {
            precondition(builder.append(key: nil, value: Array("value".utf8), timestampMilliseconds: timestamp))
        }
        let size = builder.seal()
        _ = unsafe log.append([UnsafeMutableRawBufferPointer(rebasing: memory[..<size])])
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
