import Glibc
import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

/// Batches that wait for company, and callers that wait for memory.
@Suite(.timeLimit(.minutes(2))) struct ProducerWaitingTests {
    private static let linger: UInt64 = 100_000_000

    private func harness(_ adjust: (inout Producer.Configuration) -> Void = { _ in }) throws -> ProducerHarness {
        try ProducerHarness(partitions: 2, isOnOneProcessor: true) {
            $0.lingerMilliseconds = 100
            adjust(&$0)
        }
    }

    /// Adds full batches.
    private func fill(_ harness: ProducerHarness, _ count: Int, partition: Int = 0) throws {
        for number in 0..<count {
            try harness.send("\(number)", partition: partition)
            harness.agent.state.withLock { harness.agent.seal(partition, &$0) }
        }
    }

    @Test func onOneProcessorFullBatchesGoTogether() throws {
        let harness = try harness()
        try fill(harness, 4)
        let deadline = try #require(harness.turn(after: 0))
        #expect(harness.port.produces.isEmpty)
        #expect(deadline >= harness.start + Self.linger && deadline < harness.start + 100 * Self.linger)
        try fill(harness, 2)
        harness.turn(after: 0)
        let first = harness.port.takeProduces()
        #expect(first.map(\.sequence) == [0, 1, 2, 3, 4])
        // As many as may be in flight: the next five go when these are back.
        try fill(harness, 3)
        for produce in first.dropLast() { harness.acknowledge(produce) }
        harness.turn(after: 0)
        #expect(harness.port.produces.isEmpty)
        // Batches of other partitions are company, too.
        try fill(harness, 1, partition: 1)
        harness.turn(after: 0)
        #expect(harness.port.takeProduces().count == 5)
    }

    @Test func nothingWaitsLongerThanItsLinger() throws {
        let harness = try harness()
        try fill(harness, 1)
        let deadline = try #require(harness.turn(after: 0))
        _ = harness.agent.turn(harness.port, now: deadline - 1)
        #expect(harness.port.produces.isEmpty)
        _ = harness.agent.turn(harness.port, now: deadline)
        #expect(harness.port.produces.map(\.sequence) == [0])
    }

    @Test func whoWaitsGetsItAtOnce() async throws {
        let harness = try harness { $0.bufferBytes = 8 * $0.batchBytes }
        try fill(harness, 1)
        async let failure = harness.agent.flush()
        while !harness.agent.hasWaiters { await Task.yield() }
        harness.turn(after: 0)
        let flushed = harness.port.takeProduces()
        #expect(flushed.count == 1)
        for produce in flushed { harness.acknowledge(produce) }
        #expect(try await failure == nil)
        // Memory for eight: a quarter is company enough.
        try fill(harness, 1)
        harness.turn(after: 0)
        #expect(harness.port.produces.isEmpty)
        try fill(harness, 1)
        harness.turn(after: 0)
        #expect(harness.port.takeProduces().count == 2)
    }

    @Test func withMoreProcessorsNothingWaits() throws {
        let harness = try ProducerHarness { $0.lingerMilliseconds = 100 }
        try fill(harness, 1)
        harness.turn(after: 0)
        #expect(harness.port.produces.count == 1)
    }

    // MARK: Tasks that are cancelled while they wait

    @Test func aCancelledWaitForMemoryLeavesNothing() async throws {
        let harness = try ProducerHarness { $0.bufferBytes = $0.batchBytes }
        let sent = try harness.announce(1)
        #expect(try !harness.send("no memory"))
        let waiting = Task { [agent = harness.agent] in try await agent.waitForSpace() }
        while harness.agent.state.withLock({ $0.spaceWaiters.isEmpty }) { await Task.yield() }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        #expect(harness.agent.state.withLock { $0.spaceWaiters.isEmpty })
        // Cancelled before it waits, too.
        let late = Task { [agent = harness.agent] in
            while !Task.isCancelled { await Task.yield() }
            try await agent.waitForSpace()
        }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
        harness.acknowledge(sent[0])
        #expect(harness.outcomes.list.count == 1)
        // With memory nobody waits, and nobody looks.
        try await harness.agent.waitForSpace()
    }

    @Test func aCancelledFlushLeavesItsErrorsToTheNext() async throws {
        let harness = try ProducerHarness(partitions: 2)
        let (first, second) = (try harness.announce(1, partition: 0), try harness.announce(1, partition: 1))
        let flush = Task { [agent = harness.agent] in try await agent.flush() }
        while !harness.agent.hasWaiters { await Task.yield() }
        harness.acknowledge(first[0], .invalidRecord)
        flush.cancel()
        await #expect(throws: CancellationError.self) { try await flush.value }
        #expect(!harness.agent.hasWaiters)
        harness.acknowledge(second[0])
        #expect(try await harness.agent.flush()?.broker == .invalidRecord)
        #expect(try await harness.agent.flush() == nil)
    }

    /// Against a broker that is away: nobody waits for its delivery time-out, and what was on its way arrives.
    @Test func cancelledTasksReturnAtOnce() async throws {
        let broker = try InProcessBroker()
        let producer = try await smallProducer(broker, isObserved: false)
        defer { producer.close() }
        broker.stop()
        let waiting = Task { try await producer.sendAndWait(value: Array("on its way".utf8)) }
        while !producer.agent.hasWaiters { await Task.yield() }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        let flush = Task { try await producer.flush() }
        flush.cancel()
        await #expect(throws: CancellationError.self) { try await flush.value }
        let late = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await producer.sendAndWait(value: Array("never".utf8))
        }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
        while try producer.trySend(value: [UInt8](repeating: 1, count: 1000)) {}
        let sending = Task { try await producer.send(value: [UInt8](repeating: 2, count: 1000)) }
        while producer.agent.state.withLock({ $0.spaceWaiters.isEmpty }) { await Task.yield() }
        sending.cancel()
        await #expect(throws: CancellationError.self) { try await sending.value }
        try broker.start()
        try await producer.flush()
        let values = try await ProducerEndToEndTests.read("t", broker.address, 2).map { $0.value ?? "" }
        #expect(values.first == "on its way")
        #expect(!values.contains { $0 == "never" || $0.utf8.first == 2 })
    }

    /// - Parameter isObserved: Its acknowledgements are; then callers do not run the link.
    private func smallProducer(_ broker: InProcessBroker, isObserved: Bool) async throws -> Producer {
        try await broker.createTopic("t")
        var configuration = Producer.Configuration()
        configuration.batchBytes = 4096
        configuration.bufferBytes = 4 * 4096
        guard isObserved else {
            // On any number of processors callers run the link of a producer that lets nothing linger.
            configuration.lingerMilliseconds = 0
            return try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        }
        return try await Producer(topic: "t", broker: broker.address, configuration: configuration) { _, _, _, _ in }
    }

    /// On the caller's thread; with an observer, which is not called from there, beside the link's.
    @Test(arguments: [false, true]) func aThreadWaitsForMemory(isObserved: Bool) async throws {
        let broker = try InProcessBroker()
        let producer = try await smallProducer(broker, isObserved: isObserved)
        defer { producer.close() }
        for number in 0..<20_000 {
            while try !producer.trySend(value: Array("\(number)".utf8)) {
                #expect(producer.waitForMemory(timeoutMilliseconds: 20_000))
            }
        }
        try await producer.flush()
        let copies = try await ProducerEndToEndTests.read("t", broker.address, 20_000)
        #expect(copies.map(\.value) == (0..<20_000).map { "\($0)" })
    }

    @Test(arguments: [false, true]) func aWaitForMemoryEnds(isObserved: Bool) async throws {
        let broker = try InProcessBroker()
        let producer = try await smallProducer(broker, isObserved: isObserved)
        #expect(producer.waitForMemory(timeoutMilliseconds: 0))
        broker.stop()
        while try producer.trySend(value: [UInt8](repeating: 1, count: 1000)) {}
        #expect(!producer.waitForMemory(timeoutMilliseconds: 20))
        try broker.start()
        #expect(producer.waitForMemory(timeoutMilliseconds: 20_000))
        #expect(try producer.trySend(value: [1]))
        try await producer.flush()
        // Who waits when the end comes is told; the error comes with the next record.
        broker.stop()
        while try producer.trySend(value: [UInt8](repeating: 1, count: 1000)) {}
        let told: Bool = await withCheckedContinuation { continuation in
            startThread { continuation.resume(returning: producer.waitForMemory(timeoutMilliseconds: 60_000)) }
            startThread {
                usleep(50_000)
                producer.close()
            }
        }
        #expect(told)
        #expect(throws: ClientError.self) { try producer.trySend(value: [1]) }
    }
}
