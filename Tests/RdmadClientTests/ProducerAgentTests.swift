import Glibc
import RDMATransport
import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

@Suite struct ProducerAgentTests {
    @Test func aBatchWaitsForItsLinger() throws {
        let harness = try ProducerHarness { $0.lingerMilliseconds = 100 }
        try harness.send("a")
        let deadline = try #require(harness.turn(after: 0))
        #expect(harness.port.produces.isEmpty)
        // Opened after `start`, by no more than this test has run.
        #expect(deadline >= harness.start + 100_000_000)
        _ = harness.agent.turn(harness.port, now: deadline)
        #expect(harness.port.produces.map(\.sequence) == [0])
    }

    @Test func aRecordBetweenATurnAndSleepIsSeen() throws {
        let harness = try ProducerHarness { $0.lingerMilliseconds = 5 }
        harness.turn(after: 0)
        #expect(!harness.agent.hasWork)
        try harness.send("a")
        // The link would sleep now, for a second, not knowing of the linger.
        #expect(harness.agent.hasWork)
        harness.turn(after: 0)
        #expect(!harness.agent.hasWork)
    }

    @Test func smallBatchesTravelInsideTheirAnnouncement() throws {
        let harness = try ProducerHarness { $0.eagerBytesMax = 200 }
        try harness.send("small")
        harness.turn()
        try harness.send(String(repeating: "x", count: 300))
        harness.turn()
        let produces = harness.port.takeProduces()
        #expect(produces.map(\.isEager) == [true, false])
        #expect(produces[1].address == ProducerHarness.regionAddress + 65_536)
    }

    @Test func eagerNeverExceedsTheMessage() throws {
        let harness = try ProducerHarness { $0.eagerBytesMax = 1 << 20 }
        harness.port.messageBytesMax = 220
        try harness.send(String(repeating: "x", count: 300))
        harness.turn()
        #expect(harness.port.takeProduces().map(\.isEager) == [false])
    }

    @Test func atMostFiveInFlightPerPartitionAndAsManyAsTheBrokerGrants() throws {
        let harness = try ProducerHarness(partitions: 2, inFlightMax: 7)
        let first = try harness.announce(8, partition: 0)
        #expect(first.map(\.sequence) == [0, 1, 2, 3, 4])
        #expect(try harness.announce(8, partition: 1).count == 2)
        harness.acknowledge(first[0])
        harness.acknowledge(first[1])
        harness.turn()
        #expect(harness.port.takeProduces().count == 2)
    }

    @Test func partitionsTakeTurnsAtTheBrokersLimit() throws {
        let harness = try ProducerHarness(partitions: 2, inFlightMax: 1)
        for number in 0..<4 {
            try harness.send("\(number)", partition: 0)
            try harness.send("\(number)", partition: 1)
            harness.turn()
        }
        var order: [Int] = []
        for _ in 0..<4 {
            let produce = try #require(harness.port.takeProduces().first)
            order.append(produce.partition)
            harness.acknowledge(produce)
            harness.turn()
        }
        #expect(Set(order.prefix(2)) == [0, 1])
        #expect(Set(order.suffix(2)) == [0, 1])
    }

    @Test func refusedBatchesGoAgainInOrderWithTheirSequences() throws {
        let harness = try ProducerHarness()
        let first = try harness.announce(3)
        harness.acknowledge(first[0], .storageError)
        harness.acknowledge(first[1], .outOfOrderSequence)
        harness.turn(after: 60)
        #expect(harness.port.produces.isEmpty, "one is still in flight: the order could break")
        harness.acknowledge(first[2], .outOfOrderSequence)
        let retryAt = try #require(harness.agent.turn(harness.port, now: monotonicNanoseconds()))
        #expect(harness.port.produces.isEmpty, "the broker gets time to recover")
        _ = harness.agent.turn(harness.port, now: retryAt)
        let again = harness.port.takeProduces()
        #expect(again.map(\.sequence) == [0, 1, 2])
        #expect(Set(again.map(\.id)).isDisjoint(with: first.map(\.id)))
        for (offset, produce) in again.enumerated() { harness.acknowledge(produce, base: Int64(offset)) }
        #expect(harness.outcomes.list.map(\.base) == [0, 1, 2])
    }

    @Test func aDefiniteErrorFailsEverythingBehindItForTheSameReason() throws {
        let harness = try ProducerHarness(partitions: 2)
        let first = try harness.announce(2)
        try harness.send("open")
        harness.acknowledge(first[0], .unknownTopicOrPartition)
        harness.acknowledge(first[1], .outOfOrderSequence)
        #expect(harness.outcomes.list.count == 3)
        #expect(harness.outcomes.list.allSatisfy { $0.error?.broker == .unknownTopicOrPartition })
        let error = #expect(throws: ClientError.self) { try harness.send("later") }
        #expect(error?.broker == .unknownTopicOrPartition)
        // The acknowledgement has no room for a text.
        #expect(error?.description.contains("the topic was deleted") == true)
        try harness.send("another partition", partition: 1)
    }

    /// Partitions that were added are there with the next connection; a topic with fewer is another one.
    @Test func aTopicMayGrow() throws {
        let harness = try ProducerHarness(partitions: 2)
        #expect(throws: ClientError.self) { try harness.send("too early", partition: 2) }
        harness.agent.disconnected()
        harness.connect(partitions: 3)
        #expect(try harness.announce(1, partition: 2).map(\.partition) == [2])
        harness.agent.disconnected()
        harness.connect(partitions: 2)
        #expect("\(harness.port.failure as Any)".contains("it is another topic"))
    }

    @Test func aTopicThatGrowsIsSeenOnTheConnectionOfNow() throws {
        let harness = try ProducerHarness(partitions: 2) { $0.metadataMaxAgeMilliseconds = 60_000 }
        func answer(_ topicID: UInt32, _ partitions: UInt32) {
            harness.port.answer {
                TopicDescription(
                    topicID: topicID, partitionCount: partitions, firstPartition: .max, partitions: [], configs: []
                )
                .encode(into: &$0)
            }
        }
        harness.turn(after: 59)
        #expect(harness.port.asked.isEmpty)
        harness.turn(after: 61)
        #expect(harness.port.asked.count == 1)
        harness.turn(after: 62)
        #expect(harness.port.asked.count == 1)
        answer(3, 3)
        #expect(try harness.announce(1, partition: 2).map(\.partition) == [2])
        // Another topic of that name, and one that is smaller, are not taken for it.
        for (time, id, count) in [(122, 4, 9), (183, 3, 1)] as [(Int, UInt32, UInt32)] {
            harness.turn(after: Double(time))
            answer(id, count)
        }
        #expect(harness.agent.state.withLock { $0.partitions.count } == 3)
    }

    @Test func afterALostConnectionUnansweredBatchesGoFirst() throws {
        let harness = try ProducerHarness()
        let first = try harness.announce(7)
        #expect(first.count == 5)
        harness.acknowledge(first[0])
        harness.agent.disconnected()
        harness.acknowledge(first[1])  // late, of the old connection
        harness.turn()
        #expect(harness.port.produces.isEmpty)
        harness.connect()
        harness.turn()
        let again = harness.port.takeProduces()
        #expect(again.map(\.sequence) == [1, 2, 3, 4, 5])
        for produce in again { harness.acknowledge(produce) }
        harness.turn()
        #expect(harness.port.takeProduces().map(\.sequence) == [6])
    }

    @Test func batchesExpireWhileThereIsNoConnection() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        _ = try harness.announce(1)
        harness.agent.disconnected()
        harness.turn(after: 20)
        #expect(harness.outcomes.list.isEmpty)
        harness.turn(after: 40)
        #expect(harness.outcomes.list.map(\.error?.code) == [.outcomeUnknown])
        #expect(try harness.send("later"))
    }

    @Test func whatWasNeverAnnouncedIsCertainlyNotInTheLog() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        harness.agent.disconnected()
        #expect(try harness.announce(2).isEmpty)
        harness.turn(after: 40)
        #expect(harness.outcomes.list.map(\.error?.code) == [.notDelivered, .notDelivered])
        // It had no place in the sequence yet: the producer goes on without a gap.
        harness.connect()
        #expect(try harness.announce(1).map(\.sequence) == [0])
    }

    @Test func behindAnUnknownOutcomeTheRestIsDefinite() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        #expect(try harness.announce(7).count == 5)
        try harness.send("open")
        harness.agent.disconnected()
        harness.turn(after: 40)
        let codes = harness.outcomes.list.map { $0.error?.code }
        #expect(codes == Array(repeating: .outcomeUnknown, count: 5) + Array(repeating: .notDelivered, count: 3))
    }

    @Test func aClosedProducerSaysOfEachBatchWhatIsKnown() throws {
        let harness = try ProducerHarness()
        #expect(try harness.announce(6).count == 5)
        harness.agent.failed(.closed)
        let codes = harness.outcomes.list.map { $0.error?.code }
        #expect(codes == Array(repeating: .outcomeUnknown, count: 5) + [.notDelivered])
    }

    @Test func aRefusalIsFinalOnlyWhereNoEarlierAnnouncementMayHaveComeThrough() throws {
        let harness = try ProducerHarness()
        _ = try harness.announce(1)
        harness.agent.disconnected()
        harness.connect()
        harness.turn()
        harness.acknowledge(try #require(harness.port.takeProduces().first), .invalidProducerEpoch)
        #expect(harness.outcomes.list.map(\.error?.code) == [.outcomeUnknown])
        #expect(harness.outcomes.list.map(\.error?.broker) == [.invalidProducerEpoch])
    }

    /// The broker may still be reading what a lost connection announced: that memory waits for the next connection.
    @Test func memoryOfAnExpiredBatchComesBackWithTheNextConnection() async throws {
        let harness = try ProducerHarness(partitions: 2) {
            $0.deliveryTimeoutSeconds = 30
            $0.bufferBytes = $0.batchBytes
        }
        #expect(try harness.announce(1, partition: 0).count == 1)
        harness.agent.disconnected()
        harness.turn(after: 40)
        #expect(harness.outcomes.list.map(\.error?.code) == [.outcomeUnknown])
        #expect(try !harness.send("later", partition: 1))
        // Who waits for it is told.
        async let space: Void = harness.agent.waitForSpace()
        while harness.agent.state.withLock({ $0.spaceWaiters.isEmpty }) { await Task.yield() }
        harness.connect(partitions: 2)
        try await space
        #expect(try harness.send("later", partition: 1))
    }

    /// Room that is there is used, although the last answer was that one partition has to wait.
    @Test func aRefusalKeepsNobodyFromRoom() async throws {
        let harness = try ProducerHarness(partitions: 2) { $0.bufferBytes = 8 * $0.batchBytes }
        let refused = try harness.announce(3, partition: 0)
        let taken = try harness.announce(2, partition: 1)
        // The rest of the memory is open or sealed.
        while try harness.send("more", partition: 0) { harness.agent.state.withLock { harness.agent.seal(0, &$0) } }
        async let space: Void = harness.agent.waitForSpace()
        while harness.agent.state.withLock({ $0.spaceWaiters.isEmpty }) { await Task.yield() }
        harness.acknowledge(taken[0])
        // Less than a quarter is free, and answers are to come.
        #expect(harness.agent.state.withLock { $0.spaceWaiters.count } == 1)
        harness.acknowledge(taken[1], .storageError)
        for produce in refused { harness.acknowledge(produce, .storageError) }
        try await space
        #expect(try harness.send("later", partition: 1))
    }

    @Test func aBrokerThatNeverAnswersLosesTheConnection() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        _ = try harness.announce(1)
        harness.turn(after: 20)
        #expect(harness.port.dropped == nil)
        harness.turn(after: 40)
        #expect(harness.port.dropped?.code == .timeout)
        harness.agent.disconnected()
        harness.turn(after: 41)
        #expect(harness.outcomes.list.map(\.error?.code) == [.outcomeUnknown])
    }

    /// A quota, for instance, makes a broker slow: what it acknowledges late is no reason to leave it.
    @Test func aBrokerThatAnswersSlowlyKeepsTheConnection() throws {
        let harness = try ProducerHarness {
            $0.deliveryTimeoutSeconds = 60
            $0.batchesInFlightMax = 2
        }
        let first = try harness.announce(4)
        #expect(first.count == 2)
        harness.turn(after: 40)
        harness.acknowledge(first[0])
        harness.turn(after: 59)
        #expect(harness.port.takeProduces().count == 1)
        // Overdue, but another one was answered 20 seconds before; what was not announced goes.
        harness.turn(after: 79)
        #expect(harness.port.dropped == nil)
        #expect(harness.outcomes.list.map(\.error?.code) == [nil, .notDelivered])
        harness.acknowledge(first[1])
        harness.turn(after: 80)
        harness.turn(after: 109)
        #expect(harness.port.dropped == nil)
        harness.turn(after: 111)
        #expect(harness.port.dropped?.code == .timeout)
        // The sequence has no gap.
        harness.agent.disconnected()
        harness.turn(after: 112)
        #expect(harness.outcomes.list.map(\.error?.code) == [nil, .notDelivered, nil, .outcomeUnknown])
    }

    @Test func theTopicsLimitIsTheBatchesLimit() throws {
        let harness = try ProducerHarness()
        harness.agent.disconnected()
        harness.connect(configs: [TopicConfig(name: "max.message.bytes", value: "2000")])
        harness.keepHeaders()
        let text = String(repeating: "x", count: 900)
        for _ in 0..<5 { try harness.send(text) }
        harness.turn()
        #expect(harness.headers.list.map(\.recordCount) == [2, 2, 1])
        let error = #expect(throws: ClientError.self) { try harness.send(text + text + text) }
        #expect(error?.description.contains("of 2000 bytes: the limit is the topic's (max.message.bytes") == true)
        // One that leaves no room at all.
        harness.agent.disconnected()
        harness.connect(configs: [TopicConfig(name: "max.message.bytes", value: "1")])
        #expect(throws: ClientError.self) { try harness.send("x") }
    }

    @Test func waitingForMemorySealsBatchesThatLinger() throws {
        let harness = try ProducerHarness(partitions: 3) {
            $0.lingerMilliseconds = 3_600_000
            $0.bufferBytes = 2 * $0.batchBytes
        }
        #expect(try harness.send("a", partition: 0))
        #expect(try harness.send("b", partition: 1))
        #expect(try !harness.send("c", partition: 2))
        harness.turn(after: 0)
        let produces = harness.port.takeProduces()
        #expect(produces.count == 2)
        for produce in produces { harness.acknowledge(produce) }
        #expect(try harness.send("c", partition: 2))
    }

    @Test func aRecordThatNeverFitsIsRefusedAndLeavesNothing() throws {
        let harness = try ProducerHarness { $0.batchBytes = 1024 }
        #expect(throws: ClientError.self) { try harness.send(String(repeating: "x", count: 1024)) }
        harness.turn()
        #expect(harness.port.produces.isEmpty)
        #expect(try harness.announce(1).map(\.sequence) == [0])
    }

    @Test func aFullConnectionKeepsTheOrder() throws {
        let harness = try ProducerHarness()
        harness.port.room = 1
        let first = try harness.announce(3)
        #expect(first.map(\.sequence) == [0])
        harness.port.room = .max
        harness.turn()
        #expect(harness.port.takeProduces().map(\.sequence) == [1, 2])
    }

    @Test func flushSealsAndDoesNotWaitForWhatComesLater() async throws {
        let harness = try ProducerHarness { $0.lingerMilliseconds = 3_600_000 }
        try harness.send("before")
        harness.turn(after: 0)
        #expect(harness.port.produces.isEmpty)
        let error: ClientError? = try await withCheckedThrowingContinuation { result in
            Task {
                do {
                    result.resume(returning: try await harness.agent.flush())
                } catch { result.resume(throwing: error) }
            }
            while !harness.agent.hasWork { usleep(200) }
            harness.turn(after: 0)
            let produces = harness.port.takeProduces()
            guard produces.count == 1, (try? harness.send("later")) == true else {
                return result.resume(throwing: ClientError(.limit, "\(produces.count) batches"))
            }
            harness.acknowledge(produces[0])
        }
        #expect(error == nil)
    }

    @Test func flushReportsTheErrorOnce() async throws {
        let harness = try ProducerHarness()
        harness.acknowledge(try harness.announce(1)[0], .invalidRecord)
        let errors = [try await harness.agent.flush(), try await harness.agent.flush()]
        #expect(errors.map { $0?.broker } == [.invalidRecord, nil])
    }
}
