import RecordFormat
import Testing

@testable import TopicLog

/// Damage in the middle of a log that is open: the range is fenced, what follows is kept.
@Suite struct DamageTests {
    let directory = TemporaryDirectory()
    static let size = Batch(valueBytes: 100).size
    /// Ten batches in a segment, an index entry for about every third.
    let layout = options(segmentBytes: 10 * size, indexIntervalBytes: 2 * size)

    /// Segments 0, 10, 20 of ten, ten and five batches; closed.
    func fill() throws {
        let log = try openLog(directory, layout)
        for _ in 0..<25 { log.append(valueBytes: 100) }
        try log.synchronize()
        try log.close()
    }

    func flip(segment: Int64, at position: Int) {
        let path = directory.child(Segment.name(Offset(segment)))
        var bytes = readFile(path)
        bytes[position] ^= 0xFF
        writeFile(path, bytes)
    }

    /// Damage that headers show is found by whoever reads there, wherever in the header it is.
    @Test(arguments: [3, 7, 8, 11, 16, 23, 26]) func readerFencesTheRange(_ byte: Int) throws {
        try fill()
        flip(segment: 10, at: 4 * Self.size + byte)
        let log = try openLog(directory, layout, bound: 25)
        #expect(log.fence == nil && log.damages.isEmpty)
        var reader = TestReader(0)
        #expect(try reader.rest(log) == (Array(0..<14), .corrupt(at: Offset(14))))
        let range = try #require(log.damages.first)
        #expect(range.offsets.lowerBound == Offset(14) && range.filePosition == Int64(4 * Self.size))
        // To the next batch where the length is sound, else to the next entry of the index.
        #expect(range.offsets.upperBound <= Offset(17))
        for offset in 0..<25 as Range<Int64> {
            var reader = TestReader(offset)
            let (bases, end) = try reader.rest(log)
            if offset < 14 {
                #expect(bases == Array(offset..<14) && end == .corrupt(at: Offset(14)), "\(offset)")
            } else if range.offsets.contains(Offset(offset)) {
                #expect(bases.isEmpty && end == .corrupt(at: Offset(14)), "\(offset)")
            } else {
                #expect(bases == Array(offset..<25) && end == .end, "\(offset)")
            }
        }
        #expect(log.damages.count == 1)
        #expect(log.append() == appended(25, 25), "what follows is kept, and grows")
    }

    /// A reader that begins behind the damage finds its way, with an index and without.
    @Test(arguments: [false, true]) func readerBehindTheDamage(_ removesIndex: Bool) throws {
        for start in 11..<20 as Range<Int64> {
            let test = DamageTests()
            try test.fill()
            test.flip(segment: 10, at: Int(Self.size) + 16)
            if removesIndex { try system.remove(test.directory.child(Segment.name(Offset(10), ".index"))) }
            let log = try openLog(test.directory, layout, bound: 25)
            var reader = TestReader(start)
            let (bases, end) = try reader.rest(log)
            if start == 11 {
                #expect(bases.isEmpty && end == .corrupt(at: Offset(11)))
            } else {
                #expect(bases == Array(start..<25) && end == .end, "\(start)")
            }
        }
    }

    /// Damage that only a checksum shows.
    @Test func verifyFencesEveryRange() throws {
        try fill()
        flip(segment: 0, at: 2 * Self.size + 80)
        flip(segment: 10, at: 80)
        flip(segment: 10, at: 5 * Self.size + 80)
        flip(segment: 20, at: 5 * Self.size - 1)
        let log = try openLog(directory, layout, bound: 25)
        let expected = [2, 10, 15, 24].map { Offset($0)..<Offset($0 + 1) }
        for _ in 0..<2 { #expect(try log.verify().map(\.offsets) == expected) }
        var bases: [Int64] = []
        for offset in 0..<25 as Range<Int64> {
            var reader = TestReader(offset, bufferBytes: Self.size)
            if case .batches(_, let first, _) = try reader.next(log).read { bases.append(first.rawValue) }
        }
        #expect(bases == (0..<25).filter { ![2, 10, 15, 24].contains($0) })
        #expect(try #require(log.damages.first).description.contains("what follows can"))
    }

    /// Producers are restored by a walk when there is no snapshot: the damage it meets is no reason to refuse the log.
    @Test func walkForProducersMeetsDamage() throws {
        let log = try openLog(directory, layout)
        for sequence in 0..<25 {
            _ = log.append(Batch(valueBytes: 100, producerID: 1, epoch: 0, sequence: Int32(sequence)))
        }
        try log.close()
        flip(segment: 0, at: Self.size + 16)
        for name in try system.names(in: directory.path) where name.hasSuffix(".snapshot") {
            try system.remove(directory.child(name))
        }
        let again = try openLog(directory, layout, bound: 25)
        #expect(again.damages.map(\.offsets.lowerBound) == [Offset(1)] && again.fence == nil)
        #expect(again.append(producer: 1, sequence: 24) == duplicate(24, 24))
        #expect(again.append(producer: 1, sequence: 25) == appended(25, 25))
    }
}
