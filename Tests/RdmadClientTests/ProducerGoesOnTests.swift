import Glibc
import RDMATransport
import RecordFormat
import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

/// What a producer does behind a batch that was given up.
@Suite(.timeLimit(.minutes(1))) struct ProducerGoesOnTests {
    private static let first = ProducerIdentity(id: 77, epoch: 0)
    private static let second = ProducerIdentity(id: 77, epoch: 1)
    /// MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD.
    private static let refusalsOfOneBatch: [Int16] = [10, 76, 87]

    private func codes(_ harness: ProducerHarness) -> [ClientError.Code?] {
        harness.outcomes.list.map { $0.error?.code }
    }

    /// A turn after every wait of a refused batch.
    private func retry(_ harness: ProducerHarness) -> [FakePort.Produce] {
        _ = harness.agent.turn(harness.port, now: monotonicNanoseconds() + 200_000_000)
        return harness.port.takeProduces()
    }

    /// A producer whose first batch was announced and given up.
    private func afterAnUnknownOutcome(
        _ adjust: (inout Producer.Configuration) -> Void = { _ in }
    ) throws -> ProducerHarness {
        let harness = try ProducerHarness {
            $0.deliveryTimeoutSeconds = 30
            adjust(&$0)
        }
        #expect(try harness.announce(1).count == 1)
        harness.agent.disconnected()
        harness.turn(after: 40)
        #expect(codes(harness) == [.outcomeUnknown])
        return harness
    }

    @Test func ifTheBatchIsInTheLogTheSequenceGoesOn() throws {
        let harness = try afterAnUnknownOutcome()
        try harness.send("while there is no connection")
        harness.connect()
        harness.turn()
        let next = harness.port.takeProduces()
        #expect(next.map(\.sequence) == [1] && next.map(\.identity) == [Self.first])
        harness.acknowledge(next[0], base: 1)
        let later = try harness.announce(1)
        #expect(later.map(\.sequence) == [2] && later.map(\.identity) == [Self.first])
        #expect(codes(harness) == [.outcomeUnknown, nil])
    }

    @Test(arguments: [CompressionType.none, .lz4])
    func ifTheBatchIsMissingTheSequenceBeginsAnew(compression: CompressionType) throws {
        let harness = try afterAnUnknownOutcome { $0.compression = compression }
        harness.connect()
        harness.keepHeaders()
        let text = String(repeating: "x", count: 2000)
        for _ in 0..<3 {
            try harness.send(text)
            harness.turn()
        }
        let refused = harness.port.takeProduces()
        #expect(refused.map(\.sequence) == [1, 2, 3])
        for produce in refused { harness.acknowledge(produce, .outOfOrderSequence) }
        harness.turn(after: 0)
        let again = harness.port.takeProduces()
        #expect(again.map(\.sequence) == [0, 1, 2] && again.allSatisfy { $0.identity == Self.second })
        // Whole, with a checksum that is right.
        #expect(harness.headers.list.map(\.recordCount) == [1, 1, 1, 1, 1, 1])
        #expect(harness.headers.list.allSatisfy { $0.compressionType == compression })
        for (offset, produce) in again.enumerated() { harness.acknowledge(produce, base: Int64(offset)) }
        #expect(codes(harness) == [.outcomeUnknown, nil, nil, nil])
        let later = try harness.announce(1)
        #expect(later.map(\.sequence) == [3] && later.map(\.identity) == [Self.second])
    }

    /// Two were announced on a connection that was lost; the first one is given up. The second may be in the log under
    /// its old place, so that it never gets another one; the third was never sent before and goes on.
    @Test func whatMayBeInTheLogGetsNoSecondPlace() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        #expect(try harness.announce(1).count == 1)
        let between = monotonicNanoseconds()
        usleep(5000)
        #expect(try harness.announce(1).count == 1)
        harness.agent.disconnected()
        _ = harness.agent.turn(harness.port, now: between + 30 * ProducerHarness.second)
        #expect(codes(harness) == [.outcomeUnknown])
        harness.connect()
        let sent = try harness.announce(1)
        #expect(sent.map(\.sequence) == [1, 2])
        for produce in sent { harness.acknowledge(produce, .outOfOrderSequence) }
        let again = retry(harness)
        #expect(codes(harness) == [.outcomeUnknown, .outcomeUnknown])
        #expect(harness.outcomes.list.last?.error?.broker == .outOfOrderSequence)
        #expect(again.map(\.sequence) == [0] && again.map(\.identity) == [Self.second])
    }

    /// What was in flight behind it is refused for its place only, and goes on; so does what comes later.
    @Test(arguments: refusalsOfOneBatch) func aRefusalOfOneBatchCostsThatBatch(number: Int16) throws {
        let code = ErrorCode(rawValue: number)
        let harness = try ProducerHarness()
        let sent = try harness.announce(3)
        harness.acknowledge(sent[0], code)
        for produce in sent[1...] { harness.acknowledge(produce, .outOfOrderSequence) }
        let again = retry(harness)
        #expect(again.map(\.sequence) == [0, 1] && again.allSatisfy { $0.identity == Self.second })
        for (offset, produce) in again.enumerated() { harness.acknowledge(produce, base: Int64(offset)) }
        #expect(harness.outcomes.list.map { $0.error?.broker } == [code, nil, nil])
        #expect(try harness.announce(1).map(\.sequence) == [2])
    }

    /// It is certainly missing: nobody has to find that out.
    @Test(arguments: refusalsOfOneBatch) func whatFollowsARefusedBatchBeginsAnewAtOnce(number: Int16) throws {
        let harness = try ProducerHarness()
        harness.acknowledge(try harness.announce(1)[0], ErrorCode(rawValue: number))
        let next = try harness.announce(1)
        #expect(next.map(\.sequence) == [0] && next.map(\.identity) == [Self.second])
    }

    /// Batches are to become shorter at once, not when it is time to ask about the topic anyway.
    @Test func whatIsTooLargeHasTheTopicAskedAbout() throws {
        let harness = try ProducerHarness()
        let sent = try harness.announce(2)
        harness.turn()
        let asked = harness.port.asked.count
        harness.acknowledge(sent[0], .messageTooLarge)
        harness.turn()
        #expect(harness.port.asked.count == asked + 1)
        guard case .describeTopic = harness.port.asked.last?.request else {
            Issue.record("asked \(String(describing: harness.port.asked.last?.request))")
            return
        }
    }

    /// The acknowledgement has no room for a text.
    @Test func aBatchThatIsTooLargeIsToldWhatTheLimitWas() throws {
        let harness = try ProducerHarness()
        harness.acknowledge(try harness.announce(1)[0], .messageTooLarge)
        let text = try #require(harness.outcomes.list[0].error?.description)
        #expect(text.contains("the longest had 1048576 when the topic"), "\(text)")
        #expect(text.contains("message.max.bytes, 'rdmad serve --max-message-bytes'"), "\(text)")
    }

    /// It was announced on a connection that was lost, before the topic's settings were others.
    @Test func aRefusalOfWhatMayBeInTheLogIsNotTheLastWord() throws {
        let harness = try ProducerHarness()
        #expect(try harness.announce(1).count == 1)
        harness.agent.disconnected()
        harness.connect()
        harness.turn()
        harness.acknowledge(try #require(harness.port.takeProduces().first), .invalidRecord)
        #expect(codes(harness) == [.outcomeUnknown])
        // The next one finds out.
        #expect(try harness.announce(1).map(\.sequence) == [1])
    }

    /// The one before it is not answered yet. Should that one have to be sent again, it must keep its place.
    @Test func aRefusalThatOvertakesWaitsForWhatIsBefore() throws {
        let harness = try ProducerHarness()
        let sent = try harness.announce(3)
        harness.acknowledge(sent[1], .invalidRecord)
        harness.acknowledge(sent[0], .storageError)
        harness.acknowledge(sent[2], .outOfOrderSequence)
        let again = retry(harness)
        #expect(again.map(\.sequence) == [0, 2] && again.allSatisfy { $0.identity == Self.first })
        harness.acknowledge(again[0], base: 0)
        harness.acknowledge(again[1], .outOfOrderSequence)
        let last = retry(harness)
        #expect(last.map(\.sequence) == [0] && last.map(\.identity) == [Self.second])
        harness.acknowledge(last[0], base: 1)
        #expect(harness.outcomes.list.map { $0.error?.broker } == [.invalidRecord, nil, nil])
    }

    @Test func aRefusedBatchThatExpiresLeavesItsMemoryAndThePartition() throws {
        let harness = try ProducerHarness {
            $0.deliveryTimeoutSeconds = 30
            $0.bufferBytes = $0.batchBytes
        }
        harness.acknowledge(try harness.announce(1)[0], .storageError)
        harness.turn(after: 40)
        #expect(codes(harness) == [.outcomeUnknown])
        #expect(harness.outcomes.list[0].error?.description.contains("STORAGE_ERROR") == true)
        // The broker has answered, so that it is not reading it: no other connection is waited for.
        #expect(try harness.announce(1).map(\.sequence) == [1])
    }

    /// The broker has lost what it had acknowledged.
    @Test func aBrokerThatMissesBatchesGetsANewSequence() throws {
        let harness = try ProducerHarness(partitions: 2) { $0.deliveryTimeoutSeconds = 30 }
        for partition in 0..<2 {
            harness.acknowledge(try harness.announce(1, partition: partition)[0])
        }
        let other = try harness.announce(1, partition: 1)
        harness.acknowledge(try harness.announce(1)[0], .outOfOrderSequence)
        let again = retry(harness)
        #expect(again.map(\.sequence) == [0] && again.map(\.identity) == [Self.second])
        harness.acknowledge(again[0])
        // What the other partition has in flight is settled as it was sent, and its sequence goes on.
        harness.acknowledge(other[0])
        let next = try harness.announce(1, partition: 1)
        #expect(next.map(\.sequence) == [2] && next.map(\.identity) == [Self.first])
        #expect(codes(harness) == [nil, nil, nil, nil])
    }

    /// A queue whose first batches are always about to expire must not keep the sequence from beginning anew.
    @Test func aGapOutlivesTheBatchesThatFoundIt() throws {
        let harness = try afterAnUnknownOutcome()
        harness.connect()
        let refused = try harness.announce(2)
        harness.acknowledge(refused[0], .outOfOrderSequence)
        // The other one is still in flight.
        #expect(retry(harness).isEmpty)
        harness.acknowledge(refused[1], .outOfOrderSequence)
        harness.turn(after: 40)
        #expect(codes(harness) == [.outcomeUnknown, .notDelivered, .notDelivered])
        let next = try harness.announce(1)
        #expect(next.map(\.sequence) == [0] && next.map(\.identity) == [Self.second])
    }

    /// A batch that waited for a connection is announced at last: its broker gets time to answer.
    @Test func aBatchThatHasWaitedForLongCostsNoConnection() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        harness.agent.disconnected()
        try harness.send("late")
        harness.turn(after: 29)
        harness.connect()
        harness.turn(after: 29.5)
        #expect(harness.port.takeProduces().count == 1)
        harness.turn(after: 59)
        #expect(harness.port.dropped == nil)
        harness.turn(after: 60)
        #expect(harness.port.dropped?.code == .timeout)
    }

    @Test func aBrokerThatMissesWhatNobodySentIsNotAskedForEver() throws {
        let harness = try ProducerHarness { $0.deliveryTimeoutSeconds = 30 }
        var sent = try harness.announce(1)
        for epoch in 1...3 {
            harness.acknowledge(sent[0], .outOfOrderSequence)
            sent = retry(harness)
            #expect(sent.map(\.identity.epoch) == [Int16(epoch)])
        }
        harness.acknowledge(sent[0], .outOfOrderSequence)
        harness.turn(after: 40)
        // Refused every time: it is not there.
        #expect(codes(harness) == [.notDelivered])
    }

    @Test func answersMayComeInAnotherOrder() throws {
        let harness = try ProducerHarness()
        let sent = try harness.announce(2)
        harness.acknowledge(sent[1], .outOfOrderSequence)
        harness.acknowledge(sent[0], .storageError)
        let again = retry(harness)
        #expect(again.map(\.sequence) == [0, 1] && again.allSatisfy { $0.identity == Self.first })
    }

    @Test func aUsedUpEpochAsksForAnotherProducerID() throws {
        let harness = try ProducerHarness()
        harness.agent.state.withLock { $0.partitions[0].identity.epoch = .max }
        harness.acknowledge(try harness.announce(1)[0], .outOfOrderSequence)
        #expect(retry(harness).isEmpty)
        #expect(harness.port.asked.map(\.request.name) == [Request.allocateProducerID.name])
        harness.port.refuse(.storageError)
        #expect(retry(harness).isEmpty)
        #expect(retry(harness).isEmpty)
        #expect(harness.port.asked.count == 1)
        harness.port.answer {
            $0.integer(Int64(78))
            $0.integer(Int16(0))
        }
        let again = retry(harness)
        #expect(again.map(\.sequence) == [0] && again.map(\.identity) == [ProducerIdentity(id: 78, epoch: 0)])
    }

    /// Of a producer that has its topic, an answer that fails to come costs the connection; before, the producer.
    @Test func aBrokerThatDoesNotAnswerIsTriedAgain() throws {
        let late = ClientError(.timeout, "did not answer in time")
        let harness = try ProducerHarness()
        let welcome = Handshake.Welcome(version: 1, batchBytesMax: 1 << 20, producesInFlightMax: 64)
        let region = RemoteRegion(key: 9, address: ProducerHarness.regionAddress, byteCount: 1 << 20)
        func reconnect() {
            harness.port.dropped = nil
            harness.agent.disconnected()
            harness.agent.connected(harness.port, welcome, [region])
        }
        reconnect()
        harness.port.asked.removeFirst().answer(.failure(late))
        #expect(harness.port.dropped?.code == .timeout && harness.port.failure == nil)
        reconnect()
        harness.port.refuse(.storageError)
        #expect(harness.port.dropped?.broker == .storageError && harness.port.failure == nil)
        reconnect()
        harness.port.refuse(.unknownTopicOrPartition)
        #expect(harness.port.failure?.broker == .unknownTopicOrPartition)

        let (new, port) = (try ProducerAgent(topic: "t", configuration: .init(), onAcknowledged: nil), FakePort())
        new.attach(LinkHandle())
        new.connected(port, welcome, [region])
        port.asked.removeFirst().answer(.failure(late))
        #expect(port.failure?.code == .timeout)
    }

    /// A topic's limit is changed while the connection stands: the batches that are opened from then on keep to it.
    @Test func aTopicsLimitIsAskedForAgain() throws {
        let harness = try ProducerHarness { $0.metadataMaxAgeMilliseconds = 60_000 }
        let text = String(repeating: "x", count: 3000)
        for (time, configs, fits) in [
            (61, [TopicConfig(name: "max.message.bytes", value: "2000")], false),
            (122, [TopicConfig(name: "max.message.bytes", value: "4000")], true), (183, [], true),
        ] {
            harness.turn(after: Double(time))
            #expect(harness.port.asked.count == 1)
            harness.port.answer {
                TopicDescription(
                    topicID: 3, partitionCount: 1, firstPartition: .max, partitions: [], configs: configs
                )
                .encode(into: &$0)
            }
            if fits {
                #expect(try harness.send(text))
            } else {
                let error = #expect(throws: ClientError.self) { try harness.send(text) }
                #expect(error?.description.contains("of 2000 bytes: the limit is the topic's") == true)
            }
        }
    }

    /// All memory may wait for a broker that never comes back.
    @Test func aWaitForMemoryEndsWithoutAConnection() async throws {
        let harness = try afterAnUnknownOutcome { $0.bufferBytes = $0.batchBytes }
        #expect(try !harness.send("later"))
        let waiting = Task { [agent = harness.agent] in try await agent.waitForSpace() }
        while harness.agent.state.withLock({ $0.spaceWaiters.isEmpty }) { await Task.yield() }
        harness.port.trouble = ClientError(.connection, "nobody listens")
        harness.turn(after: 29)
        #expect(harness.agent.state.withLock { $0.spaceWaiters.count } == 1)
        _ = harness.agent.turn(harness.port, now: monotonicNanoseconds() + 31 * ProducerHarness.second)
        let error = await #expect(throws: ClientError.self) { try await waiting.value }
        #expect(error?.code == .timeout)
        #expect(error?.description.contains("buffer.memory") == true)
        #expect(error?.description.contains("nobody listens") == true)
    }
}
