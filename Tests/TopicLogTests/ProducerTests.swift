import RecordFormat
import Testing

@testable import TopicLog

@Suite struct ProducerTests {
    let directory = TemporaryDirectory()

    @Test func checksSequences() throws {
        var log = try openLog(directory)
        #expect(log.append(producer: 7, sequence: 3) == .rejected(.outOfOrderSequence))  // unknown, not at 0
        #expect(log.append(producer: 7, sequence: 0, records: 2) == appended(0, 1))
        #expect(log.append(producer: 7, sequence: 2) == appended(2, 2))
        #expect(log.append(producer: 7, sequence: 4) == .rejected(.outOfOrderSequence))  // a gap
        #expect(log.append(producer: 7, sequence: 0, records: 2) == duplicate(0, 1))
        #expect(log.append(producer: 7, sequence: 0, records: 1) == .rejected(.outOfOrderSequence))  // not the same
        #expect(log.append(producer: 7, sequence: 2) == duplicate(2, 2))
        for reopened in [false, true] {
            if reopened { log = try openLog(directory) }  // as after SIGKILL: never closed
            #expect(log.append(producer: 7, sequence: 2) == duplicate(2, 2), "reopened: \(reopened)")
            #expect(log.append(producer: 7, sequence: 9) == .rejected(.outOfOrderSequence))
        }
        #expect(log.append(producer: 7, sequence: 3) == appended(3, 3))
        #expect(log.append(records: 1) == appended(4, 4))  // not idempotent: never checked
        #expect(log.logEndOffset == Offset(5))
        #expect(try log.producerIDMax == 7)
    }

    @Test func remembersFiveBatches() throws {
        var log = try openLog(directory)
        for sequence in 0..<6 as Range<Int64> {
            #expect(log.append(producer: 1, sequence: Int32(sequence)) == appended(sequence, sequence))
        }
        for reopened in [false, true] {
            if reopened { log = try openLog(directory) }
            #expect(log.append(producer: 1, sequence: 0) == .rejected(.outOfOrderSequence), "forgotten")
            for sequence in 1..<6 as Range<Int64> {
                #expect(log.append(producer: 1, sequence: Int32(sequence)) == duplicate(sequence, sequence))
            }
        }
    }

    @Test func fencesOldEpochs() throws {
        var log = try openLog(directory)
        #expect(log.append(producer: 1, epoch: 3, sequence: 0) == appended(0, 0))
        #expect(log.append(producer: 1, epoch: 4, sequence: 1) == .rejected(.outOfOrderSequence))  // must start at 0
        #expect(log.append(producer: 1, epoch: 3, sequence: 1) == appended(1, 1))
        #expect(log.append(producer: 1, epoch: 4, sequence: 0) == appended(2, 2))
        for reopened in [false, true] {
            if reopened { log = try openLog(directory) }
            #expect(log.append(producer: 1, epoch: 3, sequence: 2) == .rejected(.invalidProducerEpoch))
            #expect(log.append(producer: 1, epoch: 4, sequence: 0) == duplicate(2, 2))
        }
    }

    @Test func wrapsSequences() {
        func header(_ batch: Batch) -> RecordBatchHeader {
            unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(batch.buffer))
        }
        var table = ProducerTable(producersMax: 10)
        let last = Batch(records: 3, producerID: 2, epoch: 0, sequence: .max - 1)  // max-1, max, 0
        table.replay(header(last))
        let next = Batch(producerID: 2, epoch: 0, sequence: 1)
        #expect(table.verdict(header(next)) == .accept)
        let wrong = Batch(producerID: 2, epoch: 0, sequence: 0)
        #expect(table.verdict(header(wrong)) == .outOfOrderSequence)
    }

    /// Batches of one call see each other: sequence, duplicate and gap within it.
    @Test func judgesWithinOneCall() throws {
        let log = try openLog(directory)
        let results = log.append([
            Batch(producerID: 1, epoch: 0, sequence: 0), Batch(producerID: 1, epoch: 0, sequence: 1),
            Batch(producerID: 1, epoch: 0, sequence: 1), Batch(producerID: 1, epoch: 0, sequence: 3),
            Batch(producerID: 1, epoch: 0, sequence: 2),
        ])
        #expect(
            results == [
                appended(0, 0), appended(1, 1), duplicate(1, 1), .rejected(.outOfOrderSequence), appended(2, 2),
            ])
        #expect(log.statistics.writeCalls == 1)
    }

    @Test func dropsTheOldestProducers() throws {
        var limited = LogOptions()
        limited.producersMax = 20
        let log = try openLog(directory, limited)
        for producer in 0..<30 { _ = log.append(producer: Int64(producer), sequence: 0) }
        #expect(try (18...20).contains(log.producerCount))
        #expect(log.append(producer: 30, sequence: 1) == .rejected(.outOfOrderSequence), "never here")
        #expect(log.append(producer: 0, sequence: 1) == appended(30, 30), "forgotten")
        #expect(log.append(producer: 29, sequence: 1) == appended(31, 31))
        #expect(try openLog(directory, limited).producerCount <= 20)
    }

    @Test func forgetsIdleProducers() throws {
        var options = LogOptions()
        options.producerExpirationMilliseconds = 1_600
        let log = try openLog(directory, options)
        func remembered() throws -> [Int64] { try log.activeProducers.map(\.producerID) }
        #expect(log.append(producer: 1, sequence: 0) == appended(0, 0))
        #expect(log.write(2, 0) == appended(1, 1))
        #expect(log.append(producer: 3, sequence: 0) == appended(2, 2))
        #expect(log.forgetIdleProducers(nowMilliseconds: 1_000) == 3)
        #expect(log.forgetIdleProducers(nowMilliseconds: 1_099) == 0, "too soon after the last look")
        #expect(log.forgetIdleProducers(nowMilliseconds: 2_000) == 3)
        #expect(log.append(producer: 3, sequence: 1) == appended(3, 3))
        #expect(log.forgetIdleProducers(nowMilliseconds: 2_599) == 3)
        #expect(try remembered() == [1, 2, 3])
        #expect(log.append(producer: 1, sequence: 0) == duplicate(0, 0), "which says nothing of a producer's life")
        #expect(log.forgetIdleProducers(nowMilliseconds: 2_699) == 3)
        #expect(try remembered() == [2, 3])
        #expect(log.forgetIdleProducers(nowMilliseconds: 4_198) == 2)
        #expect(try remembered() == [2, 3])
        #expect(log.forgetIdleProducers(nowMilliseconds: 4_299) == 2)
        #expect(try remembered() == [2], "its transaction is open")
        #expect(log.end(2, commit: true) == appended(4, 4))
        #expect(log.forgetIdleProducers(nowMilliseconds: 5_000) == 1)
        #expect(log.forgetIdleProducers(nowMilliseconds: 6_600) == 1)
        #expect(try log.producerCount == 0)
    }

    @Test func idleProducersAndStarts() throws {
        var options = LogOptions()
        options.producerExpirationMilliseconds = 1_600
        let data = try LogDirectory.open(path: directory.path, options: options)
        try data.createTopic(name: "t", partitions: 1)
        let log = data.partition(topic: "t", index: 0)!
        for producer in 0..<3 as Range<Int64> { _ = log.append(producer: producer, sequence: 0) }
        #expect(log.forgetIdleProducers(nowMilliseconds: 1_000) == 3)
        #expect(log.append(producer: 2, sequence: 1) == appended(3, 3))
        #expect(log.forgetIdleProducers(nowMilliseconds: 2_600) == 3)
        try data.close()
        let again = try LogDirectory.open(path: directory.path, options: options)
        let opened = again.partition(topic: "t", index: 0)!
        #expect(opened.forgetIdleProducers(nowMilliseconds: 9_000) == 0, "not in memory before they are needed")
        #expect(try opened.activeProducers.map(\.producerID) == [2], "the snapshot has those that were left")
        #expect(opened.forgetIdleProducers(nowMilliseconds: 9_000) == 1)
        #expect(try opened.producerCount == 1, "its time begins anew")
        try again.close()
    }

    /// Kafka's rule since 2.5 for producers that were forgotten; new ones begin at 0, as before that.
    @Test func forgottenProducersGoOnWithAnySequence() throws {
        var options = LogOptions()
        options.producerExpirationMilliseconds = 1_600
        let data = try LogDirectory.open(path: directory.path, options: options)
        try data.createTopic(name: "t", partitions: 1)
        let log = data.partition(topic: "t", index: 0)!
        for producer in [5, 6, 7, 9] as [Int64] { _ = log.append(producer: producer, sequence: 0) }
        #expect(log.forgetIdleProducers(nowMilliseconds: 1_000) == 4)
        #expect(log.append(producer: 9, sequence: 1) == appended(4, 4))
        #expect(log.forgetIdleProducers(nowMilliseconds: 2_600) == 4)
        #expect(log.append(producer: 9, sequence: 3) == .rejected(.outOfOrderSequence), "known")
        #expect(log.append(producer: 8, sequence: 1) == .rejected(.outOfOrderSequence), "never here")
        #expect(log.append(producer: 5, sequence: 1) == appended(5, 5))
        #expect(log.append(producer: 5, sequence: 3) == .rejected(.outOfOrderSequence), "known again")
        #expect(log.append(producer: 5, sequence: 1) == duplicate(5, 5))
        #expect(log.append(producer: 5, epoch: 1, sequence: 2) == .rejected(.outOfOrderSequence), "a new epoch")
        try data.close()
        let again = try LogDirectory.open(path: directory.path, options: options)
        let opened = again.partition(topic: "t", index: 0)!
        #expect(opened.append(producer: 8, sequence: 1) == .rejected(.outOfOrderSequence))
        #expect(opened.write(7, 4) == appended(6, 6), "of a transaction, too")
        #expect(opened.end(7, commit: true) == appended(7, 7))
        #expect(opened.append(producer: 6, sequence: .max) == appended(8, 8))
        #expect(opened.append(producer: 6, sequence: 0) == appended(9, 9))
        try again.close()
    }

    /// What was deleted before anything wrote down who was in it may have been anybody's who is met later.
    @Test func producersOfDeletedSegmentsMayBeForgotten() throws {
        let size = Batch(producerID: 1, epoch: 0, sequence: 0).size
        var log = try openLog(directory, options(segmentBytes: 2 * size))
        for producer in 1...6 as ClosedRange<Int64> { _ = log.append(producer: producer, sequence: 0) }
        try log.synchronize()
        _ = try log.moveStart(to: Offset(4))
        for name in try system.names(in: directory.path) where name.hasSuffix(ProducerSnapshot.suffix) {
            try system.remove(directory.child(name))
        }
        log = try PartitionLog.open(
            directory: directory.path, options: options(segmentBytes: 2 * size), durableBound: Offset(6),
            logStartOffset: Offset(4), storage: PlannedStorage())
        #expect(log.append(producer: 7, sequence: 1) == .rejected(.outOfOrderSequence))
        #expect(log.append(producer: 6, sequence: 0) == duplicate(5, 5))
        #expect(log.append(producer: 2, sequence: 1) == appended(6, 6))
    }
}
