import RecordFormat
import Synchronization
import Testing
import TopicProtocol

@testable import RdmadClient

/// Acknowledgement levels, partitioners, compression and Kafka's names.
@Suite struct ProducerSettingsTests {
    @Test func withoutAcknowledgementsABatchIsDeliveredWhenItIsAnnounced() throws {
        let harness = try ProducerHarness(inFlightMax: 3) {
            $0.acks = .none
            $0.bufferBytes = 4 * $0.batchBytes
        }
        #expect(harness.port.asked.isEmpty, "a producer id is of no use")
        let first = try harness.announce(4)
        #expect(first.map(\.sequence) == [-1, -1, -1])
        #expect(harness.outcomes.list.map(\.base) == [-1, -1, -1])
        #expect(harness.outcomes.list.allSatisfy { $0.error == nil })
        // All four slots are taken until the broker has read them.
        #expect(try !harness.send("no room"))
        harness.acknowledge(first[0])
        harness.turn()
        #expect(try harness.send("room"))
        #expect(harness.port.takeProduces().count == 1)
    }

    @Test func withoutAcknowledgementsNothingIsSentTwice() throws {
        let harness = try ProducerHarness(inFlightMax: 2) {
            $0.acks = .none
            $0.bufferBytes = 3 * $0.batchBytes
        }
        #expect(try harness.announce(3).count == 2)
        harness.agent.disconnected()
        harness.turn()
        #expect(try !harness.send("the broker may still be reading"))
        harness.connect(inFlightMax: 2)
        harness.turn()
        #expect(harness.port.takeProduces().count == 1, "the one that was not announced yet")
        #expect(harness.outcomes.list.count == 3)
        #expect(try harness.send("room"))
    }

    @Test func withoutAcknowledgementsARefusalIsNobodysBusiness() throws {
        let harness = try ProducerHarness { $0.acks = .none }
        harness.acknowledge(try harness.announce(1)[0], .messageTooLarge)
        #expect(try harness.announce(1).count == 1)
        #expect(harness.outcomes.list.allSatisfy { $0.error == nil })
    }

    /// The partitions of keyless records, each in a batch of its own.
    private func partitions(_ partitioner: Partitioner, keys: [String?], batchEach: Bool = true) throws -> [Int] {
        let harness = try ProducerHarness(partitions: 3) {
            $0.partitioner = partitioner
            $0.lingerMilliseconds = batchEach ? 0 : 3_600_000
        }
        return try keys.map { key in
            let before = harness.agent.state.withLock { $0.partitions.map { $0.builder?.recordCount ?? 0 } }
            #expect(try harness.send("value", key: key, partition: nil))
            let after = harness.agent.state.withLock { $0.partitions.map { $0.builder?.recordCount ?? 0 } }
            if batchEach { harness.turn() }
            return try #require(after.indices.first { after[$0] != before[$0] })
        }
    }

    @Test func stickyStaysUntilTheBatchIsSealed() throws {
        for partitioner in [Partitioner.murmur2, .uniformSticky] {
            let together = try partitions(partitioner, keys: [nil, nil, nil, nil], batchEach: false)
            #expect(Set(together).count == 1)
            let apart = try partitions(partitioner, keys: [nil, nil, nil, nil, nil, nil])
            #expect(apart == (0..<6).map { (apart[0] + $0) % 3 })
        }
    }

    @Test func keysDecideOnlyWherePartitionersLook() throws {
        let keys = (0..<12).map { "key \($0 % 4)" }
        let hashed = try partitions(.murmur2, keys: keys)
        #expect(hashed == keys.map { Partitioner.partition(forKey: Array($0.utf8), count: 3) })
        let ignored = try partitions(.uniformSticky, keys: keys, batchEach: false)
        #expect(Set(ignored).count == 1)
        let turns = try partitions(.roundRobin, keys: keys, batchEach: false)
        #expect(turns == (0..<12).map { (turns[0] + $0) % 3 })
    }

    @Test func aPartitionerOfOnesOwn() throws {
        let byLength = unsafe Partitioner.custom { key, value, count in
            #expect(unsafe value?.count == 5)
            return unsafe (key?.count ?? 0) % count
        }
        #expect(try partitions(byLength, keys: [nil, "a", "bb", "ccc"]) == [0, 1, 2, 0])
        let harness = try ProducerHarness { $0.partitioner = unsafe .custom { _, _, _ in 1 } }
        let error = #expect(throws: ClientError.self) { try harness.send("value", partition: nil) }
        #expect(error?.code == .limit)
    }

    @Test func aFailedPartitionGetsNoRecordsWithoutAKey() throws {
        let harness = try ProducerHarness(partitions: 3)
        harness.acknowledge(try harness.announce(1, partition: 1)[0], .invalidProducerEpoch)
        for _ in 0..<9 {
            try harness.send("value", partition: nil)
            harness.turn()
        }
        #expect(Set(harness.port.takeProduces().map(\.partition)) == [0, 2])
    }

    @Test(arguments: [CompressionType.gzip, .snappy, .lz4, .zstd])
    func batchesAreCompressedBeforeTheyAreAnnounced(_ type: CompressionType) throws {
        let harness = try ProducerHarness { $0.compression = type }
        harness.keepHeaders()
        for _ in 0..<100 { try harness.send(String(repeating: "again and ", count: 20)) }
        harness.turn()
        // Noise: larger afterwards, and so sent as it is.
        try harness.send(String((0..<40).map { _ in Character(UnicodeScalar(UInt8.random(in: 33...126))) }))
        harness.turn()
        let headers = harness.headers.list
        #expect(headers.map(\.compressionType) == [type, CompressionType.none])
        #expect(headers.map(\.recordCount) == [100, 1] && headers.map(\.baseSequence) == [0, 100])
        #expect(headers[0].sizeInBytes < 3000)
    }

    @Test func kafkasNames() throws {
        var configuration = Producer.Configuration()
        for (name, value) in [
            ("acks", "0"), ("batch.size", "16384"), ("buffer.memory", "33554432"), ("compression.type", "zstd"),
            ("compression.zstd.level", "9"), ("delivery.timeout.ms", "30000"), ("enable.idempotence", "false"),
            ("linger.ms", "7"), ("max.in.flight.requests.per.connection", "2"),
            ("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner"),
        ] { try configuration.set(name, to: value) }
        try configuration.check()
        #expect(configuration.acks == .none && configuration.batchBytes == 16_384)
        #expect(configuration.bufferBytes == 32 << 20 && configuration.compression == .zstd)
        #expect(configuration.compressionLevels == [.zstd: 9] && configuration.deliveryTimeoutSeconds == 30)
        #expect(configuration.lingerMilliseconds == 7 && configuration.batchesInFlightMax == 2)
        guard case .roundRobin = configuration.partitioner else { return #expect(Bool(false)) }
        for value in ["1", "all", "-1"] {
            try configuration.set("acks", to: value)
            #expect(configuration.acks == .all)
        }
        // In any order.
        for settings in [["acks", "enable.idempotence"], ["enable.idempotence", "acks"]] {
            var configuration = Producer.Configuration()
            for name in settings { try configuration.set(name, to: name == "acks" ? "0" : "false") }
            try configuration.check()
            configuration.acks = .all
            #expect(throws: ClientError.self) { try configuration.check() }
        }
        for (name, value) in [("delivery.timeout.ms", "2000"), ("delivery.timeout.ms", "0"), ("linger.ms", "120000")] {
            var configuration = Producer.Configuration()
            configuration.lingerMilliseconds = 3000
            try configuration.set(name, to: value)
            let error = #expect(throws: ClientError.self, "\(name)=\(value)") { try configuration.check() }
            #expect(error?.description.contains("delivery.timeout.ms") == true)
        }
        for (name, value) in [
            ("acks", "2"), ("batch.size", "many"), ("compression.type", "brotli"), ("no.such", "1"),
            ("partitioner.class", "Mine"), ("enable.idempotence", "no"),
        ] {
            let error = #expect(throws: ClientError.self) { try configuration.set(name, to: value) }
            #expect(error?.code == .limit && error?.description.contains(name) == true)
        }
    }

    @Test func settingsOutsideTheirRangesAreRefused() {
        let wrong: [(inout Producer.Configuration) -> Void] = [
            { $0.batchBytes = 1023 }, { $0.batchBytes = (1 << 20) + 1 }, { $0.bufferBytes = 65_535 },
            { $0.batchesInFlightMax = 6 }, { $0.batchesInFlightMax = 0 }, { $0.lingerMilliseconds = -1 },
            { $0.compressionLevels = [.gzip: 10] }, { $0.compressionLevels = [.snappy: 1] },
        ]
        for adjust in wrong {
            var configuration = Producer.Configuration()
            adjust(&configuration)
            let error = #expect(throws: ClientError.self) { try configuration.check() }
            #expect(error?.code == .limit)
        }
    }
}
