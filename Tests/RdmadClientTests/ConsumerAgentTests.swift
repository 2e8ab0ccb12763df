import RecordFormat
import Testing
import TopicProtocol

@testable import RdmadClient

/// What a consumer asks of the broker, and what it does with what was on its way.
@Suite struct ConsumerAgentTests {
    typealias Harness = ConsumerHarness
    static let t0 = Harness.t(0), t1 = Harness.t(1)

    @Test func aSeekDropsWhatIsQueuedAndWhatIsOnItsWay() throws {
        let broker = Harness(partitions: [0])
        #expect(broker.subscribe() == ["1-0@-2"])
        broker.write(Self.t0, 0..<10)
        try broker.agent.change(Self.t0) { $0.restart(from: .offset(50)) }
        #expect(try broker.poll() == nil)
        broker.turn()
        // On its way when the broker learns of the seek; where it looks like what is wanted, too.
        broker.write(Self.t0, 10..<20)
        broker.write(Self.t0, 50..<60)
        #expect(try broker.poll() == nil)
        #expect(broker.isRingFree)
        #expect(broker.unsubscribed() == Self.t0)
        guard case .subscribe(_, 50, _) = broker.port.asked.first?.request else {
            Issue.record("\(broker.port.asked)")
            return
        }
        // The answer may be overtaken.
        broker.write(Self.t0, 45..<60)
        #expect(broker.subscribe() == ["1-0@50"])
        let batches = try #require(try broker.poll())
        #expect(batches.firstOffset == 50)
        #expect(broker.agent.look(Self.t0) { $0.position } == 60)
        #expect(broker.port.asked.isEmpty)
    }

    @Test func theEndsOfTransactionsAreNoRecords() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1000, alignment: 16)
        defer { unsafe bytes.deallocate() }
        func record(at offset: Int64, _ place: Int) -> Int {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[place...])
            var builder = unsafe RecordBatchBuilder(buffer: rest)
            _ = builder.append(key: nil, value: [7], timestampMilliseconds: 1)
            let size = builder.seal(producerID: 1, epoch: 0, baseSequence: 0, isTransactional: true)
            unsafe RecordBatch.assign(baseOffset: Offset(offset), leaderEpoch: .zero, in: rest)
            return place + size
        }
        var end = record(at: 0, 0)
        let marker = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[end...])
        end += unsafe EndTransactionMarker(isCommit: true).write(
            to: marker, producerID: 1, epoch: 0, timestampMilliseconds: 1)
        unsafe RecordBatch.assign(baseOffset: Offset(1), leaderEpoch: .zero, in: marker)
        end = record(at: 2, end)
        broker.write(Self.t0, 0..<3, batches: unsafe Array(bytes[..<end]))
        let batches = try #require(try broker.poll())
        var offsets: [Int64] = []
        try batches.forEachRecord { offsets.append($0.offset) }
        #expect(offsets == [0, 2])
        #expect(batches.nextOffset == 3)
    }

    @Test func seeksWhileRequestsAreOnTheirWay() throws {
        let broker = Harness(partitions: [0])
        // Before the first subscription is answered.
        try broker.agent.change(Self.t0) { $0.restart(from: .offset(5)) }
        broker.turn()
        broker.write(Self.t0, 0..<10)
        #expect(try broker.poll() == nil)
        #expect(broker.subscribe() == ["1-0@-2"])
        try broker.agent.change(Self.t0) { $0.restart(from: .offset(6)) }
        broker.turn()
        #expect(broker.port.asked.count == 1)
        #expect(broker.unsubscribed() == Self.t0)
        #expect(broker.subscribe() == ["1-0@6"])
        broker.write(Self.t0, 6..<7)
        #expect(try broker.poll()?.firstOffset == 6)
    }

    @Test func aPausedPartitionHoldsNothingAndKeepsItsPlace() throws {
        let broker = Harness(partitions: [0, 1])
        #expect(broker.subscribe() == ["1-0@-2", "1-1@-2"])
        broker.write(Self.t0, 0..<10)
        broker.write(Self.t0, 10..<20)
        broker.write(Self.t1, 0..<5)
        let read = try #require(try broker.poll())
        try broker.agent.change(Self.t0) { $0.isPaused = true }
        broker.turn()
        broker.write(Self.t0, 20..<30)
        #expect(try broker.poll()?.partition == 1)
        #expect(try broker.poll() == nil)
        read.release()
        #expect(broker.isRingFree)
        #expect(broker.unsubscribed() == Self.t0)
        #expect(broker.port.asked.isEmpty)
        #expect(broker.agent.paused == [Self.t0])
        try broker.agent.change(Self.t0) { $0.isPaused = false }
        broker.turn()
        #expect(broker.subscribe() == ["1-0@10"])
        #expect(throws: ClientError.self) { try broker.agent.change(Harness.t(3)) { $0.isPaused = true } }
    }

    /// Paused and resumed before the broker was told: it is asked to stop and to begin again, once each.
    @Test func aShortPause() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        broker.write(Self.t0, 0..<10)
        for isPaused in [true, false, true, false] {
            try broker.agent.change(Self.t0) { $0.isPaused = isPaused }
        }
        broker.turn()
        broker.write(Self.t0, 10..<20)
        #expect(try broker.poll() == nil)
        #expect(broker.unsubscribed() == Self.t0)
        #expect(broker.subscribe() == ["1-0@0"])
        broker.write(Self.t0, 0..<20)
        #expect(try broker.poll()?.nextOffset == 20)
    }

    @Test func anotherConnectionGoesOnWhereTheQueueEnds() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        broker.write(Self.t0, 0..<10)
        broker.write(Self.t0, 10..<20)
        _ = try broker.poll()
        broker.agent.disconnected()
        broker.turn()
        broker.connect()
        #expect(broker.subscribe() == ["1-0@20"])
        #expect(try broker.poll()?.firstOffset == 10)
    }

    @Test func whatWasReleasedInOrderIsProcessed() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        for start in stride(from: Int64(0), to: 50, by: 10) { broker.write(Self.t0, start..<start + 10) }
        var batches: [ConsumedBatches] = []
        while let next = try broker.poll() { batches.append(next) }
        #expect(broker.agent.uncommitted() == [Self.t0: 0])
        batches[1].release()
        #expect(broker.agent.uncommitted() == [Self.t0: 0])
        batches[0].release()
        #expect(broker.agent.uncommitted() == [Self.t0: 20])
        #expect(!broker.agent.isProcessed([Self.t0]))
        // Dropped without a word: it comes again, and what is behind it.
        batches.remove(at: 2)
        batches[3].release()
        batches[2].release()
        #expect(broker.agent.uncommitted() == [Self.t0: 20])
        #expect(broker.agent.isProcessed([Self.t0]))
        #expect(broker.agent.positions == [Self.t0: 50])
    }

    /// What was handed out before a seek moves nothing when it is released after it.
    @Test func aSeekBeginsCountingAgain() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        broker.write(Self.t0, 0..<10)
        let old = try #require(try broker.poll())
        try broker.agent.change(Self.t0) { $0.restart(from: .offset(100)) }
        old.release()
        #expect(broker.agent.uncommitted() == [Self.t0: 100])
    }

    @Test func lag() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        #expect(broker.agent.look(Self.t0) { $0.highWatermark } == nil)
        broker.write(Self.t0, 0..<10, end: 25)
        #expect(broker.agent.look(Self.t0) { $0.position } == 0)
        _ = try broker.poll()
        #expect(broker.agent.look(Self.t0) { $0.position } == 10)
        #expect(broker.agent.look(Self.t0) { $0.highWatermark } == 25)
    }

    /// The broker ended a subscription that is not wanted any more: no error.
    @Test func anEndThatCrossesASeek() throws {
        let broker = Harness(partitions: [0])
        broker.subscribe()
        try broker.agent.change(Self.t0) { $0.restart(from: .offset(7)) }
        broker.agent.ended(PartitionAddress(topicID: 1, partition: 0), .offsetOutOfRange, offset: 0)
        broker.turn()
        #expect(broker.subscribe() == ["1-0@7"])
        #expect(try broker.poll() == nil)
        broker.agent.ended(PartitionAddress(topicID: 1, partition: 0), .corruptMessage, offset: 9)
        #expect(throws: ClientError.self) { _ = try broker.poll() }
    }
}
