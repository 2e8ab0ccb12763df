import Foundation
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Groups and the log behind them: what is acknowledged is in `__consumer_offsets`, and comes back from there.
@Suite struct GroupLogTests {
    /// A broker on a directory that outlives it.
    private final class Bench {
        let broker: Broker
        let directory: LogDirectory
        private var answers: [UInt32: GroupAnswer] = [:]
        private var asked: UInt32 = 0
        private(set) var troubles: [String: String] = [:]
        var now: UInt64 = 1_000_000_000

        init(_ path: String, _ policy: FlushPolicy = .none, options: GroupOptions = GroupOptions()) throws {
            var log = LogOptions()
            log.flushPolicy = policy
            directory = try LogDirectory.open(path: path, options: log)
            broker = Broker(
                directory: directory, flusher: try Flusher(volumes: directory.volumes), doors: 1, groups: options)
            broker.startGroups(now: now, nowMilliseconds: 1_700_000_000_000)
        }

        func turn() {
            broker.commit(now: now)
            broker.takeFlushResults()
            let effects = takeEffects()
            for answer in effects.answers { answers[answer.origin.requestID] = answer }
            troubles.merge(effects.troubles) { $1 }
        }

        func takeEffects() -> BrokerEffects {
            var effects = BrokerEffects(doors: 1)
            broker.takeEffects(&effects)
            return effects
        }

        func load() {
            while broker.isLoadingGroups { turn() }
        }

        func ask(_ request: GroupRequest) -> UInt32 {
            asked += 1
            broker.handle(
                request, from: ProduceOrigin(door: 0, session: 1, requestID: asked), host: "here", now: now)
            return asked
        }

        /// Takes turns until the answer is there, for ten seconds.
        func answer(_ request: GroupRequest) throws -> GroupAnswer {
            let question = ask(request)
            for _ in 0..<10_000 where answers[question] == nil {
                turn()
                if answers[question] == nil { usleep(1000) }
            }
            return try #require(answers[question])
        }

        func hasAnswer(_ question: UInt32) -> Bool { answers[question] != nil }

        func commit(_ group: String, _ offset: Int64, partition: UInt32 = 0) throws -> [ErrorCode] {
            let offsets = GroupBench.offsets(offset, partitions: [partition], metadata: "m\(offset)")
            guard case .errors(let list) = try answer(.commit(GroupCaller(group: group), offsets)).body else {
                return []
            }
            return list.errors
        }

        func fetch(_ group: String, partition: UInt32 = 0) throws -> Int64? {
            let scope = OffsetFetchScope.partitions([TopicPartitions(topic: "t", partitions: [partition])])
            guard case .offsets(let found) = try answer(.fetch(OffsetFetch(group: group, scope: scope))).body else {
                return nil
            }
            return found.topics[0].partitions[0].offset
        }
    }

    private final class Directory {
        let path = NSTemporaryDirectory() + "group-log-\(UInt64.random(in: 0 ... .max))"
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    @Test func whatIsAcknowledgedSurvives() throws {
        let directory = Directory()
        let groups = (0..<20).map { "group-\($0)" }
        var bench = try Bench(directory.path)
        try bench.broker.createTopic("t", partitions: 16)
        bench.load()
        #expect(try bench.fetch("group-0") == -1)
        // Fetching needs no topic; the first commit makes it.
        #expect(bench.broker.topicCount == 1)
        for round in 1...3 as ClosedRange<Int64> {
            for (number, group) in groups.enumerated() {
                #expect(try bench.commit(group, round * 100 + Int64(number), partition: UInt32(number % 16)) == [.none])
            }
        }
        let topic = try bench.broker.describeTopic(Broker.offsetsTopic, firstPartition: 0)
        #expect(topic.partitionCount == 4)
        #expect(topic.configs.contains(TopicConfig(name: "cleanup.policy", value: "compact")))
        #expect(topic.partitions.filter { $0.logEndOffset > 0 }.count > 1)
        #expect(try bench.answer(.delete(group: "group-3")).error == .none)
        try bench.broker.close()

        bench = try Bench(directory.path)
        let early = bench.ask(.list(after: ""))
        bench.load()
        #expect(bench.hasAnswer(early))
        for (number, group) in groups.enumerated() {
            let expected = number == 3 ? -1 : 300 + Int64(number)
            #expect(try bench.fetch(group, partition: UInt32(number % 16)) == expected)
        }
        guard case .groups(let list) = try bench.answer(.list(after: "group-18")).body else { return }
        #expect(list.groups.map(\.group).first == "group-19")
        try bench.broker.close()
    }

    @Test func nothingIsAnsweredWhileTheLogIsRead() throws {
        let directory = Directory()
        var bench = try Bench(directory.path)
        try bench.broker.createTopic("t", partitions: 1)
        bench.load()
        #expect(try bench.commit("g", 1) == [.none])
        try bench.broker.close()
        bench = try Bench(directory.path)
        #expect(try bench.answer(.list(after: "")).error == .coordinatorLoadInProgress)
        bench.load()
        #expect(try bench.answer(.list(after: "")).error == .none)
        try bench.broker.close()
    }

    @Test func aCommitWaitsForItsSync() throws {
        let directory = Directory()
        let bench = try Bench(directory.path, .group)
        try bench.broker.createTopic("t", partitions: 1)
        bench.load()
        let question = bench.ask(.commit(GroupCaller(group: "g"), GroupBench.offsets()))
        bench.broker.commit(now: bench.now)
        // Appended, and asked to be synced; nobody has been told.
        #expect(bench.takeEffects().answers.isEmpty)
        for _ in 0..<10_000 where !bench.hasAnswer(question) {
            bench.turn()
            usleep(1000)
        }
        #expect(bench.hasAnswer(question))
        let place = Broker.place(of: "g", among: 4)
        let log = bench.directory.partition(topic: Broker.offsetsTopic, index: place)!
        #expect(log.durableOffset == Offset(1))
        try bench.broker.close()
    }

    @Test func theTopicIsTheBrokersOwn() throws {
        let directory = Directory()
        let bench = try Bench(directory.path)
        bench.load()
        #expect(throws: BrokerError.self) { try bench.broker.createTopic(Broker.offsetsTopic, partitions: 1) }
        #expect(throws: BrokerError.self) { try bench.broker.alterConfigs(Broker.offsetsTopic, []) }
        try bench.broker.createTopic("t", partitions: 1)
        #expect(try bench.commit("g", 1) == [.none])
        #expect(throws: BrokerError.self) { try bench.broker.deleteTopic(Broker.offsetsTopic) }
        let id = try bench.broker.describeTopic(Broker.offsetsTopic, firstPartition: 0).topicID
        #expect(bench.broker.partition(PartitionAddress(topicID: id, partition: 0))?.isInternal == true)
        // What was committed for a topic goes with it.
        try bench.broker.deleteTopic("t")
        try bench.broker.createTopic("t", partitions: 1)
        bench.turn()
        #expect(try bench.fetch("g") == -1)
        try bench.broker.close()
    }

    @Test func aTopicThatCannotBeMadeIsATrouble() throws {
        let directory = Directory()
        var options = GroupOptions()
        options.offsetsTopicPartitions = 1025
        let bench = try Bench(directory.path, options: options)
        try bench.broker.createTopic("t", partitions: 1)
        bench.load()
        #expect(try bench.commit("g", 1) == [.coordinatorNotAvailable])
        #expect(bench.troubles[Broker.offsetsTopic]?.contains("1025") == true)
        try bench.broker.close()
    }

    @Test func damageCostsWhatItHolds() throws {
        let directory = Directory()
        var bench = try Bench(directory.path)
        try bench.broker.createTopic("t", partitions: 1)
        bench.load()
        let groups = (0..<8).map { "group-\($0)" }
        for group in groups { #expect(try bench.commit(group, 5) == [.none]) }
        try bench.broker.close()
        let hurt = Broker.place(of: groups[0], among: 4)
        let file = "\(directory.path)/\(Broker.offsetsTopic)-\(hurt)/00000000000000000000.log"
        let handle = try #require(FileHandle(forUpdatingAtPath: file))
        try handle.seek(toOffset: 70)
        try handle.write(contentsOf: Data([0xff, 0xff, 0xff]))
        try handle.close()
        bench = try Bench(directory.path)
        bench.load()
        for group in groups where Broker.place(of: group, among: 4) != hurt { #expect(try bench.fetch(group) == 5) }
        #expect(bench.troubles[Broker.offsetsTopic] != nil)
        try bench.broker.close()
    }
}
