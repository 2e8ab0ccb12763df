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
            bench.broker.stage(
                .create(TopicCreation(name, partitions: 3, configs: [])),
                ProduceOrigin(door: 0, session: 9, requestID: UInt32(request)))
        }
        #expect(bench.broker.topicCount == 1 && bench.takeEffects().changed[0].isEmpty)
        bench.broker.commit(now: 1)
        let answers = bench.takeEffects().changed[0]
        #expect(answers.map(\.origin.requestID) == [0, 1, 2])
        #expect(answers.map { $0.result.error?.code } == [nil, .topicAlreadyExists, nil])
        #expect(bench.broker.topicCount == 3 && bench.broker.partitionCount == 7)
    }

    /// Who creates many lets the others have their turns.
    @Test func aTurnCreatesOnlySoMuch() throws {
        let bench = try Bench(.none)
        func stage(_ number: Int, _ partitions: Int) {
            bench.broker.stage(
                .create(TopicCreation("t\(number)", partitions: partitions, configs: [])),
                ProduceOrigin(door: 0, session: 1, requestID: UInt32(number)))
        }
        stage(0, 520)
        for number in 1...20 { stage(number, 60) }
        var counts: [Int] = []
        for turn in 1...4 as ClosedRange<UInt64> {
            _ = bench.turn(now: turn)
            counts.append(bench.broker.partitionCount)
            #expect((bench.broker.nextDeadline == turn) == (turn < 4))
        }
        #expect(counts == [520, 1_000, 1_480, 1_720])
        for number in 100..<10_200 { stage(number, 1) }
        let refused = bench.takeEffects().changed[0]
        #expect(refused.count == 100 && refused.allSatisfy { $0.result.error?.code == .limitReached })
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

    /// One change after another, in the order in which they came.
    @Test func changesKeepTheirOrder() throws {
        let bench = try Bench(.none)
        let changes: [TopicChange] = [
            .create(TopicCreation("t", partitions: 1, configs: [])),
            .alter("t", [ConfigChange(name: "retention.ms", value: "5")]), .delete("none"), .delete("t"), .delete("t"),
            .create(TopicCreation("t", partitions: 2, configs: [])),
        ]
        for (number, change) in changes.enumerated() {
            bench.broker.stage(change, ProduceOrigin(door: 0, session: 1, requestID: UInt32(number)))
        }
        var answers: [(origin: ProduceOrigin, result: TopicChange.Result)] = []
        for now in 1...9 as ClosedRange<UInt64> {
            bench.broker.commit(now: now)
            answers += bench.takeEffects().changed[0]
        }
        #expect(answers.map(\.origin.requestID) == [0, 1, 2, 3, 4, 5])
        let missing = ErrorCode.unknownTopicOrPartition
        #expect(answers.map { $0.result.error?.code } == [nil, nil, missing, nil, missing, nil])
        #expect(try bench.broker.describeTopic("t", firstPartition: 0).partitionCount == 2)
        #expect(try bench.broker.describeConfigs("t").allSatisfy { $0.source != .topic })
    }

    /// The disk takes its time; everything but the next change goes on.
    @Test func nobodyWaitsForAChangesSyncs() throws {
        let path = NSTemporaryDirectory() + "broker-core-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = try LogDirectory.open(path: path)
        let broker = Broker(
            directory: directory, flusher: try Flusher(volumes: directory.volumes),
            directoryThread: try DirectoryThread(), doors: 1, retentionCheckMilliseconds: 1)
        var now: UInt64 = 0
        #expect(!broker.isMaintenanceDue(now: now))
        func turn() -> BrokerEffects {
            now += 1
            broker.commit(now: now)
            var effects = BrokerEffects(doors: 1)
            broker.takeEffects(&effects)
            return effects
        }
        func answer() throws -> TopicChange.Result {
            for _ in 0..<10_000 {
                if let answer = turn().changed[0].first { return answer.result }
                usleep(1000)
            }
            throw BrokerError(.unknown, "no answer")
        }
        func stage(_ change: TopicChange) {
            broker.stage(change, ProduceOrigin(door: 0, session: 1, requestID: 0))
        }
        stage(.create(TopicCreation("t", partitions: 2, configs: [])))
        // The turn that begins it does not end it: that is for one that finds the thread's outcome.
        #expect(turn().changed[0].isEmpty && broker.topicCount == 0 && directory.isChanging)
        #expect(!broker.isMaintenanceDue(now: 2_000_000))
        #expect(try answer().error == nil && broker.topicCount == 1)
        #expect(broker.isMaintenanceDue(now: 2_000_000))
        let address = PartitionAddress(topicID: try broker.describeTopic("t", firstPartition: 0).topicID, partition: 1)
        stage(.deleteRecords(address, before: -1))
        #expect(try answer().get() == 0)
        stage(.delete("t"))
        let effects = turn()
        // It is gone for who uses it; the answer says that the disk knows.
        #expect(effects.changed[0].isEmpty && effects.isReadable && broker.partition(address) == nil)
        #expect(try answer().error == nil)
        // Retention has its turn before the next change.
        now = 2_000_000
        stage(.create(TopicCreation("u", partitions: 1, configs: [])))
        _ = turn()
        #expect(!directory.isChanging && broker.isMaintenanceDue(now: now))
        broker.maintain(now: now, nowMilliseconds: 0)
        _ = turn()
        #expect(directory.isChanging)
        // What is under way when the broker closes comes to its end.
        try broker.close()
        #expect(try LogDirectory.open(path: path).topics == ["u"])
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
        // The broker's own topics are there for everybody.
        try bench.broker.createOwn(TopicCreation("__consumer_offsets", partitions: 4, configs: []))
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
            "t", [.init(name: "retention.ms", value: nil), .init(name: "segment.bytes", value: "2000000")])
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
        #expect(effects.hasDeletedFiles && !effects.isReadable && effects.readable.contains { $0 === partition })
        #expect(try bench.broker.deleteRecords(partition.address, before: 1) == 2, "it never goes back")
        #expect(try bench.broker.listOffsets(partition.address, timestamp: -2).offset == 2)
        #expect(code { _ = try bench.broker.deleteRecords(partition.address, before: 5) } == .offsetOutOfRange)
        #expect(code { _ = try bench.broker.deleteRecords(partition.address, before: -2) } == .offsetOutOfRange)
        #expect(try bench.broker.deleteRecords(partition.address, before: -1) == 4)
        let nowhere = PartitionAddress(topicID: 99, partition: 0)
        #expect(code { _ = try bench.broker.deleteRecords(nowhere, before: 0) } == .unknownTopicOrPartition)
    }
}

extension TopicChange.Result {
    fileprivate var error: BrokerError? { if case .failure(let error) = self { error } else { nil } }
}
