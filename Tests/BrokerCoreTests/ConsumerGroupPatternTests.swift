import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Patterns that take several turns to meet all topics: what groups do meanwhile, whose turn it is, and what it takes.
@Suite struct ConsumerGroupPatternTests {
    /// Takes more than a slice of a turn for each name like these.
    private let slow = "((a?){100})*.*"
    private func name(_ number: Int) -> String { String(repeating: "a", count: 240) + "\(number)" }

    private func world(_ count: Int) -> TestTopics {
        TestTopics(Dictionary(uniqueKeysWithValues: (0..<count).map { (name($0), 1) }))
    }

    private func consumers(_ ids: String..., pattern: String) -> [ConsumerGroupClient] {
        ids.map { ConsumerGroupClient($0, topics: [], pattern: pattern) }
    }

    private func join(_ client: ConsumerGroupClient, group: String, _ bench: GroupBench) {
        if let answer = bench.heartbeat(bench.ask(client.request(group: group))) { client.take(answer) }
    }

    /// Another turn. Returns whether there is more to do.
    private func turn(_ bench: GroupBench) -> Bool {
        bench.coordinator.advance(now: bench.now)
        return bench.coordinator.patterns.isIncomplete
    }

    /// Takes turns until all is met, with a heartbeat of each member in each.
    private func finish(_ bench: GroupBench, _ clients: [ConsumerGroupClient], _ check: () -> Void = {}) {
        var turns = 0
        while turn(bench), turns < 1_000 {
            for client in clients { bench.beat(client) }
            if bench.coordinator.patterns.isIncomplete { check() }
            turns += 1
        }
        #expect(turns > 1 && turns < 1_000)
        bench.settle(clients)
    }

    private func restarted(_ bench: GroupBench) -> GroupBench {
        GroupBench(log: bench.log, now: bench.now, topics: bench.world)
    }

    // MARK: What groups do meanwhile

    /// Members keep what they have while the broker looks again what their pattern matches.
    @Test func aRestartMovesNothing() {
        let bench = GroupBench(topics: world(40))
        let all = consumers("a", "b", pattern: slow)
        for client in all { bench.beat(client) }
        #expect(all.map(\.epoch) == [1, 1] && all.allSatisfy { $0.owned.count == 0 }, "an epoch, and nothing in it")
        finish(bench, all) { #expect(all.allSatisfy { $0.owned.count == 0 }) }
        #expect(all.map(\.owned.count) == [20, 20])
        let before = (all.map(\.epoch), all.map(\.owned))
        let again = restarted(bench)
        for client in all { again.beat(client) }
        #expect(again.coordinator.patterns.isIncomplete)
        finish(again, all) { #expect(all.map(\.epoch) == before.0 && all.map(\.owned) == before.1) }
        #expect(all.map(\.epoch) == before.0 && all.map(\.owned) == before.1)
        #expect(again.log == bench.log)
    }

    /// What changed while the broker was down is noticed, but later.
    @Test func topicsOfBeforeARestartAreNoticedOnce() {
        let bench = GroupBench(topics: world(40))
        let all = consumers("a", pattern: slow)
        bench.beat(all[0])
        finish(bench, all)
        let epoch = all[0].epoch
        bench.topics[name(99)] = 1
        let again = restarted(bench)
        again.beat(all[0])
        finish(again, all) { #expect(all[0].epoch == epoch && all[0].owned.count == 40) }
        #expect(all[0].epoch == epoch + 1 && all[0].owned.count == 41)
    }

    /// The others keep what they have until it is known what a new member's pattern matches; a restart forgets neither
    /// who came nor who went meanwhile.
    @Test(arguments: [false, true]) func aNewPatternTakesNothingFromOthersBeforeItIsKnown(restarts: Bool) {
        var bench = GroupBench(topics: world(30))
        var all = consumers("a", "b", "c", pattern: "a.*")
        for _ in 0..<10 where all.contains(where: { $0.owned.count != 10 }) {
            bench.settle(all)
            _ = turn(bench)
        }
        #expect(all.map(\.owned.count) == [10, 10, 10])
        let epoch = all[0].epoch
        // It matches the same topics.
        all.append(contentsOf: consumers("d", pattern: slow))
        bench.beat(all[3])
        bench.ask(all[0].request(epoch: -1))
        all.removeFirst()
        if restarts { bench = restarted(bench) }
        for client in all { bench.beat(client) }
        finish(bench, all) {
            #expect(all.map(\.owned.count) == [10, 10, 0] && all.allSatisfy { $0.epoch == epoch })
        }
        #expect(all.map(\.owned.count) == [10, 10, 10] && all.allSatisfy { $0.epoch == epoch + 1 })
    }

    /// A turn that is used up by others is no reason to give a group nothing.
    @Test func aTurnThatIsUsedUpTakesNothing() {
        let bench = GroupBench(topics: world(30))
        bench.topics["t"] = 4
        let (one, two) = (ConsumerGroupClient("a"), ConsumerGroupClient("b"))
        bench.settle([one, two])
        _ = turn(bench)
        join(consumers("x", pattern: slow)[0], group: "other", bench)
        let epoch = one.epoch
        (two.topics, two.pattern) = ([], "t")
        bench.settle([one, two])
        #expect(one.epoch == epoch && one.owned.count == 2 && two.owned.count == 2)
        _ = turn(bench)
        bench.settle([one, two])
        #expect(one.epoch == epoch + 1 && one.owned.count == 2 && two.owned.count == 2)
    }

    // MARK: Whose turn it is

    /// However much the patterns of other groups cost, one that costs little is known soon.
    @Test func slowPatternsKeepNobodyWaiting() {
        let bench = GroupBench(topics: world(40))
        bench.topics["b"] = 1
        for number in 0..<8 {
            let other = consumers("x", pattern: String(repeating: "a?", count: number) + slow)[0]
            join(other, group: "other-\(number)", bench)
        }
        let one = consumers("a", pattern: "b")[0]
        bench.beat(one)
        var turns = 0
        while one.owned.count == 0, turns < 1_000 {
            let before = bench.coordinator.patterns.meetings
            _ = turn(bench)
            // A slice ends with the first name of a slow pattern; the quick one meets all.
            #expect(bench.coordinator.patterns.meetings - before <= 4 + 41)
            bench.beat(one)
            turns += 1
        }
        #expect(turns <= 6 && bench.coordinator.patterns.isIncomplete)
    }

    /// Nobody waits for a pattern whose members changed their mind.
    @Test func whatNobodyWantsIsGivenUp() {
        let bench = GroupBench(topics: world(40))
        let one = consumers("a", pattern: slow)[0]
        bench.beat(one)
        #expect(bench.coordinator.patterns.isIncomplete)
        (one.topics, one.pattern) = ([name(1)], "")
        bench.settle([one])
        #expect(one.owned.count == 1 && !turn(bench))
    }

    // MARK: What it takes

    /// Topics come and go while a pattern is under way: it meets those that stay, each once.
    @Test func topicsComeAndGoMeanwhile() {
        let bench = GroupBench(topics: world(20))
        let one = consumers("a", pattern: slow)[0]
        bench.beat(one)
        for number in 100..<400 {
            bench.topics[name(number)] = 1
            bench.topics[name(number - 10)] = nil
            if number % 50 == 0 { _ = turn(bench) }
            bench.beat(one)
        }
        #expect(bench.coordinator.patterns.isIncomplete)
        finish(bench, [one])
        let names = (0..<20).map(name) + (390..<400).map(name)
        #expect(one.owned.count == 30 && names.allSatisfy { one.owned.contains(bench.id(of: $0), 0) })
        #expect(bench.coordinator.patterns.matches(slow, in: bench.world)?.names.sorted() == names.sorted())
    }

    /// Each pattern of a group counts for what it takes, once.
    @Test func patternsCountForMemory() {
        let each = TopicPatterns.bytesEach
        let bench = GroupBench()
        let usage = bench.coordinator.usage
        var before = 0
        let costs = ["t", "u", "t"].enumerated().map { number, pattern in
            bench.beat(consumers("\(number)", pattern: pattern)[0])
            defer { before = usage.bytes }
            return usage.bytes - before
        }
        #expect(costs[0] > each && costs[1] > each && costs[2] < each)
        var options = GroupOptions()
        options.totalBytesMax = 3 * each
        let small = GroupBench(options)
        let errors = (0..<4).map { small.beat(consumers("\($0)", pattern: "t\($0)")[0]) }
        #expect(errors == [ErrorCode.none, ErrorCode.none, .limitReached, .limitReached])
        #expect(small.beat(consumers("x", pattern: "t0")[0]) == ErrorCode.none)
    }
}
