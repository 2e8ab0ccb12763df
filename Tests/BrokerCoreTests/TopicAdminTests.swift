import Foundation
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Topics are created together, altered, grown, cut short; offsets are looked up.
@Suite struct TopicAdminTests {
    private func code(_ body: () throws -> Void) -> ErrorCode? {
        do {
            try body()
            return nil
        } catch { return (error as? BrokerError)?.code }
    }

    @Test func stagedCreationsAreAnsweredAfterTheCommit() throws {
        let bench = try Bench()
        try bench.broker.createTopic("old", partitions: 1)
        for (request, name) in ["a", "old", "b"].enumerated() {
            bench.broker.stageCreation(
                TopicCreation(name, partitions: 3, configs: []),
                ProduceOrigin(door: 0, session: 9, requestID: UInt32(request)))
        }
        #expect(bench.broker.topicCount == 1 && bench.takeEffects().created[0].isEmpty)
        bench.broker.commit(now: 1)
        let answers = bench.takeEffects().created[0]
        #expect(answers.map(\.origin.requestID) == [0, 1, 2])
        #expect(answers.map { $0.error?.code } == [nil, .topicAlreadyExists, nil])
        #expect(bench.broker.topicCount == 3 && bench.broker.partitionCount == 7)
    }

    /// Who creates many lets the others have their turns.
    @Test func aTurnCreatesOnlySoMuch() throws {
        let bench = try Bench(.none)
        func stage(_ number: Int, _ partitions: Int) {
            bench.broker.stageCreation(
                TopicCreation("t\(number)", partitions: partitions, configs: []),
                ProduceOrigin(door: 0, session: 1, requestID: UInt32(number)))
        }
        stage(0, 300)
        for number in 1...30 { stage(number, 20) }
        var counts: [Int] = []
        for turn in 1...4 as ClosedRange<UInt64> {
            _ = bench.turn(now: turn)
            counts.append(bench.broker.partitionCount)
            #expect((bench.broker.nextDeadline == turn) == (turn < 4))
        }
        #expect(counts == [300, 540, 780, 900])
        for number in 100..<10_200 { stage(number, 1) }
        let refused = bench.takeEffects().created[0]
        #expect(refused.count == 100 && refused.allSatisfy { $0.error?.code == .limitReached })
        try bench.broker.deleteTopic("t5000")
        #expect(bench.broker.topicCount == 31)
    }

    /// What the disk refused half way is gone for everybody, and its name can be used again once the disk works.
    @Test func aDeletionThatFailsHalfWay() throws {
        let bench = try Bench()
        try bench.broker.createTopic("t", partitions: 3)
        let id = try bench.broker.describeTopic("t", firstPartition: 0).topicID
        let partitions = try (0..<3).map {
            try #require(bench.broker.partition(PartitionAddress(topicID: id, partition: $0)))
        }
        partitions[0].isFlushing = true
        #expect(bench.produce(partitions[0], now: 1) == 0)
        // A name that cannot be taken.
        let obstacle = bench.path + "/t-1.delete"
        try FileManager.default.createDirectory(atPath: obstacle + "/x", withIntermediateDirectories: true)
        #expect(code { try bench.broker.deleteTopic("t") } == .storageError)
        #expect(partitions.allSatisfy(\.isDeleted) && bench.broker.partition(partitions[2].address) == nil)
        #expect(bench.broker.topicCount == 0)
        #expect(code { _ = try bench.broker.describeTopic("t", firstPartition: 0) } == .unknownTopicOrPartition)
        let effects = bench.takeEffects()
        #expect(effects.isReadable && effects.hasDeletedFiles)
        #expect(effects.acks[0].map(\.ack.error) == [.unknownTopicOrPartition])
        #expect(code { try bench.broker.createTopic("t", partitions: 3) } == .storageError)
        try FileManager.default.removeItem(atPath: obstacle)
        try bench.broker.createTopic("t", partitions: 2)
        #expect(try bench.broker.describeTopic("t", firstPartition: 0).topicID != id)
        try bench.broker.close()
        #expect(try LogDirectory.open(path: bench.path).partitionCount(topic: "t") == 2)
    }

    @Test func aStagedTopicCanBeDeletedAtOnce() throws {
        let bench = try Bench()
        bench.broker.stageCreation(
            TopicCreation("t", partitions: 1, configs: []), ProduceOrigin(door: 0, session: 1, requestID: 1))
        try bench.broker.deleteTopic("t")
        #expect(bench.broker.topicCount == 0)
    }

    @Test func limitsNameTheirSettings() throws {
        var limits = BrokerLimits()
        limits.topicsMax = 2
        limits.partitionsMax = 5
        let bench = try Bench(limits: limits)
        try bench.broker.createTopic("a", partitions: 3)
        let tooMany = #expect(throws: BrokerError.self) { try bench.broker.createTopic("b", partitions: 3) }
        #expect(tooMany?.code == .limitReached && tooMany?.description.contains("--partitions-max") == true)
        #expect(tooMany?.description.contains("limit is 5") == true)
        try bench.broker.createTopic("b", partitions: 1)
        let third = #expect(throws: BrokerError.self) { try bench.broker.createTopic("c", partitions: 1) }
        #expect(third?.code == .limitReached && third?.description.contains("--topics-max") == true)
        #expect(code { try bench.broker.addPartitions("b", total: 3) } == .limitReached)
        try bench.broker.addPartitions("b", total: 2)
        // What is deleted makes room.
        try bench.broker.deleteTopic("a")
        try bench.broker.createTopic("c", partitions: 3)
    }

    @Test func newPartitionsOfATopicInUse() throws {
        let bench = try Bench(.none)
        let first = try bench.create("t", nil)
        #expect(bench.produce(first, now: 1) == 1)
        try bench.broker.addPartitions("t", total: 3)
        let description = try bench.broker.describeTopic("t", firstPartition: 0)
        #expect(
            description.topicID == first.address.topicID && description.partitions.map(\.logEndOffset) == [1, 0, 0])
        let last = try #require(bench.broker.partition(.init(topicID: description.topicID, partition: 2)))
        #expect(bench.produce(last, now: 2) == 1 && bench.produce(first, now: 3) == 1)
        #expect(code { try bench.broker.addPartitions("t", total: 3) } == .invalidPartitions)
        #expect(code { try bench.broker.addPartitions("u", total: 3) } == .unknownTopicOrPartition)
    }

    @Test func configsSayWhereTheyComeFrom() throws {
        let bench = try Bench(.none)
        try bench.broker.createTopic("t", partitions: 1, configs: [TopicConfig(name: "retention.ms", value: "5")])
        func source(_ name: String) throws -> ConfigDescription.Source? {
            try bench.broker.describeConfigs("t").first { $0.name == name }?.source
        }
        #expect(try source("retention.ms") == .topic)
        #expect(try source("flush.policy") == .broker)
        #expect(try source("segment.bytes") == .builtIn)
        try bench.broker.alterConfigs(
            "t", [ConfigChange(name: "retention.ms", value: nil), ConfigChange(name: "segment.bytes", value: "4096")])
        #expect(try source("retention.ms") == .builtIn)
        #expect(try source("segment.bytes") == .topic)
        #expect(code { _ = try bench.broker.describeConfigs("u") } == .unknownTopicOrPartition)
        #expect(code { try bench.broker.alterConfigs("t", [ConfigChange(name: "x", value: "1")]) } == .invalidConfig)
        #expect(try bench.broker.describeConfigs("").isEmpty)
    }

    /// Who waits for a sync need not wait any longer once the topic does not ask for one.
    @Test func aPolicyChangesUnderBatchesThatWait() throws {
        let bench = try Bench()
        let partition = try bench.create("t", "group")
        partition.isFlushing = true
        #expect(bench.produce(partition, now: 1) == 0)
        try bench.broker.alterConfigs("t", [ConfigChange(name: "flush.policy", value: "none")])
        #expect(bench.takeEffects().acks[0].count == 1 && partition.highWatermark == Offset(1))
        // And back: what was never synced is.
        partition.isFlushing = false
        try bench.broker.alterConfigs("t", [ConfigChange(name: "flush.policy", value: nil)])
        _ = bench.turn(now: 2)
        _ = bench.awaitFlush(partition)
        #expect(partition.log.durableOffset == Offset(1))
    }

    @Test func offsetsByTime() throws {
        let bench = try Bench(.none)
        let partition = try bench.create("t", nil)
        func offset(_ timestamp: Int64) throws -> ListedOffset {
            try bench.broker.listOffsets(partition.address, timestamp: timestamp)
        }
        let none = ListedOffset(offset: -1, timestamp: -1)
        #expect(try offset(-1) == ListedOffset(offset: 0, timestamp: -1) && offset(-2) == offset(-1))
        #expect(try offset(-3) == none && offset(0) == none)
        for (now, timestamp) in [1000, 3000, 2000].enumerated() {
            #expect(bench.produce(partition, now: UInt64(now + 1), timestamp: Int64(timestamp)) == 1)
        }
        #expect(try offset(-1).offset == 3 && offset(-2).offset == 0)
        #expect(try offset(-3) == ListedOffset(offset: 1, timestamp: 3000))
        #expect(try offset(1001) == ListedOffset(offset: 1, timestamp: 3000))
        #expect(try offset(0) == ListedOffset(offset: 0, timestamp: 1000))
        #expect(try offset(3001) == none)
        #expect(code { _ = try offset(-4) } == .invalidRequest)
    }

    /// Nobody learns of records that are not committed, and nobody deletes them.
    @Test func whatIsNotCommittedIsNotThere() throws {
        let bench = try Bench()
        let partition = try bench.create("t", "group")
        partition.isFlushing = true
        #expect(bench.produce(partition, now: 1, timestamp: 1000) == 0)
        for timestamp in [-3, 0, 1000] as [Int64] {
            #expect(try bench.broker.listOffsets(partition.address, timestamp: timestamp).offset == -1)
        }
        #expect(try bench.broker.listOffsets(partition.address, timestamp: -1).offset == 0)
        #expect(code { _ = try bench.broker.deleteRecords(partition.address, before: 1) } == .offsetOutOfRange)
        #expect(try bench.broker.deleteRecords(partition.address, before: -1) == 0)
    }

    @Test func deletedRecordsAreGone() throws {
        let bench = try Bench(.none)
        let partition = try bench.create("t", nil)
        for now in 1...4 { #expect(bench.produce(partition, now: UInt64(now)) == 1) }
        #expect(try bench.broker.deleteRecords(partition.address, before: 2) == 2)
        let effects = bench.takeEffects()
        #expect(effects.hasDeletedFiles && effects.isReadable)
        #expect(try bench.broker.deleteRecords(partition.address, before: 1) == 2, "it never goes back")
        #expect(try bench.broker.listOffsets(partition.address, timestamp: -2).offset == 2)
        #expect(code { _ = try bench.broker.deleteRecords(partition.address, before: 5) } == .offsetOutOfRange)
        #expect(code { _ = try bench.broker.deleteRecords(partition.address, before: -2) } == .offsetOutOfRange)
        #expect(try bench.broker.deleteRecords(partition.address, before: -1) == 4)
        let nowhere = PartitionAddress(topicID: 99, partition: 0)
        #expect(code { _ = try bench.broker.deleteRecords(nowhere, before: 0) } == .unknownTopicOrPartition)
    }
}
