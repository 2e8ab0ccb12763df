import Testing
import TopicLog

@testable import BrokerCore

@Suite struct PartitionAssignorTests {
    typealias Subscriber = PartitionAssignor.Subscriber

    private func topic(_ number: UInt64) -> TopicUUID { TopicUUID(high: 1, low: number) }

    private func subscriber(
        _ id: String, _ topics: [UInt64], _ previous: [UInt64: ClosedRange<Int32>] = [:]
    ) -> Subscriber {
        let had = previous.map { (topic($0.key), Set($0.value)) }
        return Subscriber(
            id: id, topics: Set(topics.map(topic)),
            previous: PartitionSet(Dictionary(uniqueKeysWithValues: had)))
    }

    @Test func rangeGivesNeighboursAndAlikeOfEqualTopics() {
        let members = ["a", "b", "c"].map { subscriber($0, [1, 2]) }
        let shares = PartitionAssignor.range.assign([topic(1): 7, topic(2): 7], to: members)
        for number: UInt64 in [1, 2] {
            #expect(shares["a"]?.topics[topic(number)] == [0, 1, 2])
            #expect(shares["b"]?.topics[topic(number)] == [3, 4])
            #expect(shares["c"]?.topics[topic(number)] == [5, 6])
        }
    }

    @Test func uniformMovesAsLittleAsItCan() {
        // 13 partitions for three: 5, 4 and 4. The third takes what the second has too much, and nothing of the first.
        let members = [
            subscriber("a", [1], [1: 0...3]), subscriber("b", [1], [1: 4...12]), subscriber("c", [1]),
        ]
        let shares = PartitionAssignor.uniform.assign([topic(1): 13], to: members)
        #expect(members[0].previous.isSubset(of: shares["a"]!))
        #expect(shares["b"]!.isSubset(of: members[1].previous))
        #expect(shares.values.map(\.count).sorted() == [4, 4, 5])
    }

    @Test func uniformIsAsEvenAsSubscriptionsAllow() {
        let members = [subscriber("a", [1]), subscriber("b", [1, 2]), subscriber("c", [2, 3])]
        let shares = PartitionAssignor.uniform.assign([topic(1): 4, topic(2): 2, topic(3): 1], to: members)
        #expect(shares.values.map(\.count).sorted() == [2, 2, 3])
    }

    /// Any groups, from a seed: every partition of a wanted topic once, to somebody who wants it; no single move makes
    /// it more even; where all want the same nobody loses what it could keep; and the same again moves nothing.
    @Test func anyGroupIsSharedOut() {
        var random = SplitMix(state: 4)
        func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
        for _ in 0..<100 {
            var topics: [TopicUUID: Int] = [:]
            for number in 1...UInt64(1 + pick(5)) { topics[topic(number)] = 1 + pick(12) }
            let same = pick(2) == 0
            func wishes() -> Set<TopicUUID> {
                same ? Set(topics.keys) : Set(topics.keys.sorted().filter { _ in pick(2) == 0 })
            }
            var members: [Subscriber] = []
            for number in 0..<(1 + pick(6)) {
                members.append(Subscriber(id: "m\(number)", topics: wishes(), previous: .init()))
            }
            for _ in 0..<4 {
                let shares = PartitionAssignor.uniform.assign(topics, to: members)
                check(shares, topics, members)
                if same {
                    let count = topics.values.reduce(0, +)
                    for member in members {
                        let kept = shares[member.id]!.intersection(member.previous).count
                        let valid = member.previous.filter { Int($1) < topics[$0] ?? 0 }.count
                        #expect(kept >= min(valid, count / members.count))
                    }
                }
                members = members.map { Subscriber(id: $0.id, topics: $0.topics, previous: shares[$0.id]!) }
                #expect(PartitionAssignor.uniform.assign(topics, to: members) == shares)
                // Somebody comes or goes, a topic grows.
                if pick(2) == 0, members.count > 1 { members.remove(at: pick(members.count)) }
                if pick(2) == 0 {
                    members.append(
                        Subscriber(id: "n\(pick(1_000))x\(members.count)", topics: wishes(), previous: .init()))
                }
                if pick(3) == 0 { topics[topics.keys.sorted()[pick(topics.count)]]! += 1 }
            }
        }
    }

    /// Members that want the same topics and one that gets nothing, which is always the one with least: what moves is
    /// not paid for with each topic again.
    @Test func manyTopicsMoveCheaply() {
        let numbers = Array(1...UInt64(2_000))
        let topics = Dictionary(uniqueKeysWithValues: numbers.map { (topic($0), 1) })
        var had = [UInt64: ClosedRange<Int32>]()
        for number in numbers { had[number] = 0...0 }
        let members = [subscriber("a", numbers, had), subscriber("b", [9_999]), subscriber("c", numbers)]
        var uniform = UniformShares(
            topics, members, Dictionary(uniqueKeysWithValues: numbers.map { (topic($0), [0, 2]) }))
        uniform.balance()
        #expect(uniform.shares.map(\.count) == [1_000, 0, 1_000])
        #expect(UniformShares.looksMax - uniform.looksLeft < 20 * numbers.count)
    }

    /// Each two members have a topic of their own, so that every move looks at everybody: work ends, and everything has
    /// an owner.
    @Test func workIsBounded() {
        let count: UInt64 = 300
        var topics: [TopicUUID: Int] = [:]
        var subscribers: [TopicUUID: [Int]] = [:]
        var members: [Subscriber] = []
        for number in 1...count {
            // The first of the two has it.
            let wanted = (1...count).filter { $0 != number }.map { min($0, number) * 1_000 + max($0, number) }
            for topic in wanted { subscribers[self.topic(topic), default: []].append(Int(number - 1)) }
            for topic in wanted { topics[self.topic(topic)] = 1 }
            let had = wanted.filter { $0 / 1_000 == number }
            members.append(
                subscriber("m\(1_000 + number)", wanted, Dictionary(uniqueKeysWithValues: had.map { ($0, 0...0) })))
        }
        var uniform = UniformShares(topics, members, subscribers)
        uniform.balance()
        #expect(uniform.shares.reduce(0) { $0 + $1.count } == topics.count)
        let counts = uniform.shares.map(\.count)
        #expect(counts.max()! < Int(count) - 1 && counts.min()! > 0, "as even as it came to")
        #expect(uniform.looksLeft <= 0 && uniform.looksLeft > -3 * Int(count))
    }

    private func check(_ shares: [String: PartitionSet], _ topics: [TopicUUID: Int], _ members: [Subscriber]) {
        var owners: [TopicUUID: [Int32: String]] = [:]
        for member in members {
            for (topic, partitions) in shares[member.id]!.topics {
                #expect(member.topics.contains(topic))
                for partition in partitions {
                    #expect(owners[topic, default: [:]].updateValue(member.id, forKey: partition) == nil)
                }
            }
        }
        for (topic, count) in topics {
            let isWanted = members.contains { $0.topics.contains(topic) }
            #expect(owners[topic, default: [:]].count == (isWanted ? count : 0))
        }
        for giver in members {
            for taker in members where shares[giver.id]!.count > shares[taker.id]!.count + 1 {
                #expect(taker.topics.isDisjoint(with: shares[giver.id]!.topics.keys), "one more move would help")
            }
        }
    }
}
