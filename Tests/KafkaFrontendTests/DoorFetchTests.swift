import BrokerCore
import KafkaProtocol
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import KafkaFrontend

@Suite struct DoorFetchTests {
    @Test func givesTheStoredBytes() throws {
        let bench = try DoorBench(flush: .group)
        try bench.createTopic("t")
        let client = bench.connect()
        let batches = (1...3).map { makeBatch(records: $0) }
        for batch in batches { #expect(try bench.produce(client, "t", batch).errorCode == .none) }
        let all = stored(batches[0], at: 0) + stored(batches[1], at: 1) + stored(batches[2], at: 3)
        let (data, bytes) = try bench.fetch(client, "t", at: 0)
        #expect(bytes == all)
        #expect(data.highWatermark == 6 && data.lastStableOffset == 6 && data.logStartOffset == 0)
        #expect(data.abortedTransactions == nil)
        // In the middle of a batch: that whole batch.
        #expect(try bench.fetch(client, "t", at: 4).bytes == stored(batches[2], at: 3))
        #expect(try bench.fetch(client, "t", at: 6).bytes.isEmpty)
    }

    @Test func goesOnWhereItWasWithinLimits() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        var all: [UInt8] = []
        for offset in 0..<200 {
            let batch = makeBatch(valueBytes: 700)
            _ = try bench.produce(client, "t", batch)
            all += stored(batch, at: Int64(offset))
        }
        var read: [UInt8] = []
        var offset: Int64 = 0
        while offset < 200 {
            let request = DoorBench.fetch([("t", 0, offset)], partitionMaxBytes: 10_000)
            let bytes = try #require(try bench.fetched(bench.post(client, 12, request)).first).bytes
            #expect(!bytes.isEmpty && bytes.count <= 10_000)
            read += bytes
            offset = lastOffset(of: bytes) + 1
        }
        #expect(read == all)
    }

    /// One batch comes even when it is larger than all limits, but not a second one.
    @Test func givesOneBatchWhateverItsSize() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        let client = bench.connect()
        for partition in [Int32(0), 0, 1] {
            _ = try bench.produce(client, "t", makeBatch(valueBytes: 5_000), partition: partition)
        }
        let wanted = [("t", Int32(0), Int64(0)), ("t", 1, 0)]
        let small = try bench.fetched(bench.post(client, 12, DoorBench.fetch(wanted, partitionMaxBytes: 100)))
        #expect(small.map(\.bytes.count) == [makeBatch(valueBytes: 5_000).count, 0])
        let whole = try bench.fetched(bench.post(client, 12, DoorBench.fetch(wanted, maxBytes: 100)))
        #expect(whole.map(\.bytes.count) == [makeBatch(valueBytes: 5_000).count, 0])
        #expect(whole.map(\.data.errorCode) == [.none, .none])
    }

    @Test func waitsForRecords() throws {
        let bench = try DoorBench(flush: .group)
        try bench.createTopic("t", partitions: 2)
        let (consumer, producer) = (bench.connect(), bench.connect())
        let waiting = bench.post(consumer, 12, DoorBench.fetch([("t", 0, 0), ("t", 1, 0)], maxWaitMs: 600_000))
        #expect(!bench.isAnswered(waiting))
        _ = try bench.produce(producer, "t", makeBatch(), partition: 1)
        #expect(try bench.fetched(waiting).map(\.bytes) == [[], stored(makeBatch(), at: 0)])
    }

    @Test func waitsForAsManyBytesAsItWants() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let (consumer, producer) = (bench.connect(), bench.connect())
        let size = makeBatch().count
        let request = DoorBench.fetch([("t", 0, 0)], maxWaitMs: 600_000, minBytes: Int32(2 * size))
        let waiting = bench.post(consumer, 12, request)
        _ = try bench.produce(producer, "t", makeBatch())
        #expect(!bench.isAnswered(waiting))
        _ = try bench.produce(producer, "t", makeBatch())
        #expect(try bench.fetched(waiting).map(\.bytes.count) == [2 * size])
    }

    /// Of a fetch that waits for much of many partitions, each batch has one counted again.
    @Test func countsOnlyWhatHasGrown() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 40)
        let (consumer, producer) = (bench.connect(), bench.connect())
        let size = makeBatch().count
        let wanted = (0..<40).map { ("t", Int32($0), Int64(0)) }
        let request = DoorBench.fetch(wanted, maxWaitMs: 600_000, minBytes: Int32(60 * size))
        let waiting = bench.post(consumer, 12, request)
        bench.turn()
        let before = bench.door.counters.partitionsLookedAt
        for number in 0..<59 { _ = try bench.produce(producer, "t", makeBatch(), partition: Int32(number % 30)) }
        #expect(!bench.isAnswered(waiting))
        #expect(bench.door.counters.partitionsLookedAt - before == 59)
        _ = try bench.produce(producer, "t", makeBatch(), partition: 39)
        let counts = try bench.fetched(waiting).map(\.bytes.count)
        #expect(counts == (0..<40).map { $0 == 39 ? size : $0 < 29 ? 2 * size : $0 == 29 ? size : 0 })
    }

    /// It would wait for what the request has no room for.
    @Test func doesNotWaitWhereMoreIsThereThanFits() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let (consumer, producer) = (bench.connect(), bench.connect())
        for _ in 0..<20 { _ = try bench.produce(producer, "t", makeBatch(valueBytes: 1_000)) }
        let request = DoorBench.fetch(
            [("t", 0, 0)], maxWaitMs: 600_000, minBytes: 100_000, partitionMaxBytes: 6_000)
        let count = try #require(try bench.fetched(bench.post(consumer, 12, request)).first).bytes.count
        #expect(count > 3_000 && count <= 6_000)
    }

    /// Nor for more than it asks for, by whatever limit: the answer cannot grow any more.
    @Test func doesNotWaitForMoreThanItTakes() throws {
        let bench = try DoorBench { $0.fetchBytesMax = 50_000 }
        try bench.createTopic("t", partitions: 3)
        let producer = bench.connect()
        let small = makeBatch()
        let large = makeBatch(valueBytes: 5_000)
        for (partition, batch) in [(Int32(0), small), (1, large), (2, makeBatch(valueBytes: 60_000))] {
            _ = try bench.produce(producer, "t", batch, partition: partition)
        }
        func counts(
            _ partitions: [Int32], minBytes: Int32 = 1_000_000, maxBytes: Int32 = .max, partitionMaxBytes: Int = 1 << 20
        ) throws -> [Int] {
            let request = DoorBench.fetch(
                partitions.map { ("t", $0, 0) }, maxWaitMs: 600_000, minBytes: minBytes, maxBytes: maxBytes,
                partitionMaxBytes: Int32(partitionMaxBytes))
            let consumer = bench.connect()
            let waiting = bench.post(consumer, 12, request)
            bench.turn()
            #expect(bench.door.connections[consumer]?.parked == nil)
            return try bench.fetched(waiting).map(\.bytes.count)
        }
        #expect(try counts([0], maxBytes: Int32(small.count)) == [small.count])
        #expect(try counts([1], maxBytes: 100) == [large.count], "the first batch is longer")
        #expect(try counts([2]).first ?? 0 > 50_000, "fetch.max.bytes")
        #expect(try counts([0], partitionMaxBytes: small.count) == [small.count])
        // A later one is longer.
        #expect(try counts([0, 1], minBytes: 3_000, partitionMaxBytes: 2_000) == [small.count, 0])
        // Where there is nothing yet, a batch is waited for, whatever its size.
        let consumer = bench.connect()
        let request = DoorBench.fetch([("t", 0, 1)], maxWaitMs: 600_000, partitionMaxBytes: 0)
        let waiting = bench.post(consumer, 12, request)
        #expect(!bench.isAnswered(waiting))
        _ = try bench.produce(producer, "t", small)
        #expect(try bench.fetched(waiting).map(\.bytes.count) == [small.count])
        // What comes while it waits, too.
        let rest = bench.post(
            consumer, 12,
            DoorBench.fetch([("t", 0, 2), ("t", 1, 1)], maxWaitMs: 600_000, minBytes: 3_000, partitionMaxBytes: 2_000))
        _ = try bench.produce(producer, "t", small)
        #expect(!bench.isAnswered(rest))
        _ = try bench.produce(producer, "t", large, partition: 1)
        #expect(try bench.fetched(rest).map(\.bytes.count) == [small.count, 0])
    }

    /// Deadlines of fetches that were answered before do not add up.
    @Test func forgetsDeadlines() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let request = DoorBench.fetch([("t", 0, 0)], maxWaitMs: .max)
        let first = bench.post(client, 12, request)
        // Each answers the one before.
        for _ in 0..<3 * KafkaDoor.staleDeadlinesMax { _ = bench.post(client, 12, request) }
        #expect(bench.isAnswered(first))
        #expect(bench.door.parkedFetches.count <= KafkaDoor.staleDeadlinesMax + 2)
        #expect(bench.door.connections[client]?.parked != nil)
    }

    @Test func answersWhenItsTimeIsOver() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let waiting = bench.post(client, 12, DoorBench.fetch([("t", 0, 0)], maxWaitMs: 20))
        bench.turn()
        #expect(bench.door.nextDeadline != nil)
        let (data, bytes) = try #require(try bench.fetched(waiting).first)
        #expect(data.errorCode == .none && bytes.isEmpty)
        #expect(bench.door.nextDeadline == nil)
    }

    /// A parked fetch goes with its connection.
    @Test func forgetsClosedConnections() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let (consumer, producer) = (bench.connect(), bench.connect())
        let waiting = bench.post(consumer, 12, DoorBench.fetch([("t", 0, 0)], maxWaitMs: 600_000))
        bench.turn()
        #expect(bench.door.readers.count == 1)
        bench.disconnect(consumer)
        bench.turn()
        #expect(bench.door.readers.isEmpty)
        _ = try bench.produce(producer, "t", makeBatch())
        #expect(!bench.isAnswered(waiting))
    }

    /// Whoever leaves moves one other reader at most, however many read the partition.
    @Test func readersLeaveOneByOne() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let consumers = (0..<50).map { _ in bench.connect() }
        for consumer in consumers {
            _ = bench.post(consumer, 12, DoorBench.fetch([("t", 0, 0)], maxWaitMs: 600_000))
        }
        bench.turn()
        let address = try #require(bench.door.readers.keys.first)
        var left = Set(consumers)
        for consumer in consumers.shuffled() {
            let before = bench.door.readers[address]?.all ?? []
            bench.disconnect(consumer)
            left.remove(consumer)
            bench.turn()
            let after = bench.door.readers[address]?.all ?? []
            #expect(Set(after.map(\.connection.id)) == left)
            #expect(zip(before, after).filter { $0 !== $1 }.count <= 1)
        }
        #expect(bench.door.readers.isEmpty)
    }

    @Test func tellsWhoWaitsThatATopicIsGone() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let waiting = bench.post(client, 12, DoorBench.fetch([("t", 0, 0)], maxWaitMs: 600_000))
        #expect(!bench.isAnswered(waiting))
        try bench.broker.perform(.delete("t"))
        #expect(try bench.fetched(waiting).map(\.data.errorCode) == [.unknownTopicOrPartition])
        #expect(bench.door.readers.isEmpty)
        // A new topic of that name is another one.
        try bench.createTopic("t")
        _ = try bench.produce(client, "t", makeBatch())
        #expect(try bench.fetch(client, "t", at: 0).bytes == stored(makeBatch(), at: 0))
    }

    @Test func refusesWhatKafkaRefuses() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        _ = try bench.produce(client, "t", makeBatch())
        #expect(try bench.fetch(client, "nosuch", at: 0).data.errorCode == .unknownTopicOrPartition)
        #expect(try bench.fetch(client, "t", 5, at: 0).data.errorCode == .unknownTopicOrPartition)
        for offset in [-1, 2, 99] as [Int64] {
            let data = try bench.fetch(client, "t", at: offset).data
            #expect(data.errorCode == .offsetOutOfRange && data.logStartOffset == 0 && data.highWatermark == 1)
        }
        var request = DoorBench.fetch([("t", 0, 0)])
        request.topics[0].partitions[0].currentLeaderEpoch = 1
        #expect(try bench.fetched(bench.post(client, 12, request)).map(\.data.errorCode) == [.unknownLeaderEpoch])
    }

    private func lastOffset(of bytes: [UInt8]) -> Int64 {
        unsafe bytes.withUnsafeBytes { all in
            var (at, last) = (0, Int64(-1))
            while at < all.count {
                let header = unsafe RecordBatchHeader(parsing: .init(rebasing: all[at...]))
                last = header.lastOffset.rawValue
                at += header.sizeInBytes
            }
            return last
        }
    }
}

@Suite struct DeadlineHeapTests {
    @Test func givesTheEarliestFirst() {
        var heap = DeadlineHeap()
        var deadlines = (0..<500).map { _ in UInt64.random(in: 0..<1_000) }
        for deadline in deadlines { heap.insert(.init(deadline: deadline, connection: 1, number: deadline)) }
        deadlines.sort()
        #expect(heap.first == deadlines[0])
        var taken: [UInt64] = []
        while let entry = heap.popDue(499) { taken.append(entry.deadline) }
        #expect(taken == deadlines.filter { $0 <= 499 })
        #expect(heap.first == deadlines.first { $0 > 499 })
    }
}
