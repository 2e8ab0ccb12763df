import Foundation
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Transactions on a real log: what producers may append, what readers may see, what a crash leaves.
@Suite struct TransactionLogTests {
    @Test func onlyWhatATransactionKnowsIsAppended() throws {
        let bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.produce(producer, 0) == .invalidTransactionState)
        #expect(try bench.add("x", producer, [1]) == ErrorCode.none)
        #expect(try bench.produce(producer, 0) == .invalidTransactionState)
        #expect(try bench.add("x", producer, [0]) == ErrorCode.none)
        #expect(try bench.produce(producer, 0) == ErrorCode.none)
        #expect(try bench.produce(ProducerEpoch(producerID: 77, epoch: 0), 0) == .invalidProducerIDMapping)
        #expect(try bench.produce(ProducerEpoch(producerID: producer.producerID, epoch: 1), 0) == .invalidProducerEpoch)
        #expect(try bench.produce(producer, 1, sequence: -1) == .invalidRecord)
        // A marker is the coordinator's.
        #expect(try bench.produceMarker(producer) == .invalidRecord)
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(try bench.produce(producer, 0) == .invalidTransactionState)
        #expect(try bench.stable(0) == 2)
        try bench.close()
    }

    @Test func readersSeeWhatIsDecided() throws {
        let bench = try TransactionBroker()
        let (one, two) = (try bench.begin("one"), try bench.begin("two"))
        for (id, producer) in [("one", one), ("two", two)] {
            #expect(try bench.add(id, producer, [0]) == ErrorCode.none)
            #expect(try bench.produce(producer, 0) == ErrorCode.none)
        }
        #expect(try bench.stable(0) == 0)
        #expect(try bench.end("one", one, commit: false) == ErrorCode.none)
        #expect(try bench.stable(0) == 1)
        #expect(try bench.end("two", two, commit: true) == ErrorCode.none)
        #expect(try bench.stable(0) == 4)
        let aborted = try bench.partition(0).log.abortedTransactions(from: .zero, below: Offset(4))
        #expect(aborted.map(\.producerID) == [one.producerID])
        try bench.close()
    }

    @Test func offsetsAreListedUpToWhatIsDecided() throws {
        let bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.add("x", producer, [0]) == ErrorCode.none)
        #expect(try bench.produce(partition: 0, value: 1) == ErrorCode.none)
        #expect(try bench.produce(producer, 0) == ErrorCode.none)
        let address = bench.partition(0).address
        func listed(_ timestamp: Int64) throws -> [Int64] {
            try [false, true].map {
                try bench.broker.listOffsets(address, timestamp: timestamp, isReadCommitted: $0).offset
            }
        }
        #expect(try listed(-1) == [2, 1])
        #expect(try listed(-2) == [0, 0])
        #expect(try listed(1) == [0, 0])
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(try listed(-1) == [3, 3])
        try bench.close()
    }

    /// The marker goes where the records went, though the client writes the group's name in other bytes.
    @Test func aGroupsNameInOtherBytesIsTheSameGroup() throws {
        let bench = try TransactionBroker()
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
        #expect(Broker.place(of: composed, among: 4) != Broker.place(of: decomposed, among: 4))
        #expect(try bench.group(.commit(GroupCaller(group: composed), GroupBench.offsets(3))).error == .none)
        let producer = try bench.begin("x")
        #expect(try bench.addOffsets("x", producer, of: decomposed) == ErrorCode.none)
        #expect(try bench.commit(producer, 5, of: decomposed) == [.none])
        #expect(bench.broker.isOffsetPending(group: composed, topic: "t", partition: 0))
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(!bench.broker.isOffsetPending(group: composed, topic: "t", partition: 0))
        let next = try bench.restarted(isClean: true)
        #expect(!next.broker.isOffsetPending(group: composed, topic: "t", partition: 0))
        try next.close()
    }

    @Test(arguments: [true, false])
    func offsetsCountWithTheirTransaction(isCommit: Bool) throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.commit(producer, 5) == [.invalidTransactionState])
        #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
        #expect(try bench.commit(producer, 5) == [.none])
        #expect(try bench.commit(producer, 7) == [.none])
        #expect(try bench.fetch() == -1)
        #expect(bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        #expect(!bench.broker.isOffsetPending(group: "g", topic: "t", partition: 1))
        for isClean in [false, true] {
            bench = try bench.restarted(isClean: isClean)
            #expect(try bench.fetch() == -1)
            #expect(bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        }
        #expect(try bench.end("x", producer, commit: isCommit) == ErrorCode.none)
        let expected: Int64 = isCommit ? 7 : -1
        #expect(try bench.fetch() == expected)
        #expect(!bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        for isClean in [false, true] {
            bench = try bench.restarted(isClean: isClean)
            #expect(try bench.fetch() == expected)
            #expect(!bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        }
        // Not a transaction's, after it.
        #expect(try bench.group(.commit(GroupCaller(group: "g"), GroupBench.offsets(9))).error == .none)
        #expect(try bench.restarted(isClean: false).fetch() == 9)
        try bench.close()
    }

    /// As in Kafka: what its transactions would commit goes with a group.
    @Test func aDeletedGroupsOffsetsDoNotComeBack() throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
        #expect(try bench.commit(producer, 5) == [.none])
        #expect(try bench.group(.delete(group: "g")).error == ErrorCode.none)
        #expect(!bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        bench = try bench.restarted(isClean: false)
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        for isClean in [false, true] {
            #expect(try bench.fetch() == -1)
            #expect(try bench.group(.describe(group: "g")).error == .groupIDNotFound)
            bench = try bench.restarted(isClean: isClean)
        }
        try bench.close()
    }

    /// Whichever is later in the log, not whichever is decided later.
    @Test func aLaterCommitOutlastsATransactions() throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
        #expect(try bench.commit(producer, 5) == [.none])
        #expect(try bench.group(.commit(GroupCaller(group: "g"), GroupBench.offsets(9))).error == .none)
        #expect(!bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(try bench.fetch() == 9)
        bench = try bench.restarted(isClean: false)
        #expect(try bench.fetch() == 9)
        try bench.close()
    }

    @Test(arguments: [true, false]) func theLaterOfTwoTransactionsOffsetsCounts(laterEndsFirst: Bool) throws {
        var bench = try TransactionBroker()
        var producers = [(id: "x", producer: try bench.begin("x")), (id: "y", producer: try bench.begin("y"))]
        for (id, producer) in producers { #expect(try bench.addOffsets(id, producer) == ErrorCode.none) }
        #expect(try bench.commit(producers[0].producer, 5) == [.none])
        #expect(try bench.commit(producers[1].producer, 7) == [.none])
        if laterEndsFirst { producers.reverse() }
        for (id, producer) in producers { #expect(try bench.end(id, producer, commit: true) == ErrorCode.none) }
        #expect(try bench.fetch() == 7)
        bench = try bench.restarted(isClean: false)
        #expect(try bench.fetch() == 7)
        try bench.close()
    }

    @Test func anOffsetIsDeletedUnderATransaction() throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
        #expect(try bench.commit(producer, 5) == [.none])
        let topics = [TopicPartitions(topic: "t", partitions: [0])]
        #expect(try bench.group(.deleteOffsets(group: "g", topics)).error == .none)
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(try bench.fetch() == -1)
        bench = try bench.restarted(isClean: false)
        #expect(try bench.fetch() == -1)
        try bench.close()
    }

    /// A partition that takes no marker holds up nobody else, and its transaction is described as what it waits for. It
    /// ends when the partition is whole again, or gone; a restart goes on with it.
    @Test(arguments: [true, false], [true, false])
    func aFencedPartitionHoldsItsOwnTransactionOnly(isCommit: Bool, isDeleted: Bool) throws {
        var bench = try TransactionBroker(policy: .group)
        let producer = try bench.begin("x")
        #expect(try bench.add("x", producer, [0, 1]) == ErrorCode.none)
        for partition in [0, 1] as [UInt32] {
            #expect(try bench.produce(producer, 0, partition: partition) == ErrorCode.none)
        }
        // Time for the recovery points to be stored: what is lost below them is damage.
        bench.now += 31_000_000_000
        bench.turn()
        let file = "t-1/00000000000000000000.log"
        let sound = try bench.file(file)
        bench = try bench.restarted(isClean: false) { try Data().write(to: $0.appending(path: file)) }
        _ = bench.begin(.end(transactionalID: "x", producer, isCommit: isCommit))
        let prepared = isCommit ? "PrepareCommit" : "PrepareAbort"
        for isRestarted in [false, true] {
            if isRestarted { bench = try bench.restarted(isClean: false) }
            for _ in 0..<3 {
                try bench.turn(until: { try bench.description("x").partitions.map(\.partition) == [1] })
                #expect(try bench.description("x").state == prepared)
                #expect(try bench.stable(0) == bench.partition(0).log.logEndOffset.rawValue)
                bench.now += 1_100_000_000
            }
            _ = try bench.begin("others go on")
        }
        if isDeleted {
            try bench.broker.deleteTopic("t")
        } else {
            bench = try bench.restarted(isClean: false) { try sound.write(to: $0.appending(path: file)) }
        }
        bench.now += 1_100_000_000
        let complete = isCommit ? "CompleteCommit" : "CompleteAbort"
        try bench.turn(until: { try bench.description("x").state == complete })
        if !isDeleted { #expect(try bench.committed(1) == (isCommit ? [0] : [])) }
        #expect(try bench.description("x").partitions.isEmpty)
        try bench.close()
    }

    @Test func aDeletedTopicsOffsetsGoWithIt() throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
        #expect(try bench.add("x", producer, [0]) == ErrorCode.none)
        #expect(try bench.commit(producer, 5) == [.none])
        try bench.broker.deleteTopic("t")
        try bench.broker.createTopic("t", partitions: 3)
        bench.turn()
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(try bench.fetch() == -1)
        bench = try bench.restarted(isClean: false)
        #expect(try bench.fetch() == -1)
        try bench.close()
    }

    /// The broker ended when the topic was gone, and before the groups knew.
    @Test func aStartForgetsWhatIsHeldForDeletedTopics() throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
        #expect(try bench.commit(producer, 5) == [.none])
        #expect(bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        bench = try bench.restarted(isClean: false) { url in
            // Without a word to the groups.
            let directory = try LogDirectory.open(path: url.path, options: LogOptions())
            try directory.deleteTopic(name: "t")
            try directory.close()
        }
        #expect(!bench.broker.isOffsetPending(group: "g", topic: "t", partition: 0))
        try bench.close()
    }

    /// An operator ends what no coordinator knows of.
    @Test func markersByHand() throws {
        let bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.add("x", producer, [0]) == ErrorCode.none)
        #expect(try bench.produce(producer, 0) == ErrorCode.none)
        let places = [0, 9].map { TransactionPartition(topic: "t", partition: $0) }
        let answer = try bench.ask(
            .writeMarkers([
                TransactionMarkers(producer, isCommit: false, coordinatorEpoch: 3, partitions: places)
            ]))
        guard case .errors(let errors) = answer.body else { return #expect(Bool(false)) }
        #expect(errors == [.none, .unknownTopicOrPartition])
        #expect(try bench.stable(0) == 2)
        #expect(try bench.partition(0).log.activeProducers.map(\.coordinatorEpoch) == [3])
        try bench.close()
    }

    /// Also behind a marker of the broker's own coordinator, whose epoch is the oldest.
    @Test func anOlderCoordinatorStaysFenced() throws {
        var bench = try TransactionBroker()
        let producer = try bench.begin("x")
        #expect(try bench.add("x", producer, [0]) == ErrorCode.none)
        #expect(try bench.produce(producer, 0) == ErrorCode.none)
        func mark(_ epoch: Int32) throws -> [ErrorCode] {
            let markers = TransactionMarkers(
                producer, isCommit: false, coordinatorEpoch: epoch,
                partitions: [TransactionPartition(topic: "t", partition: 0)])
            guard case .errors(let errors) = try bench.ask(.writeMarkers([markers])).body else { return [] }
            return errors
        }
        #expect(try mark(3) == [.none])
        #expect(try bench.end("x", producer, commit: true) == ErrorCode.none)
        #expect(try mark(2) == [.transactionCoordinatorFenced])
        for isClean in [false, true] {
            bench = try bench.restarted(isClean: isClean)
            #expect(try mark(2) == [.transactionCoordinatorFenced])
            #expect(try bench.partition(0).log.activeProducers.map(\.coordinatorEpoch) == [3])
        }
        #expect(try mark(3) == [.none])
        try bench.close()
    }

    /// A stop between any two turns, with the process gone or closed in order: what was decided stays so, and what was
    /// not is still to be decided.
    @Test(arguments: zip([true, false], [false, true]))
    func aStopAtEachStep(isCommit: Bool, isClean: Bool) throws {
        for stop in 0... {
            var bench = try TransactionBroker()
            let producer = try bench.begin("x")
            #expect(try bench.add("x", producer, [0, 1]) == ErrorCode.none)
            for partition in [0, 1] as [UInt32] {
                #expect(try bench.produce(producer, 0, partition: partition) == ErrorCode.none)
            }
            #expect(try bench.addOffsets("x", producer) == ErrorCode.none)
            #expect(try bench.commit(producer, 5) == [.none])
            let question = bench.begin(.end(transactionalID: "x", producer, isCommit: isCommit))
            for _ in 0..<stop where bench.answers[question] == nil { bench.turn() }
            let isDone = bench.answers[question] != nil
            bench = try bench.restarted(isClean: isClean)
            // It was told, or asks again.
            let again = try bench.end("x", producer, commit: isCommit)
            #expect(again == ErrorCode.none, "stop \(stop)")
            for partition in [0, 1] as [UInt32] {
                let end = bench.partition(partition).log.logEndOffset
                #expect(try bench.stable(partition) == end.rawValue)
                let aborted = try bench.partition(partition).log.abortedTransactions(from: .zero, below: end)
                #expect(aborted.count == (isCommit ? 0 : 1))
            }
            #expect(try bench.fetch() == (isCommit ? 5 : -1))
            #expect(try bench.add("x", producer, [2]) == ErrorCode.none)
            try bench.close()
            if isDone { return #expect(stop > 1) }
        }
    }
}
