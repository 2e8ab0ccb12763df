import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import TopicLog

/// Transactions in a partition: what is stable, what was aborted, and what of it survives.
@Suite struct TransactionTests {
    let directory = TemporaryDirectory()

    @Test func theLastStableOffsetIsWhereTheOldestTransactionBegins() throws {
        let log = try openLog(directory)
        #expect(log.append() == appended(0, 0))
        #expect(try log.stable == 1)
        #expect(log.write(1, 0, records: 2) == appended(1, 2))
        #expect(log.write(2, 0) == appended(3, 3))
        #expect(log.append() == appended(4, 4))
        #expect(try log.stable == 1)
        #expect(log.end(1, commit: true) == appended(5, 5))
        #expect(try log.stable == 3)
        #expect(log.end(2, commit: false) == appended(6, 6))
        #expect(try log.stable == 7)
        // Not before consumers may see the markers.
        #expect(log.write(1, 2) == appended(7, 7))
        #expect(log.end(1, commit: true) == appended(8, 8))
        #expect(try log.lastStableOffset(below: Offset(8)) == Offset(7))
        #expect(try log.lastStableOffset(below: Offset(9)) == Offset(9))
        #expect(
            try log.abortedTransactions(from: .zero, below: Offset(9)) == [
                AbortedTransaction(
                    producerID: 2, firstOffset: Offset(3), lastOffset: Offset(6), lastStableOffset: Offset(7))
            ])
        // Neither before it begins nor behind its end.
        #expect(try log.abortedTransactions(from: .zero, below: Offset(3)) == [])
        #expect(try log.abortedTransactions(from: Offset(7), below: Offset(9)) == [])
        #expect(try log.abortedTransactions(from: Offset(6), below: Offset(9)).count == 1)
    }

    @Test func markersFenceAndSequencesGoOn() throws {
        var log = try openLog(directory)
        #expect(log.write(1, 0) == appended(0, 0))
        // Nothing but the transaction's, until it has ended.
        #expect(log.append(producer: 1, sequence: 1) == .rejected(.invalidTransactionState))
        #expect(log.end(1, commit: true) == appended(1, 1))
        #expect(log.write(1, 1) == appended(2, 2))
        #expect(log.write(1, 1) == duplicate(2, 2))
        // The coordinator fences: the marker has a newer epoch.
        #expect(log.append(Batch(.init(isCommit: false), producerID: 1, epoch: 1)) == appended(3, 3))
        for reopened in [false, true] {
            if reopened { log = try openLog(directory) }
            #expect(log.write(1, 2) == .rejected(.invalidProducerEpoch))
            #expect(log.end(1, commit: true) == .rejected(.invalidProducerEpoch))
            #expect(log.write(1, 1, epoch: 1) == .rejected(.outOfOrderSequence))
        }
        #expect(log.write(1, 0, epoch: 1) == appended(4, 4))
        // Without a sequence: a coordinator's offsets.
        #expect(log.write(9, -1) == appended(5, 5))
        #expect(try log.stable == 4)
        let producers = try log.activeProducers
        #expect(producers.map(\.producerID) == [1, 9])
        #expect(producers.map(\.transactionStart) == [Offset(4), Offset(5)])
        #expect(producers.map(\.lastSequence) == [0, -1])
        #expect(producers.map(\.epoch) == [1, 0])
    }

    @Test func aMarkerWithoutATransactionAbortsNothing() throws {
        let log = try openLog(directory)
        #expect(log.end(1, commit: false) == appended(0, 0))
        #expect(try log.stable == 1)
        #expect(try log.abortedTransactions(from: .zero, below: Offset(1)) == [])
    }

    @Test func aFailedWriteEndsNothing() throws {
        let log = try openLog(directory)
        #expect(log.write(1, 0) == appended(0, 0))
        let isFull: @Sendable (String, String) -> Int32 = { operation, _ in operation == "writing" ? ENOSPC : 0 }
        FaultPlan.$current.withValue(isFull) {
            #expect(log.end(1, commit: false).storageCode == .noSpace)
            #expect(log.write(2, 0).storageCode == .noSpace)
        }
        #expect(try log.stable == 0)
        #expect(try log.abortedTransactions(from: .zero, below: Offset(1)) == [])
        #expect(log.end(1, commit: true) == appended(1, 1))
        #expect(try log.stable == 2)
    }

    @Test func ongoingTransactionsAreNotForgottenWithOldProducers() throws {
        var limited = LogOptions()
        limited.producersMax = 20
        let log = try openLog(directory, limited)
        #expect(log.write(1000, 0) == appended(0, 0))
        for producer in 0..<30 { _ = log.append(producer: Int64(producer), sequence: 0) }
        #expect(try log.stable == 0)
        #expect(log.write(1000, 1) == appended(31, 31))
    }

    /// The file is what Kafka's is, byte for byte.
    @Test func theIndexIsKafkas() throws {
        let log = try openLog(directory, options(segmentBytes: 400))
        #expect(log.write(7, 0) == appended(0, 0))
        #expect(log.end(7, commit: false) == appended(1, 1))
        while log.segments.count < 2 { log.append() }
        let file = readFile(directory.child("00000000000000000000.txnindex"))
        let numbers: [Int64] = [7, 0, 1, 2]
        var expected: [UInt8] = [0, 0]
        for number in numbers { expected.appendBigEndian(number) }
        #expect(file == expected)
        #expect(!system.exists(directory.child(Segment.name(log.segments[1].baseOffset, ".txnindex"))))
    }

    @Test func aDamagedIndexIsNotTakenForNone() throws {
        var log = try openLog(directory, options(segmentBytes: 400))
        #expect(log.write(7, 0) == appended(0, 0))
        #expect(log.end(7, commit: false) == appended(1, 1))
        while log.segments.count < 2 { log.append() }
        try log.synchronize()
        let end = log.logEndOffset
        writeFile(directory.child("00000000000000000000.txnindex"), [0, 0, 0])
        log = try openLog(directory, options(segmentBytes: 400), bound: end.rawValue)
        #expect(try log.abortedTransactions(from: .zero, below: end).map(\.lastOffset) == [Offset(1)])
    }

    /// Of an index whose segment has lost what it tells of, nothing may come back: found by the power-cut simulation.
    @Test(arguments: [0, 1]) func aStaleIndexIsRemovedDurably(_ records: Int) throws {
        let log = try openLog(directory)
        for _ in 0..<records { log.append() }
        writeFile(
            directory.child("00000000000000000000.txnindex"),
            TransactionIndex.encode([
                AbortedTransaction(
                    producerID: 7, firstOffset: .zero, lastOffset: Offset(1), lastStableOffset: Offset(2))
            ]))
        let again = try openLog(directory)
        final class Calls: Sendable { let made = Mutex<[String]>([]) }
        let calls = Calls()
        let note: @Sendable (String, String) -> Int32 = { operation, path in
            calls.made.withLock { $0.append("\(operation) \(path.hasSuffix(".txnindex"))") }
            return 0
        }
        try FaultPlan.$current.withValue(note) { try again.close() }
        let made = calls.made.withLock { $0 }
        let removal = try #require(made.firstIndex(of: "removing true"))
        #expect(made[removal...].contains("syncing directory false"))
    }

    /// A pass that finds nothing of an aborted transaction removes its marker, and what readers are told of it.
    @Test func compactionForgetsAborts() throws {
        var log = try openLog(directory, .compacting())
        log.append(KeyedBatch([("a", "1")]))  // 0
        log.append(KeyedBatch([("a", "2")], producerID: 1, sequence: 0, attributes: 0x10))  // 1
        _ = log.end(1, commit: false)  // 2
        log.append(KeyedBatch([("b", "1")]))  // 3
        for pass in 0..<2 {
            try log.rollNow()
            log.append(KeyedBatch([("c", "\(pass)")]))
            try log.synchronize()
            try log.compact()
            #expect(try log.contents().contains("2 abort") == (pass == 0))
            let aborted = try log.abortedTransactions(from: .zero, below: log.logEndOffset)
            #expect(aborted.map(\.lastOffset) == (pass == 0 ? [Offset(2)] : []))
            #expect(system.exists(directory.child("00000000000000000000.txnindex")) == (pass == 0))
        }
        for bound in [6, nil] as [Int64?] {
            log = try openLog(directory, .compacting(), bound: bound)
            #expect(try log.contents() == ["0 a=1", "3 b=1", "4 c=0", "5 c=1"])
            #expect(try log.abortedTransactions(from: .zero, below: log.logEndOffset).isEmpty)
            #expect(try log.stable == 6)
            #expect(log.write(1, 0) == duplicate(1, 1))
        }
    }

    /// What was aborted takes nobody's place; what was committed takes its own, and needs its marker no more.
    @Test func compactionKnowsHowTransactionsEnded() throws {
        var log = try openLog(directory, .compacting())
        func write(_ producer: Int64, _ sequence: Int32, _ key: String, _ value: String?, compressed: UInt8 = 0) {
            log.append(
                KeyedBatch([(key, value)], producerID: producer, sequence: sequence, attributes: 0x10 | compressed))
        }
        log.append(KeyedBatch([("a", "1"), ("b", "1")]))  // 0, 1
        write(1, 0, "a", "2")  // 2
        write(2, 0, "b", "2")  // 3
        write(2, 1, "c", "1")  // 4
        _ = log.end(1, commit: false)  // 5
        _ = log.end(2, commit: true)  // 6
        write(2, 2, "c", "2")  // 7
        write(3, 0, "d", "1", compressed: 2)  // 8
        _ = log.end(2, commit: true)  // 9
        _ = log.end(3, commit: true)  // 10
        write(1, 1, "e", "1")  // 11: committed in the active segment
        try log.rollNow()
        write(4, 0, "f", "1")  // 12: not decided
        _ = log.end(1, commit: true)  // 13
        try log.synchronize()
        try log.compact()
        let expected = [
            "0 a=1", "3 b=2", "5 abort", "7 c=2", "8 compressed", "11 e=1", "12 f=1", "13 commit",
        ]
        #expect(try log.contents() == expected)
        #expect(try log.stable == 12)
        for name in try system.names(in: directory.path) where name.hasSuffix(".snapshot") {
            try system.remove(directory.child(name))
        }
        log = try openLog(directory, .compacting(), bound: 14)
        #expect(log.fence == nil)
        #expect(try log.contents() == expected)
        // Nothing is open that has lost its marker.
        #expect(try log.stable == 12)
        #expect(log.write(2, 3) == appended(14, 14))
        #expect(log.write(1, 2) == appended(15, 15))
        #expect(try Model.committed(log, from: 0, below: Offset(12)).contains(2) == false)
    }

    /// What is open is not looked at, nor what is behind it.
    @Test func compactionWaitsForDecisions() throws {
        let log = try openLog(directory, .compacting())
        log.append(KeyedBatch([("a", "1")]))
        try log.rollNow()
        log.append(KeyedBatch([("b", "1")], producerID: 1, sequence: 0, attributes: 0x10))
        try log.rollNow()
        log.append(KeyedBatch([("a", "2"), ("b", "2")]))
        try log.rollNow()
        try log.compact()
        #expect(try log.contents() == ["0 a=1", "1 b=1", "2 a=2", "3 b=2"])
        _ = log.end(1, commit: true)
        try log.synchronize()
        try log.compact()
        #expect(try log.contents() == ["2 a=2", "3 b=2", "4 commit"])
    }

    /// A marker goes; a start that finds no newer snapshot must not meet one that waits for it.
    @Test(arguments: [1, 1 << 20]) func noSnapshotWaitsForAMarkerThatCompactionRemoved(_ segmentBytes: Int) throws {
        var log = try openLog(directory, .compacting())
        log.append(KeyedBatch([("a", "1")], producerID: 1, sequence: 0, attributes: 0x10))  // 0
        try log.rollNow()
        log.append(KeyedBatch([("b", "1")], producerID: 1, sequence: 1, attributes: 0x10))  // 1
        _ = log.end(1, commit: true)  // 2
        log.append(KeyedBatch([("c", "1")]))  // 3
        try log.synchronize()
        if segmentBytes == 1 { try log.compact() }
        try log.rollNow()
        log.append(KeyedBatch([("d", "1")]))  // 4
        try log.synchronize()
        let old = try directory.snapshots()
        log.options.segmentBytes = segmentBytes
        try log.compact()
        #expect(try !log.contents().contains("2 commit"))
        // The newest is not on the disk; a removal that was not durable when its log was replaced is undone.
        for (name, bytes) in old where segmentBytes > 1 || system.exists(directory.child(name)) {
            writeFile(directory.child(name), name.contains("4") ? [] : bytes)
        }
        log = try openLog(directory, .compacting(), bound: 5)
        #expect(try log.stable == 5)
    }

    /// The same for what retention has removed, and for a snapshot that stood between two segments.
    @Test func noSnapshotWaitsForAMarkerThatWasDeleted() throws {
        var log = try openLog(directory)
        #expect(log.write(1, 0) == appended(0, 0))
        try log.close()
        let old = try directory.snapshots()
        #expect(old.count == 1)
        log = try openLog(directory)
        #expect(log.end(1, commit: true) == appended(1, 1))
        try log.rollNow()
        log.append()
        try log.synchronize()
        _ = try log.moveStart(to: Offset(2))
        for (name, bytes) in old { writeFile(directory.child(name), bytes) }
        writeFile(directory.child(Segment.name(Offset(2), ProducerSnapshot.suffix)), [])
        log = try PartitionLog.open(directory: directory.path, durableBound: Offset(3), logStartOffset: Offset(2))
        #expect(try log.stable == 3)
    }

    @Test func compactionKeepsTransactionsAndTheirEnds() throws {
        var small = options(segmentBytes: 2000)
        small.cleanupPolicy = .compact
        let log = try openLog(directory, small)
        let model = Model()
        var sequences: [Int64: Int32] = [:]
        for step in 0..<120 as Range<Int64> {
            let producer = step % 3
            if step % 10 < 7 {
                let sequence = sequences[producer, default: 0]
                sequences[producer] = sequence + 1
                model.take(log.write(producer, sequence), .data(producer))
            } else {
                model.take(log.end(producer, commit: producer != 1), .marker(producer, commit: producer != 1))
            }
        }
        for producer in 0..<3 as Range<Int64> {
            model.take(log.end(producer, commit: producer != 1), .marker(producer, commit: producer != 1))
        }
        try log.rollNow()
        let before = log.segments.count
        log.options.segmentBytes = 10_000
        try log.compact()
        #expect(log.segments.count < before / 2)
        try model.check(log)
        let end = log.logEndOffset
        try model.check(try openLog(directory, small, bound: end.rawValue))
        try model.check(try openLog(directory, small))
    }
}

extension TemporaryDirectory {
    /// The files of producers' snapshots.
    fileprivate func snapshots() throws -> [(name: String, bytes: [UInt8])] {
        try system.names(in: path).filter { $0.hasSuffix(ProducerSnapshot.suffix) }.map { ($0, readFile(child($0))) }
    }
}

extension PartitionLog {
    /// Appends a batch of a transaction.
    func write(_ producer: Int64, _ sequence: Int32, epoch: Int16 = 0, records: Int = 1) -> AppendResult {
        append(
            Batch(records: records, producerID: producer, epoch: epoch, sequence: sequence, isTransactional: true))
    }

    func end(_ producer: Int64, commit: Bool, epoch: Int16 = 0) -> AppendResult {
        append(Batch(.init(isCommit: commit), producerID: producer, epoch: epoch))
    }

    var stable: Int64 { get throws { try lastStableOffset(below: logEndOffset).rawValue } }
}
