import Testing
import TopicProtocol

@testable import RdmadClient

/// Producer and consumer against a real broker, over shared memory.
@Suite(.timeLimit(.minutes(2))) struct EndToEndTests {
    struct Copy: Equatable, Sendable {
        var partition: Int
        var offset: Int64
        var key: String?
        var value: String
    }

    static func text(_ bytes: UnsafeRawBufferPointer?) -> String? {
        unsafe bytes.map { unsafe String(decoding: $0, as: UTF8.self) }
    }

    static func copies(_ batches: ConsumedBatches) throws -> [Copy] {
        var copies: [Copy] = []
        try batches.forEachRecord { record in
            copies.append(
                Copy(
                    partition: batches.partition, offset: record.offset, key: unsafe text(record.key),
                    value: unsafe text(record.value)!))
        }
        return copies
    }

    /// Polls until so many records came.
    static func read(_ consumer: Consumer, _ count: Int) throws -> [Copy] {
        var copies: [Copy] = []
        while copies.count < count {
            guard let batches = try consumer.poll(timeoutMilliseconds: 20_000) else {
                throw ClientError(.timeout, "\(copies.count) of \(count) records came")
            }
            copies += try Self.copies(batches)
            batches.release()
        }
        return copies
    }

    /// Both sides find what was added while their connections stand.
    @Test func partitionsAreAdded() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t", partitions: 1)
        var (producing, reading) = (Producer.Configuration(), Consumer.Configuration())
        (producing.metadataMaxAgeMilliseconds, reading.metadataMaxAgeMilliseconds) = (50, 50)
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: producing)
        defer { producer.close() }
        let consumer = try await Consumer(topic: "t", broker: broker.address, configuration: reading)
        defer { consumer.close() }
        _ = try await producer.sendAndWait(value: [1], partition: 0)
        #expect(try Self.read(consumer, 1).map(\.partition) == [0])
        let admin = Admin(broker: broker.address)
        try await admin.addPartitions("t", total: 3)
        admin.close()
        for _ in 0..<1000 where producer.partitionCount < 3 { try await Task.sleep(for: .milliseconds(10)) }
        _ = try await producer.sendAndWait(value: [2], partition: 2)
        #expect(try Self.read(consumer, 1).map(\.partition) == [2])
    }

    @Test func aTopicsLimitIsRaised() async throws {
        let broker = try InProcessBroker()
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        try await admin.createTopic("t", partitions: 1, configs: ["max.message.bytes": "2000"])
        var configuration = Producer.Configuration()
        configuration.metadataMaxAgeMilliseconds = 50
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        defer { producer.close() }
        let value = [UInt8](repeating: 1, count: 3000)
        let error = await #expect(throws: ClientError.self) { try await producer.send(value: value) }
        #expect(error?.code == .limit)
        try await admin.alterConfigs("t", set: ["max.message.bytes": "4000"])
        while (try? await producer.sendAndWait(value: value)) == nil { try await Task.sleep(for: .milliseconds(10)) }
    }

    @Test func fourPartitionsByKeyInOrder() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("flights", partitions: 4)
        let producer = try await Producer(topic: "flights", broker: broker.address)
        defer { producer.close() }
        #expect(producer.partitionCount == 4)
        for number in 0..<20_000 {
            try await producer.send(key: Array("key \(number % 37)".utf8), value: Array("value \(number)".utf8))
        }
        try await producer.flush()
        let consumer = try await Consumer(topic: "flights", broker: broker.address)
        defer { consumer.close() }
        let copies = try Self.read(consumer, 20_000)
        #expect(copies.count == 20_000)
        var byKey: [String: [Int]] = [:]
        var next = [Int64](repeating: 0, count: 4)
        for copy in copies {
            #expect(copy.offset == next[copy.partition])
            next[copy.partition] += 1
            #expect(copy.partition == Partitioner.partition(forKey: Array(copy.key!.utf8), count: 4))
            byKey[copy.key!, default: []].append(Int(copy.value.dropFirst(6))!)
        }
        for (key, numbers) in byKey {
            #expect(numbers == Array(stride(from: Int(key.dropFirst(4))!, to: 20_000, by: 37)), "\(key)")
        }
    }

    @Test func aRingThatHoldsTwoBatches() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        var configuration = Producer.Configuration()
        configuration.batchBytes = 1500
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        defer { producer.close() }
        for number in 0..<5000 { try await producer.send(value: Array("record \(number)".utf8)) }
        try await producer.flush()
        var small = Consumer.Configuration()
        small.ringBytes = 4096
        let consumer = try await Consumer(topic: "t", broker: broker.address, configuration: small)
        defer { consumer.close() }
        #expect(try Self.read(consumer, 5000).map(\.value) == (0..<5000).map { "record \($0)" })
    }

    @Test func releaseOutOfOrderAndReadWhileHolding() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        let producer = try await Producer(topic: "t", broker: broker.address)
        defer { producer.close() }
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        defer { consumer.close() }
        var held: [ConsumedBatches] = []
        for number in 0..<3 {
            let place = try await producer.sendAndWait(value: Array("record \(number)".utf8))
            #expect(place == Producer.RecordMetadata(partition: 0, offset: Int64(number)))
            held.append(try #require(try consumer.poll(timeoutMilliseconds: 20_000)))
        }
        held[2].release()
        held[1].release()
        #expect(try Self.copies(held[0]).map(\.value) == ["record 0"])
        #expect(held[2].isCaughtUp)
    }

    @Test func positions() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        let producer = try await Producer(topic: "t", broker: broker.address)
        defer { producer.close() }
        for number in 0..<10 { try await producer.send(value: Array("\(number)".utf8)) }
        try await producer.flush()
        // The batch begins at 0: what stands before the offset asked for is left out.
        let middle = try await Consumer(topic: "t", from: .offset(6), broker: broker.address)
        #expect(try Self.read(middle, 4).map(\.offset) == [6, 7, 8, 9])
        let latest = try await Consumer(topic: "t", from: .latest, broker: broker.address)
        #expect(try latest.poll(timeoutMilliseconds: 0) == nil)
        _ = try await producer.sendAndWait(value: Array("10".utf8))
        #expect(try Self.read(latest, 1).map(\.offset) == [10])
        let error = await #expect(throws: ClientError.self) {
            _ = try await Consumer(topic: "t", from: .offset(100), broker: broker.address)
        }
        #expect(error?.broker == .offsetOutOfRange)
    }

    @Test func manyPartitionsAtOnce() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("wide", partitions: 300)
        let consumer = try await Consumer(topic: "wide", broker: broker.address)
        defer { consumer.close() }
        #expect(consumer.assignment == (0..<300).map { TopicPartition("wide", $0) })
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        #expect(try await admin.describeTopic("wide").count == 300)
    }

    @Test func manyRequestsAtOnce() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<500 { group.addTask { try await admin.describeTopic("t").count } }
            for try await count in group { #expect(count == 1) }
        }
    }

    @Test func aBrokerThatComesBack() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t", partitions: 2)
        let producer = try await Producer(topic: "t", broker: broker.address)
        defer { producer.close() }
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        defer { consumer.close() }
        var held: [ConsumedBatches] = []
        for round in 0..<3 {
            if round > 0 {
                broker.stop()
                for number in 0..<100 {
                    try await producer.send(value: Array("\(round) \(number)".utf8), partition: number % 2)
                }
                try broker.start()
            } else {
                for number in 0..<100 {
                    try await producer.send(value: Array("\(round) \(number)".utf8), partition: number % 2)
                }
            }
            try await producer.flush()
            var seen = 0
            while seen < 100 {
                let batches = try #require(try consumer.poll(timeoutMilliseconds: 20_000))
                seen += try Self.copies(batches).count
                held.append(batches)
            }
        }
        // What was handed out before the broker went is readable still.
        for partition in 0..<2 {
            let copies = try held.filter { $0.partition == partition }.flatMap { try Self.copies($0) }
            #expect(copies.map(\.offset) == Array(0..<150))
            #expect(
                copies.map(\.value)
                    == (0..<3).flatMap { round in stride(from: partition, to: 100, by: 2).map { "\(round) \($0)" } })
        }
    }

    @Test func theAsyncSequenceEndsWithItsTask() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        defer { consumer.close() }
        let reading = Task {
            var count = 0
            for try await batches in consumer { count += try Self.copies(batches).count }
            return count
        }
        let producer = try await Producer(topic: "t", broker: broker.address)
        defer { producer.close() }
        _ = try await producer.sendAndWait(value: [1])
        reading.cancel()
        #expect(try await reading.value <= 1)
    }

    @Test func closeEndsWhoWaits() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        let reading = Task { try await consumer.next() == nil }
        consumer.close()
        #expect(try await reading.value)
        #expect(try consumer.poll(timeoutMilliseconds: .max) == nil)
    }

    @Test func manySendersAtOnce() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t", partitions: 3)
        var configuration = Producer.Configuration()
        // So little memory that senders wait for it, and for each other.
        (configuration.batchBytes, configuration.bufferBytes) = (1024, 4096)
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        defer { producer.close() }
        let places = try await withThrowingTaskGroup(of: [Producer.RecordMetadata].self) { group in
            for sender in 0..<8 {
                group.addTask {
                    var places: [Producer.RecordMetadata] = []
                    for number in 0..<50 {
                        let value = Array("\(sender) \(number)".utf8)
                        places.append(try await producer.sendAndWait(value: value, partition: number % 3))
                        try await producer.send(value: value, partition: 0)
                        if number % 10 == 0 { try await producer.flush() }
                    }
                    return places
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(places).count == 400)
        try await producer.flush()
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        #expect(try await admin.describeTopic("t").reduce(0) { $0 + $1.endOffset } == 800)
    }

    @Test func aDeletedTopicEndsItsReadersAndWriters() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        let producer = try await Producer(topic: "t", broker: broker.address)
        defer { producer.close() }
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        defer { consumer.close() }
        let reading = Task { try await consumer.next() }
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        try await admin.deleteTopic("t")
        let read = await #expect(throws: ClientError.self) { _ = try await reading.value }
        #expect(read?.broker == .unknownTopicOrPartition)
        let written = await #expect(throws: ClientError.self) { _ = try await producer.sendAndWait(value: [1]) }
        #expect(written?.broker == .unknownTopicOrPartition)
    }

    @Test func errorsSayWhatAndWhy() async throws {
        let broker = try InProcessBroker()
        let missing = await #expect(throws: ClientError.self) {
            _ = try await Producer(topic: "none", broker: broker.address)
        }
        #expect(missing?.broker == .unknownTopicOrPartition)
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        let name = await #expect(throws: ClientError.self) { try await admin.createTopic("../x") }
        #expect(name?.broker == .invalidTopic)
        try await admin.createTopic("t")
        let twice = await #expect(throws: ClientError.self) { try await admin.createTopic("t") }
        #expect(twice?.broker == .topicAlreadyExists)
        let partition = await #expect(throws: ClientError.self) {
            _ = try await Consumer(topic: "t", partitions: [1], broker: broker.address)
        }
        #expect(partition?.code == .limit)
        let nobody = Admin(broker: .sharedMemory(path: "/tmp/rdmad-nobody-listens"), timeoutSeconds: 0)
        defer { nobody.close() }
        let unreachable = await #expect(throws: ClientError.self) { _ = try await nobody.listTopics() }
        #expect(unreachable?.code == .connection)
    }
}
