import Glibc
import RecordFormat
import Synchronization
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// When a batch is acknowledged, and when it is durable: by its topic's policy, the time given by the test.
@Suite struct FlushPolicyTests {
    @Test func groupAcknowledgesAfterTheSync() throws {
        let bench = try Bench(.none)
        let partition = try bench.create("t", "group")
        #expect(bench.produce(partition, now: 1) == 0 && partition.highWatermark == .zero)
        #expect(bench.awaitFlush(partition) == 1)
        #expect(partition.log.durableOffset == Offset(1) && partition.highWatermark == Offset(1))
    }

    /// Nothing of a volume is durable any more: whoever waits for a sync of it is told, of other partitions, too.
    @Test func aFailedSyncIsToldToAll() throws {
        let storage = SyncStorage()
        let bench = try Bench(storage: storage)
        let partitions = try ["a", "b", "c"].map { try bench.create($0, "group") }
        let syncs = Mutex(0)
        storage.willSync.withLock { $0 = { syncs.withLock { $0 += 1; return $0 } == 1 ? -EIO : 0 } }
        for partition in partitions { #expect(bench.produce(partition, now: 1) == 0) }
        #expect(bench.acknowledgements(3) == [.storageError, .storageError, .storageError])
        #expect(partitions.allSatisfy { $0.highWatermark == .zero && $0.awaiting.isEmpty })
        #expect(bench.produce(partitions[1], now: 3) == 1, "refused at once from now on")
    }

    /// A deletion syncs what it needs, and with it batches that wait: nobody else would ask for another sync.
    @Test func aDeletionsSyncAcknowledges() throws {
        let storage = SyncStorage()
        let bench = try Bench(storage: storage)
        let partition = try bench.create("t", "none")
        #expect(bench.produce(partition, now: 1) == 1)
        let isHeld = Mutex(true)
        let main = pthread_self()
        storage.willSync.withLock {
            $0 = {
                guard unsafe pthread_equal(pthread_self(), main) == 0 else { return 0 }
                while isHeld.withLock({ $0 }) { usleep(1000) }
                return 0
            }
        }
        try bench.broker.alterConfigs("t", [ConfigChange(name: "flush.policy", value: "group")])
        _ = bench.turn(now: 1)
        #expect(partition.isFlushing && bench.produce(partition, now: 1) == 0)
        // The first sync comes to its end while that of the deletion is made.
        nonisolated(unsafe) let during = { [bench, partition] in
            isHeld.withLock { $0 = false }
            for _ in 0..<1000 where partition.isFlushing {
                usleep(1000)
                bench.broker.takeFlushResults()
                bench.broker.submitFlushes()
            }
        }
        storage.willSync.withLock {
            $0 = {
                if unsafe pthread_equal(pthread_self(), main) != 0 { unsafe during() }
                return 0
            }
        }
        #expect(try bench.broker.deleteRecords(partition.address, before: -1) == 1)
        #expect(bench.acknowledgements(1) == [.none])
        #expect(partition.highWatermark == Offset(2) && partition.awaiting.isEmpty)
    }

    @Test func noneAcknowledgesAtOnceAndNeverSyncs() throws {
        let bench = try Bench()
        let partition = try bench.create("t", "none")
        #expect(bench.produce(partition, now: 1) == 1 && partition.highWatermark == Offset(1))
        #expect(bench.turn(now: .max / 2) == 0 && bench.broker.nextDeadline == nil)
        usleep(50_000)
        bench.broker.takeFlushResults()
        #expect(partition.log.durableOffset == .zero)
    }

    @Test func intervalSyncsWhenItsTimeHasCome() throws {
        let bench = try Bench()
        let slow = try bench.create("slow", "interval:100")
        let fast = try bench.create("fast", "interval:10")
        let start: UInt64 = 1_000_000_000
        #expect(bench.produce(slow, now: start) == 1)
        #expect(bench.broker.nextDeadline == start + 100_000_000)
        #expect(bench.produce(fast, now: start + 1) == 1)
        #expect(bench.broker.nextDeadline == start + 1 + 10_000_000)
        // A second batch waits with the first.
        #expect(bench.produce(slow, now: start + 2) == 1)
        _ = bench.turn(now: start + 11_000_000)
        #expect(bench.awaitFlush(fast) == 0 && fast.log.durableOffset == Offset(1))
        #expect(slow.log.durableOffset == .zero && bench.broker.nextDeadline == start + 100_000_000)
        _ = bench.turn(now: start + 100_000_000)
        _ = bench.awaitFlush(slow)
        #expect(slow.log.durableOffset == Offset(2) && bench.broker.nextDeadline == nil)
    }

    /// A rolled segment holds a descriptor until it is synced: not for long, whatever the policy.
    @Test(arguments: ["none", "interval:60000"]) func rolledSegmentsAreSynced(_ policy: String) throws {
        let bench = try Bench(segmentBytes: 200)
        let partition = try bench.create("t", policy)
        for number in 1...21 { _ = bench.produce(partition, now: UInt64(number)) }
        for _ in 0..<5_000 where partition.log.hasUnsyncedSegments {
            usleep(1000)
            bench.broker.takeFlushResults()
            _ = bench.turn(now: 30)
        }
        #expect(!partition.log.hasUnsyncedSegments && partition.log.durableOffset >= Offset(18))
        // What is appended to is not synced for it.
        if policy == "none" { #expect(partition.log.durableOffset < Offset(21)) }
    }

    /// What rolls while a sync is out is synced by the next turn, which comes at once.
    @Test func theNextTurnSyncsWhatRolledMeanwhile() throws {
        let bench = try Bench(segmentBytes: 200)
        let partition = try bench.create("t", "none")
        for number in 1...7 { _ = bench.produce(partition, now: UInt64(number)) }
        #expect(partition.isFlushing && bench.broker.nextDeadline == nil, "its result wakes the broker")
        var turns = 0
        for _ in 0..<5_000 where partition.log.hasUnsyncedSegments {
            usleep(1000)
            bench.broker.takeFlushResults()
            guard bench.broker.nextDeadline != nil else { continue }
            #expect(bench.broker.nextDeadline == UInt64(7 + turns))
            turns += 1
            _ = bench.turn(now: UInt64(7 + turns))
            #expect(bench.broker.nextDeadline == nil)
        }
        #expect(!partition.log.hasUnsyncedSegments && turns == 1)
    }

    /// A sync that became due under another policy is not made up for.
    @Test func noneSyncsNothingThatIsAppendedTo() throws {
        let bench = try Bench()
        let partition = try bench.create("t", "interval:1")
        #expect(bench.produce(partition, now: 1) == 1)
        try bench.broker.alterConfigs("t", [ConfigChange(name: "flush.policy", value: "none")])
        _ = bench.turn(now: 1_000_001)
        #expect(!partition.isFlushing && partition.log.durableOffset == .zero && bench.broker.nextDeadline == nil)
    }

    /// What a topic does not say, the broker does; both survive a restart.
    @Test func topicsSayOtherwise() throws {
        let bench = try Bench(.none)
        #expect(bench.produce(try bench.create("broker", nil), now: 1) == 1)
        #expect(bench.produce(try bench.create("own", "group"), now: 2) == 0)
        try bench.broker.close()
        let directory = try LogDirectory.open(path: bench.path)
        #expect(directory.partition(topic: "own", index: 0)!.options.flushPolicy == .group)
        #expect(directory.configs(topic: "own").map(\.value) == ["group"])
        #expect(directory.configs(topic: "broker").isEmpty)
        try directory.deleteTopic(name: "own")
        try directory.createTopic(name: "own", partitions: 1)
        #expect(directory.configs(topic: "own").isEmpty, "an earlier topic's settings")
        try directory.close()
    }

    @Test(arguments: [
        ("flush.policy", "sometimes"), ("retention.ms", "-2"), ("retention.ms", "x"), ("segment.bytes", "0"),
        ("segment.bytes", "4096"), ("cleanup.policy", "keep"), ("min.cleanable.dirty.ratio", "1.5"),
        ("no.such.config", "1"),
    ]) func wrongConfigs(_ name: String, _ value: String) throws {
        let bench = try Bench()
        let error = #expect(throws: BrokerError.self) {
            try bench.broker.createTopic("t", partitions: 1, configs: [TopicConfig(name: name, value: value)])
        }
        #expect(
            error?.code == .invalidConfig && error?.description.contains(name) == true, "\(error?.description ?? "")")
        #expect(bench.broker.topicCount == 0)
        try bench.broker.createTopic("t", partitions: 1)
    }
}
