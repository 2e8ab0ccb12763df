import RecordFormat
import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

/// What a producer sends and a consumer gets, through a real broker over shared memory.
@Suite(.timeLimit(.minutes(2))) struct ProducerEndToEndTests {
    struct Copy: Equatable, Sendable {
        var timestamp: Int64
        var key: String?
        var value: String?
        var headers: [RecordHeader] = []
    }

    static func read(_ topic: String, _ broker: BrokerAddress, _ count: Int, _ limit: Int = 64 << 20) async throws
        -> [Copy]
    {
        var configuration = Consumer.Configuration()
        configuration.decompressedBytesMax = limit
        let consumer = try await Consumer(topic: topic, broker: broker, configuration: configuration)
        defer { consumer.close() }
        var copies: [Copy] = []
        while copies.count < count {
            let batches = try #require(try consumer.poll(timeoutMilliseconds: 20_000))
            defer { batches.release() }
            try batches.forEachRecord { record in
                copies.append(
                    Copy(
                        timestamp: record.timestampMilliseconds, key: unsafe EndToEndTests.text(record.key),
                        value: unsafe EndToEndTests.text(record.value), headers: record.headers))
            }
        }
        return copies
    }

    static let records: [Copy] = (0..<2000).map { number in
        var copy = Copy(timestamp: 1_700_000_000_000 + Int64(number * 7 % 1000))
        if number % 5 != 0 { copy.key = "key \(number % 9)" }
        if number % 7 != 0 { copy.value = String(repeating: "value \(number) ", count: number % 20) }
        if number % 3 == 0 {
            copy.headers = [
                RecordHeader(key: "number", value: Array("\(number)".utf8)), RecordHeader(key: "none", value: nil),
                RecordHeader(key: "number", value: []),
            ]
        }
        return copy
    }

    /// Every seventh record has no key, and the topic is compacted: its batch is refused while others are in flight.
    @Test func refusedBatchesLeaveTheOthersInOrder() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("c", configs: ["cleanup.policy": "compact"])
        var configuration = Producer.Configuration()
        // Three records at most.
        configuration.batchBytes = 1024
        let refused = Mutex<[ClientError]>([])
        let producer = try await Producer(
            topic: "c", broker: broker.address, configuration: configuration,
            onAcknowledged: { _, _, count, error in
                if let error { refused.withLock { $0 += Array(repeating: error, count: count) } }
            })
        defer { producer.close() }
        for number in 0..<700 {
            let key = number % 7 == 0 ? nil : Array("key \(number)".utf8)
            let value = "\(number)" + String(repeating: " ", count: 250)
            try await producer.send(key: key, value: Array(value.utf8))
        }
        let error = await #expect(throws: ClientError.self) { try await producer.flush() }
        #expect(error?.broker == .invalidRecord)
        // Those with a key that shared a batch with one without are refused, too.
        let errors = refused.withLock { $0 }
        #expect((100...300).contains(errors.count))
        #expect(errors.allSatisfy { $0.broker == .invalidRecord && $0.code == .broker })
        _ = try await producer.sendAndWait(key: Array("last".utf8), value: Array("700".utf8))
        let numbers = try await Self.read("c", broker.address, 701 - errors.count).map {
            Int($0.value!.prefix { $0 != " " })!
        }
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count && numbers.last == 700)
        #expect(numbers.allSatisfy { $0 % 7 != 0 || $0 == 700 })
    }

    /// Keys, tombstones, headers and timestamps, in every codec, one after another in the same log.
    @Test func everyCodecBringsBackWhatWasSent() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        for type in CompressionType.allCases {
            var configuration = Producer.Configuration()
            configuration.compression = type
            configuration.batchBytes = 16 << 10
            let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
            defer { producer.close() }
            for record in Self.records {
                try await producer.send(
                    key: record.key.map { Array($0.utf8) }, value: record.value.map { Array($0.utf8) },
                    headers: record.headers, timestampMilliseconds: record.timestamp)
            }
            try await producer.flush()
        }
        let codecs = CompressionType.allCases.count
        let copies = try await Self.read("t", broker.address, codecs * Self.records.count)
        for number in 0..<codecs {
            let part = copies[number * Self.records.count..<(number + 1) * Self.records.count]
            #expect(Array(part) == Self.records, "\(CompressionType.allCases[number])")
        }
    }

    /// A broker that is away for longer than the delivery time-out costs the records that waited for it, no others.
    @Test func aProducerOutlivesItsBrokersAbsence() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        var configuration = Producer.Configuration()
        configuration.deliveryTimeoutSeconds = 1
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        defer { producer.close() }
        var expected: [String] = []
        for round in 0..<2 {
            for number in 0..<100 {
                expected.append("\(round) \(number)")
                try await producer.send(value: Array("\(round) \(number)".utf8))
            }
            try await producer.flush()
            broker.stop()
            for number in 0..<100 { try await producer.send(value: Array("lost \(number)".utf8)) }
            let error = await #expect(throws: ClientError.self) { try await producer.flush() }
            #expect(error?.code == .notDelivered || error?.code == .outcomeUnknown)
            #expect(error?.description.contains("nobody listens at") == true)
            try broker.start()
            // The link looks again within a second, which is longer than this producer's records wait.
            while (try? await producer.sendAndWait(value: Array("again".utf8))) == nil {}
        }
        _ = try await producer.sendAndWait(value: Array("end".utf8))
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        defer { consumer.close() }
        var values: [String] = []
        while values.last != "end" { values += try EndToEndTests.read(consumer, 1).map(\.value) }
        #expect(values.dropLast().filter { $0 != "again" } == expected)
    }

    @Test func aBombEndsInAnError() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        var configuration = Producer.Configuration()
        configuration.compression = .zstd
        configuration.batchBytes = 1 << 20
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        defer { producer.close() }
        _ = try await producer.sendAndWait(value: [UInt8](repeating: 0, count: 1_000_000))
        #expect(try await Self.read("t", broker.address, 1).map { $0.value?.utf8.count } == [1_000_000])
        let error = await #expect(throws: ClientError.self) {
            try await Self.read("t", broker.address, 1, 999_999)
        }
        #expect(error?.code == .limit)
        #expect(error?.description.contains("raise decompressedBytesMax") == true)
    }

    @Test func withoutAcknowledgementsRecordsArriveToo() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("t")
        var configuration = Producer.Configuration()
        configuration.acks = .none
        configuration.batchBytes = 4096
        configuration.bufferBytes = 8 * 4096
        let producer = try await Producer(topic: "t", broker: broker.address, configuration: configuration)
        for number in 0..<5000 { try await producer.send(value: Array("\(number)".utf8)) }
        let place = try await producer.sendAndWait(value: Array("5000".utf8))
        #expect(place == Producer.RecordMetadata(partition: 0, offset: -1))
        #expect(try await Self.read("t", broker.address, 5001).map(\.value) == (0...5000).map { "\($0)" })
        producer.close()
    }
}
