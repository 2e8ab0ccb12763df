import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// What groups of KIP-848 cost: counted, and not timed.
@Suite struct ConsumerGroupScaleTests {
    private func world(_ count: Int) -> TestTopics {
        TestTopics(Dictionary(uniqueKeysWithValues: (0..<count).map { ("t\($0)", 1) }))
    }

    /// Members by turns, half of them with either pattern.
    private func members(_ count: Int) -> [ConsumerGroupClient] {
        (0..<count).map { ConsumerGroupClient("m\($0)", topics: [], pattern: $0 % 2 == 0 ? "t.*" : "t[0-9]+") }
    }

    /// A join is not paid for with each member's topics: all with the same wish share one look at them.
    @Test func joinsShareWhatIsFound() {
        let (topics, count) = (200, 60)
        let bench = GroupBench(topics: world(topics))
        let all = members(count)
        for member in all { #expect(bench.beat(member) == ErrorCode.none) }
        #expect(bench.coordinator.patterns.meetings == 2 * topics)
        // Each of the two wishes is looked up when it comes.
        #expect(bench.world.lookUps < 4 * topics)
        bench.settle(all)
        #expect(all.reduce(0) { $0 + $1.owned.count } == topics)
    }

    /// What is new meets each pattern once, in whatever group; what was there before meets none again.
    @Test func aNewTopicMeetsEachPatternOnce() {
        let topics = 200
        let bench = GroupBench(topics: world(topics))
        let all = members(10)
        let other = ConsumerGroupClient("x", topics: [], pattern: "t.*")
        func beatAll() {
            bench.settle(all)
            for _ in 0..<4 {
                let question = bench.ask(other.request(group: "other"))
                if let answer = bench.heartbeat(question) { other.take(answer) }
            }
        }
        beatAll()
        let patterns = bench.coordinator.patterns
        #expect(patterns.meetings == 2 * topics)
        bench.topics["t-new"] = 1
        beatAll()
        #expect(patterns.meetings == 2 * topics + 2)
        #expect(all.reduce(0) { $0 + $1.owned.count } == topics + 1 && other.owned.count == topics + 1)
        bench.topics["t7"] = nil
        beatAll()
        bench.topics["t7"] = 1
        beatAll()
        #expect(patterns.meetings == 2 * topics + 4)
        #expect(all.reduce(0) { $0 + $1.owned.count } == topics + 1 && other.owned.count == topics + 1)
    }

    /// One turn takes so many steps; the group hears of the rest at a later heartbeat.
    @Test func whatTakesLongGoesOnInOtherTurns() {
        let topics = 100
        let name = { (number: Int) in String(repeating: "a", count: 240) + "\(number)" }
        let bench = GroupBench(
            topics: TestTopics(Dictionary(uniqueKeysWithValues: (0..<topics).map { (name($0), 1) })))
        let one = ConsumerGroupClient("a", topics: [], pattern: "(a?){80}(a*)*.*")
        let patterns = bench.coordinator.patterns
        bench.beat(one)
        let atOnce = patterns.meetings
        #expect(atOnce < topics && patterns.isIncomplete)
        var turns = 0
        while patterns.isIncomplete, turns < 1_000 {
            let before = patterns.meetings
            bench.coordinator.advance(now: bench.now)
            #expect(patterns.meetings - before <= atOnce + 1)
            turns += 1
        }
        #expect(patterns.meetings == topics)
        bench.settle([one])
        #expect(one.owned.count == topics)
    }

    /// Each costs as much as all topics.
    @Test func patternsOfOneGroupAreBounded() {
        var options = GroupOptions()
        options.groupPatternsMax = 2
        let bench = GroupBench(options)
        let all = ["t.*", "u.*", "v.*"].enumerated().map {
            ConsumerGroupClient("m\($0.offset)", topics: [], pattern: $0.element)
        }
        #expect(all.map { bench.beat($0) } == [ErrorCode.none, ErrorCode.none, .groupMaxSizeReached])
        all[2].pattern = "u.*"
        #expect(bench.beat(all[2]) == ErrorCode.none)
        // Who is the only one with a pattern may change it.
        all[0].pattern = "w.*"
        #expect(bench.beat(all[0]) == ErrorCode.none)
        all[1].pattern = "x.*"
        #expect(bench.beat(all[1]) == .groupMaxSizeReached)
    }

    /// Members may want other topics beside what the same pattern matches.
    @Test func onePatternWithManyListsOfTopicsIsOne() {
        var options = GroupOptions()
        options.groupPatternsMax = 2
        let bench = GroupBench(options)
        let all = (0..<5).map { ConsumerGroupClient("m\($0)", topics: ["u\($0)"], pattern: "t.*") }
        for member in all { #expect(bench.beat(member) == ErrorCode.none) }
        all[1].pattern = "u.*"
        #expect(bench.beat(all[1]) == ErrorCode.none)
        // Others still have the one that it would leave.
        all[2].pattern = "v.*"
        #expect(bench.beat(all[2]) == .groupMaxSizeReached)
        // Nobody else has this one.
        all[1].pattern = "v.*"
        #expect(bench.beat(all[1]) == ErrorCode.none)
    }
}
