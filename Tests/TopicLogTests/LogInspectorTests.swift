import RecordFormat
import Testing

@testable import TopicLog

@Suite struct LogInspectorTests {
    let directory = TemporaryDirectory()

    /// Ten batches of three records.
    private func write() throws -> (bytes: [UInt8], each: Int) {
        let log = try openLog(directory)
        for _ in 0..<10 { log.append(records: 3) }
        try log.close()
        let bytes = readFile(firstSegment(directory))
        return (bytes, bytes.count / 10)
    }

    /// The base offsets of the sound batches, and what is damaged.
    private func inspect() throws -> (bases: [Int64], damage: [LogInspector.Damage]) {
        let inspector = try LogInspector(path: firstSegment(directory), expecting: .zero)
        var bases: [Int64] = []
        var damage: [LogInspector.Damage] = []
        while let finding = try inspector.next() {
            switch finding {
            case .batch(let header, _): bases.append(header.baseOffset.rawValue)
            case .damage(let found): damage.append(found)
            }
        }
        return (bases, damage)
    }

    @Test func soundLog() throws {
        _ = try write()
        let (bases, damage) = try inspect()
        #expect(bases == (0..<10).map { 3 * $0 } && damage.isEmpty)
    }

    /// Wherever a byte is wrong, one batch is lost, and exactly that.
    @Test func everyByteOfABatch() throws {
        let (good, each) = try write()
        for index in 0..<each {
            var bytes = good
            bytes[4 * each + index] ^= 0x10
            writeFile(firstSegment(directory), bytes)
            let (bases, damage) = try inspect()
            // The leader epoch is outside of the checksum, and nobody else knows it.
            if (12..<16).contains(index) {
                #expect(bases.count == 10 && damage.isEmpty)
                continue
            }
            #expect(bases == (0..<10).filter { $0 != 4 }.map { 3 * $0 }, "byte \(index)")
            #expect(damage.map(\.start) == [Offset(12)] && damage[0].end == Offset(15), "byte \(index)")
            #expect(damage[0].position == Int64(4 * each) && damage[0].byteCount == Int64(each), "byte \(index)")
        }
    }

    @Test func aCutTail() throws {
        let (good, each) = try write()
        for cut in 1..<each {
            writeFile(firstSegment(directory), Array(good[..<(good.count - cut)]))
            let (bases, damage) = try inspect()
            #expect(bases.count == 9 && damage.map(\.end) == [nil] && damage[0].start == Offset(27))
        }
    }

    /// Batches taken out: what follows is not damaged, but offsets are missing.
    @Test func aGap() throws {
        let (good, each) = try write()
        writeFile(firstSegment(directory), Array(good[..<(2 * each)] + good[(5 * each)...]))
        let (bases, damage) = try inspect()
        #expect(bases == [0, 3, 15, 18, 21, 24, 27])
        #expect(damage.map(\.byteCount) == [0] && damage[0].start == Offset(6) && damage[0].end == Offset(15))
    }

    /// After compaction only the file beside a segment tells its gaps from damaged headers.
    @Test func aCompactedSegment() throws {
        let log = try openLog(directory, .compacting())
        try CompactionTests.fill(log)
        #expect(try !LogInspector.isCompacted((.zero, firstSegment(directory))))
        try log.compact()
        try log.close()
        #expect(try LogInspector.isCompacted((.zero, firstSegment(directory))))
        func gapDamage() throws -> String? {
            let inspector = try LogInspector(path: firstSegment(directory), expecting: .zero, allowsGaps: true)
            while let finding = try inspector.next() {
                if case .damage(let found) = finding { Issue.record("\(found)") }
            }
            return try inspector.gapDamage()
        }
        #expect(try gapDamage() == nil)
        var bytes = readFile(firstSegment(directory))
        bytes[15] ^= 1
        writeFile(firstSegment(directory), bytes)
        #expect(try gapDamage() != nil, "a leader epoch, which no batch's checksum covers")
    }

    /// Garbage of more than a window, full of what may look like a header.
    @Test func muchGarbage() throws {
        let (good, each) = try write()
        let garbage = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 % 5) }
        writeFile(firstSegment(directory), good[..<(5 * each)] + garbage + good[(5 * each)...])
        let (bases, damage) = try inspect()
        #expect(bases == (0..<10).map { 3 * $0 })
        #expect(damage.map(\.byteCount) == [3_000_000])
    }
}
