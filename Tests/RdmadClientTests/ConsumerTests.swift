import FabricFrontend
import Testing
import TopicProtocol
import TransportTestSupport

@testable import RdmadClient

/// Consumers of several topics and partitions against a real broker: seeking, pausing, small rings.
@Suite(.timeLimit(.minutes(2))) struct ConsumerTests {
    typealias Copy = EndToEndTests.Copy

    /// Produces records `0`…`count − 1` to each partition, one batch for every ten.
    static func fill(_ broker: InProcessBroker, _ topic: String, partitions: Int, count: Int) async throws {
        try await broker.createTopic(topic, partitions: partitions)
        try await extend(broker, topic, partitions: partitions, 0..<count)
    }

    static func extend(_ broker: InProcessBroker, _ topic: String, partitions: Int, _ numbers: Range<Int>) async throws
    {
        let producer = try await Producer(topic: topic, broker: broker.address)
        defer { producer.close() }
        for number in numbers {
            for partition in 0..<partitions {
                try await producer.send(value: Array("\(topic) \(number)".utf8), partition: partition)
            }
            if number % 10 == 9 { try await producer.flush() }
        }
        try await producer.flush()
    }

    /// Reads until each of these partitions is at its offset; the offsets that came, in order.
    static func read(_ consumer: Consumer, to ends: [TopicPartition: Int64]) throws -> [TopicPartition: [Int64]] {
        var offsets: [TopicPartition: [Int64]] = [:]
        while ends.contains(where: { (consumer.position(of: $0.key) ?? 0) < $0.value }) {
            guard let batches = try consumer.poll(timeoutMilliseconds: 20_000) else {
                throw ClientError(.timeout, "nothing came any more; so far \(offsets.mapValues(\.count))")
            }
            let name = TopicPartition(batches.topic, batches.partition)
            try batches.forEachRecord { record in
                let value = unsafe EndToEndTests.text(record.value)
                #expect(value == "\(name.topic) \(record.offset)")
                offsets[name, default: []].append(record.offset)
            }
            batches.release()
        }
        return offsets
    }

    @Test func severalTopicsEachFromItsOwnPlace() async throws {
        let broker = try InProcessBroker()
        try await Self.fill(broker, "a", partitions: 2, count: 100)
        try await Self.fill(broker, "b", partitions: 1, count: 100)
        let (a0, a1, b0) = (TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0))
        let all = try await Consumer(topics: ["a", "b"], broker: broker.address)
        defer { all.close() }
        #expect(all.assignment == [a0, a1, b0])
        let everything = try Self.read(all, to: [a0: 100, a1: 100, b0: 100])
        #expect(everything == [a0: Array(0..<100), a1: Array(0..<100), b0: Array(0..<100)])
        let some = try await Consumer(assignment: [a1: .offset(95), b0: .latest], broker: broker.address)
        defer { some.close() }
        #expect(some.position(of: b0) == 100)
        #expect(some.position(of: a0) == nil)
        #expect(try Self.read(some, to: [a1: 100]) == [a1: Array(95..<100)])
        #expect(some.lag(of: a1) == 0)
        let missing = await #expect(throws: ClientError.self) {
            _ = try await Consumer(topics: ["a", "none"], broker: broker.address)
        }
        #expect(missing?.broker == .unknownTopicOrPartition)
    }

    /// One partition is not read for a while: the others flow, and nothing of it is lost or comes twice.
    @Test func aPausedPartitionCostsTheOthersNothing() async throws {
        let broker = try InProcessBroker()
        try await Self.fill(broker, "a", partitions: 3, count: 500)
        var configuration = Consumer.Configuration()
        configuration.ringBytes = 8192
        let consumer = try await Consumer(topics: ["a"], broker: broker.address, configuration: configuration)
        defer { consumer.close() }
        let names = (0..<3).map { TopicPartition("a", $0) }
        var seen = try Self.read(consumer, to: [names[0]: 50])
        try consumer.pause([names[0]])
        #expect(consumer.paused == [names[0]])
        let place = consumer.position(of: names[0])
        for (name, offsets) in try Self.read(consumer, to: [names[1]: 500, names[2]: 500]) {
            seen[name, default: []] += offsets
        }
        #expect(try consumer.poll(timeoutMilliseconds: 50) == nil)
        #expect(consumer.position(of: names[0]) == place)
        try consumer.resume([names[0]])
        for (name, offsets) in try Self.read(consumer, to: [names[0]: 500]) { seen[name, default: []] += offsets }
        #expect(seen == Dictionary(uniqueKeysWithValues: names.map { ($0, Array(0..<500)) }))
    }

    /// A ring of about three batches, sizes from one byte to half of it, released in any order, one partition paused,
    /// two messages on their way: no smaller ones are possible over shared memory.
    @Test(arguments: [UInt64(1), 2, 3, 4])
    func aRingOfThreeBatchesNeverStalls(seed: UInt64) async throws {
        var limits = DoorLimits()
        limits.messagesInFlight = 2
        let broker = try InProcessBroker(limits)
        try await broker.createTopic("r", partitions: 3)
        var random = SplitMix(state: seed)
        let ringBytes = 12 << 10
        let producer = try await Producer(topic: "r", broker: broker.address)
        defer { producer.close() }
        var sizes: [[Int]] = [[], [], []]
        for number in 0..<600 {
            // A batch of one record has 61 bytes and some for the record beside the value; an entry 64.
            let largest = ringBytes / 2 - 64 - 80
            let size = random.next() % 4 == 0 ? largest : 1 + Int(random.next() % UInt64(largest))
            sizes[number % 3].append(size)
            try await producer.send(value: [UInt8](repeating: UInt8(number % 251), count: size), partition: number % 3)
            try await producer.flush()
        }
        var configuration = Consumer.Configuration()
        configuration.ringBytes = ringBytes
        configuration.messagesInFlight = 2
        let consumer = try await Consumer(topics: ["r"], broker: broker.address, configuration: configuration)
        defer { consumer.close() }
        let paused = TopicPartition("r", Int(random.next() % 3))
        var got: [[Int]] = [[], [], []]
        var held: [ConsumedBatches] = []
        while got.map(\.count).reduce(0, +) < 600 {
            if got.map(\.count).reduce(0, +) == 60 { try consumer.pause([paused]) }
            let others = (0..<3).filter { $0 != paused.partition }
            if others.allSatisfy({ got[$0].count == 200 }) { try consumer.resume([paused]) }
            if let batches = try consumer.poll(timeoutMilliseconds: held.isEmpty ? 20_000 : 5) {
                try batches.forEachRecord { record in
                    got[batches.partition].append(unsafe record.value!.count)
                }
                held.append(batches)
                if random.next() % 2 == 0 { held.remove(at: Int(random.next() % UInt64(held.count))).release() }
            } else {
                try #require(!held.isEmpty, "stalled with an empty ring at \(got.map(\.count)), seed \(seed)")
                while !held.isEmpty { held.remove(at: Int(random.next() % UInt64(held.count))).release() }
            }
        }
        #expect(got == sizes)
    }

    @Test func aBatchLargerThanTheRing() async throws {
        let broker = try InProcessBroker()
        try await broker.createTopic("r")
        let producer = try await Producer(topic: "r", broker: broker.address)
        defer { producer.close() }
        _ = try await producer.sendAndWait(value: [UInt8](repeating: 7, count: 5000))
        var configuration = Consumer.Configuration()
        configuration.ringBytes = 4096
        let consumer = try await Consumer(topic: "r", broker: broker.address, configuration: configuration)
        defer { consumer.close() }
        let error = #expect(throws: ClientError.self) { _ = try consumer.poll(timeoutMilliseconds: 20_000) }
        #expect(error?.broker == .messageTooLarge)
        #expect(error?.description == "a batch of r partition 0 is larger than the ring: raise ringBytes")
    }

    @Test func kafkasNames() throws {
        var configuration = Consumer.Configuration()
        for (name, value) in [
            ("auto.commit.interval.ms", "11"), ("check.crcs", "false"), ("client.id", "me"),
            ("enable.auto.commit", "false"), ("group.id", "g"), ("group.instance.id", "i"),
            ("heartbeat.interval.ms", "12"), ("max.poll.interval.ms", "13"), ("metadata.max.age.ms", "14"),
            ("partition.assignment.strategy", "range,org.apache.kafka.clients.consumer.RoundRobinAssignor"),
            ("session.timeout.ms", "15"),
        ] { try configuration.set(name, to: value) }
        #expect(configuration.autoCommitIntervalMilliseconds == 11 && configuration.metadataMaxAgeMilliseconds == 14)
        #expect(configuration.heartbeatIntervalMilliseconds == 12 && configuration.maxPollIntervalMilliseconds == 13)
        #expect(configuration.sessionTimeoutMilliseconds == 15 && configuration.assignors == [.range, .roundRobin])
        #expect(!configuration.checksCRCs && !configuration.autoCommit && configuration.clientID == "me")
        #expect(configuration.groupID == "g" && configuration.instanceID == "i")
        for (name, value) in [
            ("no.such", "1"), ("session.timeout.ms", "long"), ("check.crcs", "maybe"),
            ("partition.assignment.strategy", "range,"),
        ] {
            let error = #expect(throws: ClientError.self) { try configuration.set(name, to: value) }
            #expect(error?.code == .limit && error?.description.contains(name) == true)
        }
    }

    @Test func settingsThatCannotBe() async throws {
        let broker = try InProcessBroker()
        func refused(_ adjust: (inout Consumer.Configuration) -> Void) async -> ClientError? {
            var configuration = Consumer.Configuration()
            configuration.groupID = "g"
            adjust(&configuration)
            return await #expect(throws: ClientError.self) {
                _ = try await Consumer(topic: "t", broker: broker.address, configuration: configuration)
            }
        }
        #expect(await refused { $0.ringBytes = 5000 }?.code == .limit)
        #expect(await refused { $0.groupID = "" }?.code == .limit)
        #expect(await refused { $0.assignors = [] }?.code == .limit)
        #expect(await refused { $0.heartbeatIntervalMilliseconds = 45_000 }?.code == .limit)
        #expect(await refused { $0.sessionTimeoutMilliseconds = -1 }?.code == .limit)
        let nothing = await #expect(throws: ClientError.self) {
            _ = try await Consumer(topics: [], broker: broker.address)
        }
        #expect(nothing?.code == .limit)
        try await broker.createTopic("t")
        let alone = try await Consumer(topic: "t", broker: broker.address)
        defer { alone.close() }
        let groupless = await #expect(throws: ClientError.self) { try await alone.commit() }
        #expect(groupless?.description.contains("groupID") == true)
    }
}
