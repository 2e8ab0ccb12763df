import Glibc
import RecordFormat
import Testing

@testable import TopicLog

@Suite struct CompactionTests {
    /// Two segments to be compacted and an active one.
    static func fill(_ log: PartitionLog) throws {
        log.append(KeyedBatch([("a", "1"), ("b", "1"), ("a", "2")]))
        log.append(KeyedBatch([("b", "2"), (nil, "keyless")]))
        try log.rollNow()
        log.append(KeyedBatch([("a", "3")]))
        log.append(KeyedBatch([("c", "1"), ("d", "1")]))
        try log.rollNow()
        log.append(KeyedBatch([("c", "2")]))
    }

    static let compacted = ["3 b=2", "4 -=keyless", "5 a=3", "6 c=1", "7 d=1", "8 c=2"]

    @Test func keepsTheLastOfEachKey() throws {
        let directory = TemporaryDirectory()
        var log = try openLog(directory, .compacting())
        try Self.fill(log)
        try log.compact()
        // The active segment is not looked into: "6 c=1" stays.
        #expect(try log.contents() == Self.compacted)
        #expect(log.segments.count == 2, "neighbours that fit together become one")
        #expect(log.beginCompaction(nowMilliseconds: 0) == nil, "nothing is dirty")
        for start in 0..<9 as Range<Int64> {
            #expect(try log.contents(from: start).last == "8 c=2", "from \(start), perhaps in a gap")
        }
        log = try openLog(directory, .compacting(), bound: 9)
        #expect(log.fence == nil)
        #expect(try log.contents() == Self.compacted)
        #expect(log.beginCompaction(nowMilliseconds: 0) == nil, "a start remembers what is clean")
        log.append(KeyedBatch([("d", nil)]))
        try log.rollNow()
        try log.compact()
        #expect(try log.contents() == ["3 b=2", "4 -=keyless", "5 a=3", "8 c=2", "9 d=none"])
    }

    @Test func aCursorGoesOnInTheNewFile() throws {
        let directory = TemporaryDirectory()
        let log = try openLog(directory, .compacting())
        try Self.fill(log)
        var reader = TestReader(0, bufferBytes: 200)
        _ = try reader.next(log)
        #expect(reader.cursor.offset == Offset(5))
        let held = log.segments[0].file
        try log.compact()
        #expect(try reader.rest(log).end == .end && reader.cursor.offset == Offset(9))
        #expect(try held.size() > 0, "who holds the old file may read it")
    }

    /// A tombstone stays for its time after the pass that removed what it deletes, and no longer.
    @Test func tombstones() throws {
        let directory = TemporaryDirectory()
        var log = try openLog(directory, .compacting())
        func again(_ key: String, at now: Int64) throws -> [String] {
            log.append(KeyedBatch([(key, "x")]))
            try log.rollNow()
            try log.compact(at: now)
            log = try openLog(directory, .compacting(), bound: log.logEndOffset.rawValue)
            return try log.contents()
        }
        log.append(KeyedBatch([("a", "1"), ("b", "1")]))
        log.append(KeyedBatch([("a", nil), ("c", "1")]))
        #expect(try again("p", at: 1000) == ["1 b=1", "2 a=none", "3 c=1", "4 p=x"])
        #expect(try again("q", at: 1099).contains("2 a=none"))
        #expect(try again("r", at: 1100) == ["1 b=1", "3 c=1", "4 p=x", "5 q=x", "6 r=x"])
    }

    @Test func tombstonesForEver() throws {
        let directory = TemporaryDirectory()
        var options = LogOptions.compacting()
        options.deleteRetentionMilliseconds = .max
        let log = try openLog(directory, options)
        log.append(KeyedBatch([("a", "1"), ("b", "1")]))
        log.append(KeyedBatch([("a", nil), ("c", "1")]))
        for (key, now) in [("p", Int64(1000)), ("q", 2000), ("r", 1 << 51)] {
            log.append(KeyedBatch([(key, "x")]))
            try log.rollNow()
            try log.compact(at: now)
            #expect(try log.contents().contains("2 a=none"))
        }
    }

    /// What a compressed batch holds is unknown: it stays, and so does a tombstone behind it.
    @Test func compressedBatchesStayWhole() throws {
        let directory = TemporaryDirectory()
        let log = try openLog(directory, .compacting())
        log.append(KeyedBatch([("a", "1")], attributes: 2))
        log.append(KeyedBatch([("a", nil)]))
        for now in [0, 1000, 2000] as [Int64] {
            log.append(KeyedBatch([("b", "1")]))
            try log.rollNow()
            try log.compact(at: now)
        }
        #expect(try log.contents() == ["0 compressed", "1 a=none", "4 b=1"])
    }

    /// The sequence number of a producer survives its records.
    @Test func producersLastBatchStays() throws {
        let directory = TemporaryDirectory()
        var log = try openLog(directory, .compacting())
        log.append(KeyedBatch([("a", "1")], producerID: 7, sequence: 0))
        log.append(KeyedBatch([("a", "2")], producerID: 7, sequence: 1))
        log.append(KeyedBatch([("a", "3")]))
        try log.rollNow()
        try log.compact()
        #expect(try log.contents() == ["2 a=3"])
        log = try openLog(directory, .compacting(), bound: 3)
        #expect(log.recovery.batches == 2, "one of them empty")
        #expect(log.append(KeyedBatch([("a", "2")], producerID: 7, sequence: 1)) == duplicate(1, 1))
        #expect(log.append(KeyedBatch([("a", "4")], producerID: 7, sequence: 2)) == appended(3, 3))
    }

    /// A table too small for the keys: several passes, with the same outcome.
    @Test func littleMemory() throws {
        var options = LogOptions.compacting()
        options.compactionBytesMax = 3 * 24
        let directory = TemporaryDirectory()
        let log = try openLog(directory, options)
        for value in 0..<4 {
            for key in 0..<10 { log.append(KeyedBatch([("k\(key)", "\(value)")])) }
        }
        try log.rollNow()
        var passes = 0
        while log.cleanableBytes.dirty > 0 {
            try log.compact()
            passes += 1
            try #require(passes < 100)
        }
        #expect(passes > 4)
        #expect(try log.contents() == (0..<10).map { "\(30 + $0) k\($0)=3" })
    }

    /// Cut at every call of a pass and of putting it in place: the old contents or the new, and the pass can be done again.
    @Test func cutAtEveryCall() throws {
        var outcomes: Set<Int> = []
        for cut in 0..<200 {
            let directory = TemporaryDirectory()
            let log = try openLog(directory, .compacting(segmentBytes: 400))
            try Self.fill(log)
            try log.synchronize()
            let before = try log.contents()
            let calls = Counter()
            FaultPlan.$current.withValue({ _, _ in calls.next() >= cut ? EIO : 0 }) { try? log.compact() }
            #expect(log.logEndOffset == Offset(9))
            let again = try openLog(directory, .compacting(segmentBytes: 400), bound: cut % 2 == 0 ? 9 : 0)
            #expect(again.fence == nil && again.recovery.tornBytes == 0, "cut \(cut)")
            let found = try again.contents()
            #expect(found == before || found == Self.compacted, "cut \(cut): \(found)")
            outcomes.insert(found.count)
            try again.compact()
            #expect(try again.contents() == Self.compacted, "cut \(cut)")
            let names = try system.names(in: directory.path).filter { $0.hasSuffix(".cleaned") || $0.hasSuffix(".tmp") }
            #expect(names.isEmpty)
            if calls.now <= cut {
                #expect(cut > 8 && outcomes.count == 2)
                return
            }
        }
        Issue.record("never finished")
    }

    /// Base offsets and epochs are outside of the batches' checksums, and gaps are allowed: the summary finds a change.
    @Test func damagedHeadersFence() throws {
        let directory = TemporaryDirectory()
        let log = try openLog(directory, .compacting())
        try Self.fill(log)
        try log.compact()
        let sound = readFile(firstSegment(directory))
        for position in 0..<16 {
            for mask in [1, 0x80] as [UInt8] {
                var damaged = sound
                damaged[position] ^= mask
                writeFile(firstSegment(directory), damaged)
                let again = try openLog(directory, .compacting(), bound: 0)
                #expect(again.fence != nil, "byte \(position) ^ \(mask)")
                #expect(readFile(firstSegment(directory)) == damaged)
            }
        }
    }

    /// Without what vouches for it a gap is damage, whatever the policy says.
    @Test func gapsWithoutASummaryAreDamage() throws {
        let directory = TemporaryDirectory()
        let log = try openLog(directory, .compacting())
        try Self.fill(log)
        try log.compact()
        try system.remove(directory.child("00000000000000000000.compacted"))
        // Sealed and below the bound, it is not looked at before somebody reads it.
        #expect(try !openLog(directory, .compacting(), bound: 9).verify().isEmpty)
        var reader = TestReader(0)
        guard case .corrupt = try reader.next(openLog(directory, .compacting(), bound: 9)).read else {
            Issue.record("a gap was read over")
            return
        }
    }

    @Test func aSegmentThatWasDeletedMeanwhileIsNotPutBack() throws {
        let directory = TemporaryDirectory()
        let log = try openLog(directory, .compacting())
        try Self.fill(log)
        let compaction = try #require(log.beginCompaction(nowMilliseconds: 0))
        var made: [CompactedSegment] = []
        try compaction.run { made.append($0) }
        _ = try log.moveStart(to: Offset(5))
        #expect(try !log.install(made[0]))
        #expect(try log.contents() == ["5 a=3", "6 c=1", "7 d=1", "8 c=2"])
        let again = try PartitionLog.open(
            directory: directory.path, options: .compacting(), durableBound: Offset(8), logStartOffset: Offset(5))
        #expect(try again.contents() == ["5 a=3", "6 c=1", "7 d=1", "8 c=2"])
    }

    @Test func onAThreadOfItsOwn() throws {
        let directory = TemporaryDirectory()
        let log = try openLog(directory, .compacting())
        try Self.fill(log)
        let compactor = try Compactor()
        compactor.submit(try #require(log.beginCompaction(nowMilliseconds: 0)))
        while log.compaction != nil {
            for event in compactor.takeEvents() {
                switch event {
                case .segment(let segment): #expect(try log.install(segment))
                case .finished(let error):
                    #expect(error == nil)
                    log.finishCompaction()
                }
            }
        }
        compactor.stop()
        #expect(try log.contents() == Self.compacted)
    }
}
