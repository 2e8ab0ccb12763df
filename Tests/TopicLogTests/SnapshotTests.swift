import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

/// Producers across stops: snapshots and what is walked behind them.
@Suite struct SnapshotTests {
    let directory = TemporaryDirectory()

    private func header(_ batch: Batch) -> RecordBatchHeader {
        unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(batch.buffer))
    }

    /// Kafka's layout, byte for byte, and then ours.
    @Test func format() {
        var table = ProducerTable(producersMax: 10)
        for sequence in 0..<2 as Range<Int32> {
            var header = header(Batch(records: 3, producerID: 9, epoch: 2, sequence: 3 * sequence))
            header.baseOffset = Offset(100 + Int64(3 * sequence))
            table.replay(header)
        }
        let bytes = table.snapshot.encoded
        #expect(bytes[0..<2] == [0, 1])
        let sum = unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum(.init(rebasing: $0[6...])) }
        #expect((2..<6).reduce(0) { $0 << 8 | UInt32(bytes[$1]) } == sum)
        let entry: [UInt8] =
            [0, 0, 0, 1] + [0, 0, 0, 0, 0, 0, 0, 9] + [0, 2] + [0, 0, 0, 5] + [0, 0, 0, 0, 0, 0, 0, 105]
            + [0, 0, 0, 2] + [0, 0, 0, 0, 0, 0, 0, 2] + [255, 255, 255, 255] + Array(repeating: 255, count: 8)
        #expect(Array(bytes[6..<(6 + 4 + 46)]) == entry)
        let tail: [UInt8] =
            Array("rdmd".utf8) + [1] + [0, 0, 0, 2] + [0, 0, 0, 0, 0, 0, 0, 102] + [0, 0, 0, 2]
        #expect(Array(bytes[56...]) == tail)

        // Behind it, who may have been forgotten.
        let more = ProducerSnapshot(states: table.states, forgottenMax: 0x0102).encoded
        #expect(Array(more[56...]) == tail + [0, 0, 0, 0, 0, 0, 1, 2])
        #expect(ProducerSnapshot(decoding: more)?.forgottenMax == 0x0102)
        #expect(ProducerSnapshot(decoding: bytes)?.forgottenMax == -1)

        // What Kafka wrote ends behind the entries.
        var kafka = Array(bytes[..<56])
        let kafkaSum = unsafe kafka.withUnsafeBytes { unsafe CRC32C.checksum(.init(rebasing: $0[6...])) }
        for index in 0..<4 { kafka[2 + index] = UInt8(truncatingIfNeeded: kafkaSum >> (24 - 8 * UInt32(index))) }
        #expect(ProducerSnapshot(decoding: kafka)?.states[9]?.oldestFirst.map(\.lastSequence) == [5])
        #expect(ProducerSnapshot(decoding: bytes)?.states[9]?.oldestFirst.map(\.lastSequence) == [2, 5])
        #expect(ProducerSnapshot(decoding: bytes)?.states[9]?.oldestFirst.first?.baseSequence == 0)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            #expect(ProducerSnapshot(decoding: damaged) == nil, "byte \(index)")
            #expect(ProducerSnapshot(decoding: Array(bytes[..<index])) == nil, "cut at \(index)")
        }
    }

    /// After a crash the producers come from the snapshot of the roll and the segments behind it; what lies before is
    /// not opened.
    @Test func crashReadsFromTheSnapshot() throws {
        let small = options(segmentBytes: 4 * Batch(producerID: 1, epoch: 0, sequence: 0).size)
        let log = try openLog(directory, small)
        for sequence in 0..<10 { _ = log.append(producer: 1, sequence: Int32(sequence)) }  // segments 0, 4, 8
        try log.synchronize()
        let storage = CountingStorage()
        let again = try openLog(directory, small, bound: 10, storage: storage)
        let paths = storage.opened.withLock { $0 }.filter { $0 != directory.path }
        let opened = Set(paths.map { $0.split(separator: "/").last! })
        #expect(opened == ["00000000000000000008.log", "00000000000000000008.snapshot", "leader-epoch-checkpoint"])
        for sequence in 5..<10 as Range<Int64> {
            #expect(again.append(producer: 1, sequence: Int32(sequence)) == duplicate(sequence, sequence))
        }
        #expect(again.append(producer: 1, sequence: 4) == .rejected(.outOfOrderSequence))
        #expect(again.append(producer: 1, sequence: 10) == appended(10, 10))
    }

    /// A log that a cut made shorter does not meet its old snapshots when it has grown again.
    @Test func staleSnapshotsAreRemoved() throws {
        let size = Batch(producerID: 1, epoch: 0, sequence: 0).size
        let small = options(segmentBytes: 4 * size)
        let log = try openLog(directory, small)
        for sequence in 0..<10 { _ = log.append(producer: 1, sequence: Int32(sequence)) }
        try system.remove(directory.child(Segment.name(Offset(8))))
        writeFile(directory.child(Segment.name(Offset(4))), [])
        let cut = try openLog(directory, small)
        #expect(cut.logEndOffset == Offset(4))
        let snapshots = try system.names(in: directory.path).filter { $0.hasSuffix(".snapshot") }
        #expect(snapshots == [Segment.name(Offset(4), ".snapshot")])
        for offset in 4..<10 as Range<Int64> {
            #expect(cut.append(producer: 2, sequence: Int32(offset - 4)) == appended(offset, offset))
        }
        try cut.synchronize()
        let again = try openLog(directory, small, bound: 10)
        #expect(again.append(producer: 1, sequence: 3) == duplicate(3, 3))
        #expect(again.append(producer: 2, sequence: 5) == duplicate(9, 9))
    }

    @Test func leaderEpochCheckpoint() throws {
        let size = Batch().size
        let log = try openLog(directory, options(segmentBytes: 3 * size))
        log.append()
        log.leaderEpoch = LeaderEpoch(4)
        log.append()
        log.append()
        try log.close()
        let file = directory.child("leader-epoch-checkpoint")
        #expect(String(decoding: readFile(file), as: UTF8.self) == "0\n2\n0 0\n4 1\n")
        writeFile(file, [])
        let again = try PartitionLog.open(
            directory: directory.path, options: options(segmentBytes: 3 * size), durableBound: nil,
            leaderEpoch: LeaderEpoch(4))
        #expect(again.logEndOffset == Offset(3))
        try again.close()
        #expect(String(decoding: readFile(file), as: UTF8.self) == "0\n2\n0 0\n4 1\n")
    }
}
