import Testing
import TopicProtocol

@testable import BrokerCore

@Suite struct TransactionCoordinatorTests {
    @Test(arguments: [true, false])
    func aTransactionsLife(isCommit: Bool) throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin())
        #expect(producer == ProducerEpoch(producerID: 101, epoch: 0))
        #expect(bench.state == "Empty")
        #expect(bench.end(producer, commit: isCommit) == .invalidTransactionState)
        #expect(bench.add(producer, [0, 2]) == ErrorCode.none)
        #expect(bench.error(of: .addOffsets(transactionalID: "x", producer, group: "g")) == ErrorCode.none)
        #expect(bench.state == "Ongoing")
        #expect(
            bench.description()?.partitions.map { "\($0.topic)\($0.partition)" } == ["offsets3", "t0", "t2"])
        bench.markerOutcome = nil
        // Told only when its markers are durable.
        let ending = bench.ask(.end(transactionalID: "x", producer, isCommit: isCommit))
        #expect(bench.answers[ending] == nil)
        #expect(bench.state == (isCommit ? "PrepareCommit" : "PrepareAbort"))
        #expect(bench.heldMarkers.count == 3)
        #expect(bench.heldMarkers.allSatisfy { $0.isCommit == isCommit && $0.producer == producer })
        #expect(bench.end(producer, commit: isCommit) == .concurrentTransactions)
        #expect(bench.end(producer, commit: !isCommit) == .invalidTransactionState)
        #expect(bench.add(producer) == .concurrentTransactions)
        #expect(bench.begin() == nil)
        bench.releaseMarkers()
        #expect(bench.state == (isCommit ? "CompleteCommit" : "CompleteAbort"))
        #expect(bench.answers[ending]?.error == ErrorCode.none)
        // Asked again, for the answer was lost.
        #expect(bench.end(producer, commit: isCommit) == ErrorCode.none)
        #expect(bench.end(producer, commit: !isCommit) == .invalidTransactionState)
        // The next one.
        #expect(bench.add(producer, [1]) == ErrorCode.none)
        #expect(bench.description()?.partitions.count == 1)
    }

    @Test func whoIsWho() throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin())
        let stranger = ProducerEpoch(producerID: 9, epoch: 0)
        #expect(bench.add(stranger) == .invalidProducerIDMapping)
        #expect(bench.add(producer, id: "y") == .invalidProducerIDMapping)
        #expect(bench.end(stranger, commit: true) == .invalidProducerIDMapping)
        #expect(bench.error(of: .addOffsets(transactionalID: "y", producer, group: "g")) == .invalidProducerIDMapping)
        #expect(bench.begin("x", as: stranger) == nil)
        #expect(
            bench.error(of: .initProducer(transactionalID: "", timeoutMilliseconds: 1, producer: nil))
                == .invalidRequest)
        for timeout in [0, -1, 900_001] as [Int32] {
            #expect(
                bench.error(of: .initProducer(transactionalID: "x", timeoutMilliseconds: timeout, producer: nil))
                    == .invalidTransactionTimeout)
        }
        #expect(bench.description("nobody")?.error == .transactionalIDNotFound)
        // All of a request's partitions or none.
        let partitions = ["t", "no"].map { TransactionPartition(topic: $0, partition: 0) }
        let question = bench.ask(.addPartitions(transactionalID: "x", producer, partitions))
        guard case .errors(let errors) = bench.answers[question]?.body else { return #expect(Bool(false)) }
        #expect(errors == [.operationNotAttempted, .unknownTopicOrPartition])
        #expect(bench.state == "Empty")
    }

    @Test func aNewInstanceFencesTheOld() throws {
        let bench = TransactionBench()
        let old = try #require(bench.begin())
        #expect(bench.add(old) == ErrorCode.none)
        // What is ongoing is aborted first, under an epoch that nobody has.
        #expect(
            bench.error(of: .initProducer(transactionalID: "x", timeoutMilliseconds: 5, producer: nil))
                == .concurrentTransactions)
        #expect(bench.markers.map(\.producer.epoch) == [1])
        #expect(bench.markers.map(\.isCommit) == [false])
        #expect(bench.end(old, commit: true) == .producerFenced)
        #expect(bench.coordinator.refusal(of: old, in: .init(topic: "t", partition: 0)) == .invalidProducerEpoch)
        let new = try #require(bench.begin())
        #expect(new == ProducerEpoch(producerID: old.producerID, epoch: 2))
        #expect(bench.add(old) == .producerFenced)
        #expect(bench.begin("x", as: old) == nil)
        #expect(bench.add(new) == ErrorCode.none)
        #expect(bench.coordinator.refusal(of: new, in: .init(topic: "t", partition: 0)) == nil)
        #expect(bench.coordinator.refusal(of: new, in: .init(topic: "t", partition: 1)) == .invalidTransactionState)
        #expect(
            bench.coordinator.refusal(of: .init(producerID: 7, epoch: 0), in: .init(topic: "t", partition: 1))
                == .invalidProducerIDMapping)
    }

    /// KIP-360: a producer asks for the next epoch of its own, and again when the answer was lost.
    @Test func aProducerRenewsItsEpoch() throws {
        let bench = TransactionBench()
        let first = try #require(bench.begin())
        let second = try #require(bench.begin("x", as: first))
        #expect(second.epoch == 1)
        #expect(bench.begin("x", as: first) == second)
        let third = try #require(bench.begin("x", as: second))
        #expect(third.epoch == 2)
        #expect(bench.begin("x", as: first) == nil)
        // A new instance that says nothing of itself makes all of them old.
        #expect(bench.begin()?.epoch == 3)
        #expect(bench.begin("x", as: second) == nil)
    }

    /// Who names itself and no epoch is nobody's next instance: it would be given the epoch that another one has.
    @Test func aCallerHasAnEpoch() throws {
        let bench = TransactionBench()
        let first = try #require(bench.begin())
        let second = try #require(bench.begin("x", as: first))
        for caller in [ProducerEpoch(producerID: second.producerID, epoch: -1), .init(producerID: -1, epoch: 0)] {
            #expect(
                bench.error(of: .initProducer(transactionalID: "x", timeoutMilliseconds: 1, producer: caller))
                    == .invalidRequest)
        }
        #expect(bench.add(second) == ErrorCode.none)
    }

    @Test func aUsedUpEpochMakesANewProducer() throws {
        let stored = StoredTransaction(
            producer: ProducerEpoch(producerID: 5, epoch: Int16.max - 1), timeoutMilliseconds: 1_000,
            updatedAt: 1_700_000_000_000)
        let record = TransactionRecord("x", stored)
        for caller in [nil, stored.producer] {
            let bench = TransactionBench(log: [record.key: try #require(record.value)])
            #expect(bench.begin("x", as: caller) == ProducerEpoch(producerID: 101, epoch: 0))
            // It did not hear of it.
            #expect(bench.begin("x", as: stored.producer) == caller.map { _ in .init(producerID: 101, epoch: 0) })
        }
        // The last epoch is there to fence.
        let bench = TransactionBench(log: [record.key: try #require(record.value)])
        #expect(bench.add(stored.producer) == ErrorCode.none)
        bench.pass(milliseconds: 1_001)
        #expect(bench.markers.map(\.producer.epoch) == [Int16.max])
        #expect(bench.begin() == ProducerEpoch(producerID: 101, epoch: 0))
    }

    @Test func whatTakesTooLongIsAborted() throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin(timeout: 1_000))
        #expect(bench.add(producer) == ErrorCode.none)
        bench.pass(milliseconds: 600)
        // More partitions give no more time.
        #expect(bench.add(producer, [1]) == ErrorCode.none)
        bench.pass(milliseconds: 399)
        #expect(bench.state == "Ongoing")
        bench.pass(milliseconds: 2)
        #expect(bench.state == "CompleteAbort")
        #expect(bench.markers.map(\.producer.epoch) == [1, 1])
        #expect(bench.end(producer, commit: true) == .producerFenced)
        bench.pass(milliseconds: 2_000)
        #expect(bench.coordinator.nextDeadline == .max)
        // The same over a restart: what is left of the time counts.
        let again = try #require(bench.begin(timeout: 1_000))
        #expect(bench.add(again) == ErrorCode.none)
        let later = bench.restarted(after: 700)
        #expect(later.state == "Ongoing")
        later.pass(milliseconds: 301)
        #expect(later.state == "CompleteAbort")
        #expect(bench.restarted(after: 5_000).state == "Ongoing")
    }

    /// However late the turn is: a request of somebody else ends nothing whose own request may wait behind it.
    @Test func anEndThatWaitsIsInTime() throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin(timeout: 1_000))
        #expect(bench.add(producer) == ErrorCode.none)
        bench.stall(milliseconds: 2_000)
        _ = try #require(bench.begin("y"))
        #expect(bench.state == "Ongoing" && bench.markers.isEmpty)
        #expect(bench.end(producer, commit: true) == ErrorCode.none)
        #expect(bench.markers.map(\.isCommit) == [true])
        // What was due by the time until which everybody was heard is over.
        #expect(bench.add(producer) == ErrorCode.none)
        bench.stall(milliseconds: 2_000)
        bench.advance(unheard: 1_500)
        #expect(bench.state == "Ongoing")
        bench.advance(unheard: 500)
        #expect(bench.state == "CompleteAbort")
    }

    @Test func whatIsNotStoredDidNotHappen() throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin())
        bench.recordOutcome = .storageError
        #expect(bench.begin() == nil)
        #expect(bench.add(producer) == .coordinatorNotAvailable)
        #expect(bench.state == "Empty")
        bench.recordOutcome = ErrorCode.none
        #expect(bench.add(producer) == ErrorCode.none)
        bench.recordOutcome = .storageError
        #expect(bench.end(producer, commit: true) == .coordinatorNotAvailable)
        #expect(bench.state == "Ongoing")
        #expect(bench.markers.isEmpty)
        // Until it is known, nothing else is done, and no record is taken.
        bench.recordOutcome = nil
        #expect(bench.end(producer, commit: true) == nil)
        #expect(bench.add(producer, [1]) == .concurrentTransactions)
        #expect(bench.begin() == nil)
        #expect(
            bench.coordinator.refusal(of: producer, in: .init(topic: "t", partition: 0)) == .invalidTransactionState)
        bench.releaseRecords()
        bench.releaseRecords()
        #expect(bench.state == "CompleteCommit")
    }

    @Test func markersAreTriedAgain() throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin())
        #expect(bench.add(producer, [0, 1]) == ErrorCode.none)
        bench.markerOutcome = .storageError
        #expect(bench.end(producer, commit: true) == nil)
        bench.pass(milliseconds: 5_000)
        #expect(bench.state == "PrepareCommit")
        bench.markerOutcome = ErrorCode.none
        bench.pass(milliseconds: 1_000)
        #expect(bench.state == "CompleteCommit")
        #expect(bench.markers.count == 2)
        // A topic that is gone, and a producer that is fenced there, need no marker.
        for error in [ErrorCode.unknownTopicOrPartition, .invalidProducerEpoch] {
            #expect(bench.add(producer, [0, 1]) == ErrorCode.none)
            bench.markerOutcome = error
            #expect(bench.end(producer, commit: false) == ErrorCode.none)
        }
    }

    /// Whatever the log holds when it stops, the next one brings to its end, as it was decided.
    @Test(arguments: [true, false])
    func aRestartGoesOn(isCommit: Bool) throws {
        let bench = TransactionBench()
        #expect(bench.restarted().description()?.error == .transactionalIDNotFound)
        let producer = try #require(bench.begin())
        #expect(bench.restarted().begin("x", as: producer)?.epoch == 1)
        #expect(bench.add(producer, [0, 1]) == ErrorCode.none)
        let ongoing = bench.restarted()
        #expect(ongoing.state == "Ongoing" && ongoing.markers.isEmpty)
        #expect(ongoing.end(producer, commit: isCommit) == ErrorCode.none)
        bench.markerOutcome = nil
        #expect(bench.end(producer, commit: isCommit) == nil)
        // Prepared: some markers may be there, or none.
        let prepared = bench.restarted()
        #expect(prepared.markers.map(\.isCommit) == [isCommit, isCommit])
        #expect(prepared.markers.allSatisfy { $0.producer == producer })
        #expect(prepared.end(producer, commit: isCommit) == ErrorCode.none)
        bench.releaseMarkers()
        let complete = bench.restarted()
        #expect(complete.markers.isEmpty && complete.state == (isCommit ? "CompleteCommit" : "CompleteAbort"))
        #expect(complete.add(producer) == ErrorCode.none)
    }

    @Test func nothingIsAnsweredWhileItLoads() throws {
        let bench = TransactionBench(isLoaded: false)
        #expect(bench.begin() == nil)
        #expect(bench.answers[1]?.error == .coordinatorLoadInProgress)
        let producer = ProducerEpoch(producerID: 1, epoch: 0)
        #expect(bench.coordinator.refusal(of: producer, in: .init(topic: "t", partition: 0)) == .notEnoughReplicas)
    }

    @Test func unusedIDsAreForgotten() throws {
        var options = TransactionOptions()
        options.expirationMilliseconds = 1_000
        let bench = TransactionBench(options)
        let producer = try #require(bench.begin())
        _ = try #require(bench.begin("y"))
        #expect(bench.add(producer) == ErrorCode.none)
        bench.pass(milliseconds: 2_000)
        bench.coordinator.expireIDs()
        bench.pass(milliseconds: 1)
        #expect(bench.description("y")?.error == .transactionalIDNotFound)
        #expect(bench.state == "Ongoing")
        #expect(bench.restarted().description("y")?.error == .transactionalIDNotFound)
        #expect(bench.begin("y")?.producerID == 103)
    }

    @Test func limits() throws {
        var options = TransactionOptions()
        options.idsMax = 2
        options.partitionsMax = 3
        options.idBytesMax = 5
        let bench = TransactionBench(options)
        let producer = try #require(bench.begin())
        _ = try #require(bench.begin("y"))
        func refusal(_ request: TransactionRequest) -> String {
            let question = bench.ask(request)
            let answer = bench.answers[question]
            #expect(answer?.error == .limitReached || answer?.error == .invalidRequest)
            return answer?.text ?? ""
        }
        #expect(
            refusal(.initProducer(transactionalID: "z", timeoutMilliseconds: 1, producer: nil))
                .contains("2 (--transactional-ids-max)"))
        #expect(
            refusal(.initProducer(transactionalID: "zzzzzz", timeoutMilliseconds: 1, producer: nil)).contains("1 to 5"))
        let four = (0..<4).map { TransactionPartition(topic: "t", partition: $0) }
        #expect(
            refusal(.addPartitions(transactionalID: "x", producer, four)).contains("3 (--transaction-partitions-max)"))
        #expect(bench.add(producer, [0, 1, 2]) == ErrorCode.none)
        options.totalBytesMax = 850
        let small = TransactionBench(options)
        _ = try #require(small.begin())
        _ = try #require(small.begin("y"))
        #expect(small.coordinator.byteCount < 850)
        let one = try #require(small.begin())
        #expect(small.add(one, [0, 1, 2]) != ErrorCode.none)
        let count = small.coordinator.byteCount
        #expect(small.add(one, [0]) == ErrorCode.none)
        #expect(small.end(one, commit: true) == ErrorCode.none)
        #expect(small.coordinator.byteCount == count)
    }

    @Test func listing() throws {
        let bench = TransactionBench()
        let producer = try #require(bench.begin())
        _ = try #require(bench.begin("y"))
        #expect(bench.add(producer) == ErrorCode.none)
        bench.pass(milliseconds: 50)
        func list(_ states: [String] = [], _ ids: [Int64] = [], _ duration: Int64 = -1) -> [String] {
            let question = bench.ask(.list(states: states, producerIDs: ids, durationMilliseconds: duration))
            guard case .listings(let all) = bench.answers[question]?.body else { return [] }
            return all.map { "\($0.transactionalID) \($0.producerID) \($0.state)" }
        }
        #expect(list() == ["x 101 Ongoing", "y 102 Empty"])
        #expect(list(["Empty"]) == ["y 102 Empty"])
        #expect(list([], [101]) == ["x 101 Ongoing"])
        #expect(list([], [], 50) == ["x 101 Ongoing"])
        #expect(list([], [], 51) == [])
    }

    /// Kafka's schemas, byte for byte.
    @Test func records() throws {
        var stored = StoredTransaction(
            producer: ProducerEpoch(producerID: 0x0102, epoch: 3), timeoutMilliseconds: 60_000, updatedAt: 5)
        let empty = TransactionRecord("x", stored)
        #expect(empty.key == [0, 0, 0, 1, 0x78])
        let head: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 0, 0, 0xea, 0x60]
        #expect(
            empty.value == head + [0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5]
                + [UInt8](repeating: 0xff, count: 8))
        stored.state = .ongoing
        stored.startedAt = 4
        stored.partitions = [.init(topic: "t", partition: 1), .init(topic: "t", partition: 0)]
        let ongoing = TransactionRecord("x", stored)
        #expect(
            ongoing.value == head + [
                1, 0, 0, 0, 1, 0, 1, 0x74, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0,
                0, 4,
            ])
        for record in [empty, ongoing, TransactionRecord("x", nil)] {
            let (key, value) = (record.key, record.value)
            let read = unsafe key.withUnsafeBytes { key in
                guard let value else { return unsafe TransactionRecord(key: key, value: nil) }
                return unsafe value.withUnsafeBytes { unsafe TransactionRecord(key: key, value: $0) }
            }
            #expect(read == record)
        }
    }
}
