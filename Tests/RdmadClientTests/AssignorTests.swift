import Testing
import TransportTestSupport

@testable import RdmadClient

@Suite struct AssignorTests {
    static func member(_ id: String, _ topics: [String], owned: [TopicPartition] = [], generation: Int32 = 1)
        -> GroupMember
    {
        GroupMember(id: id, subscription: .init(topics: topics, owned: owned, generation: generation))
    }

    static func partitions(_ topic: String, _ numbers: [Int]) -> [TopicPartition] {
        numbers.map { TopicPartition(topic, $0) }
    }

    /// The examples of Kafka's documentation of the two.
    @Test func rangeAndRoundRobin() {
        let members = ["C1", "C0"].map { Self.member($0, ["t0", "t1"]) }
        let range = Assignor.range.assign(members, partitionCounts: ["t0": 3, "t1": 3])
        #expect(range["C0"] == Self.partitions("t0", [0, 1]) + Self.partitions("t1", [0, 1]))
        #expect(range["C1"] == Self.partitions("t0", [2]) + Self.partitions("t1", [2]))
        let robin = Assignor.roundRobin.assign(members, partitionCounts: ["t0": 3, "t1": 3])
        #expect(robin["C0"] == Self.partitions("t0", [0, 2]) + Self.partitions("t1", [1]))
        #expect(robin["C1"] == Self.partitions("t0", [1]) + Self.partitions("t1", [0, 2]))
        let unequal = [
            Self.member("C0", ["t0"]), Self.member("C1", ["t0", "t1"]), Self.member("C2", ["t0", "t1", "t2"]),
        ]
        let counts = ["t0": 1, "t1": 2, "t2": 3]
        let other = Assignor.roundRobin.assign(unequal, partitionCounts: counts)
        #expect(other["C0"] == Self.partitions("t0", [0]))
        #expect(other["C1"] == Self.partitions("t1", [0]))
        #expect(other["C2"] == Self.partitions("t1", [1]) + Self.partitions("t2", [0, 1, 2]))
    }

    @Test func staticMembersComeFirstInTheOrderOfTheirNames() {
        var members = ["a", "b", "c"].map { Self.member($0, ["t"]) }
        members[2].instanceID = "one"
        members[1].instanceID = "two"
        let plan = Assignor.range.assign(members, partitionCounts: ["t": 3])
        #expect(
            plan == ["c": Self.partitions("t", [0]), "b": Self.partitions("t", [1]), "a": Self.partitions("t", [2])])
    }

    @Test(arguments: Assignor.allCases) func nobodyAndNothing(assignor: Assignor) {
        #expect(assignor.assign([], partitionCounts: ["t": 3]).isEmpty)
        #expect(assignor.assign([Self.member("a", ["gone"])], partitionCounts: ["t": 3]) == ["a": []])
        #expect(assignor.assign([Self.member("a", [])], partitionCounts: [:]) == ["a": []])
    }

    /// Of two that claim the same the later generation is right; of the same generation neither.
    @Test func claimsThatContradict() {
        let old = Self.member("a", ["t"], owned: Self.partitions("t", [0, 1]), generation: 4)
        let new = Self.member("b", ["t"], owned: Self.partitions("t", [0, 1]), generation: 5)
        let plan = Assignor.cooperativeSticky.assign([old, new], partitionCounts: ["t": 2])
        #expect(plan["b"]!.count == 1)
        // The other one is on its way from b to a.
        #expect(plan["a"]!.isEmpty)
        let twin = Self.member("b", ["t"], owned: Self.partitions("t", [0, 1]), generation: 4)
        let even = Assignor.cooperativeSticky.assign([old, twin], partitionCounts: ["t": 2])
        #expect(even["a"]!.count == 1)
        #expect(even["b"]!.count == 1)
        let wrong = Self.member("a", ["t"], owned: [TopicPartition("t", 7), TopicPartition("u", 0)])
        #expect(
            Assignor.cooperativeSticky.assign([wrong], partitionCounts: ["t": 1, "u": 1])["a"]!
                == Self.partitions("t", [0]))
    }

    struct World: CustomStringConvertible {
        var counts: [String: Int] = [:]
        var members: [GroupMember] = []
        var seed: UInt64
        var description: String { "seed \(seed): \(counts) \(members.map { ($0.id, $0.subscription.topics) })" }

        init(seed: UInt64, isUniform: Bool) {
            self.seed = seed
            var random = SplitMix(state: seed)
            for topic in 0...random.next() % 4 { counts["t\(topic)"] = Int(random.next() % 12) }
            let all = counts.keys.sorted()
            for number in 0...random.next() % 6 {
                let topics = isUniform ? all : all.filter { _ in random.next() % 3 > 0 }
                members.append(AssignorTests.member("m\(number)", topics))
            }
        }

        /// What somebody subscribes to.
        var wanted: Set<TopicPartition> {
            Set(
                counts.filter { topic, _ in members.contains { $0.subscription.topics.contains(topic) } }
                    .flatMap { topic, count in (0..<count).map { TopicPartition(topic, $0) } })
        }
    }

    /// Checks what every assignment must hold; returns how many each member got.
    static func check(_ plan: [String: [TopicPartition]], _ world: World, isWhole: Bool = true) {
        let all = plan.values.flatMap { $0 }
        #expect(Set(all).count == all.count, "twice: \(world)")
        #expect(Set(plan.keys) == Set(world.members.map(\.id)))
        if isWhole { #expect(Set(all) == world.wanted, "\(world)") }
        for member in world.members {
            #expect(plan[member.id]!.allSatisfy { member.subscription.topics.contains($0.topic) }, "\(world)")
            #expect(plan[member.id]! == plan[member.id]!.sorted())
        }
    }

    static func spread(_ plan: [String: [TopicPartition]]) -> Int {
        plan.values.map(\.count).max()! - plan.values.map(\.count).min()!
    }

    @Test(arguments: Assignor.allCases, [true, false])
    func everythingOnceAndDeterministic(assignor: Assignor, isUniform: Bool) {
        for seed in UInt64(1)...400 {
            var world = World(seed: seed, isUniform: isUniform)
            let plan = assignor.assign(world.members, partitionCounts: world.counts)
            Self.check(plan, world)
            if isUniform, assignor != .range { #expect(Self.spread(plan) <= 1, "\(world)") }
            world.members.reverse()
            #expect(assignor.assign(world.members, partitionCounts: world.counts) == plan, "\(world)")
        }
    }

    /// Nobody could take a partition from a member that has two more.
    @Test func stickyIsBalancedAmongUnequalSubscriptions() {
        for seed in UInt64(1)...400 {
            let world = World(seed: seed, isUniform: false)
            let plan = Assignor.cooperativeSticky.assign(world.members, partitionCounts: world.counts)
            for taker in world.members {
                for (giver, given) in plan where given.count >= plan[taker.id]!.count + 2 {
                    #expect(
                        !given.contains { taker.subscription.topics.contains($0.topic) },
                        "\(giver) has more than \(taker.id); \(world)")
                }
            }
        }
    }

    /// Members come and go, partitions are added. Rounds follow until nothing moves. In each, a member gets
    /// nothing that another one still has; at the end all is balanced; no more moved than had to.
    @Test func cooperativeRoundsSettle() {
        for seed in UInt64(1)...200 {
            var world = World(seed: seed, isUniform: true)
            var random = SplitMix(state: ~seed)
            var generation: Int32 = 0
            for step in 0..<8 {
                let before = Dictionary(uniqueKeysWithValues: world.members.map { ($0.id, Set($0.subscription.owned)) })
                var rounds = 0
                while true {
                    rounds += 1
                    generation += 1
                    let plan = Assignor.cooperativeSticky.assign(world.members, partitionCounts: world.counts)
                    Self.check(plan, world, isWhole: false)
                    var isSettled = true
                    for index in world.members.indices {
                        let member = world.members[index]
                        let mine = Set(plan[member.id]!)
                        for other in world.members where other.id != member.id {
                            #expect(mine.isDisjoint(with: other.subscription.owned), "not revoked yet: \(world)")
                        }
                    }
                    for index in world.members.indices {
                        let owned = plan[world.members[index].id]!
                        if !Set(world.members[index].subscription.owned).isSubset(of: owned) { isSettled = false }
                        world.members[index].subscription.owned = owned
                        world.members[index].subscription.generation = generation
                    }
                    if isSettled { break }
                }
                #expect(rounds <= 2, "\(rounds) rounds, step \(step): \(world)")
                let plan = Dictionary(uniqueKeysWithValues: world.members.map { ($0.id, $0.subscription.owned) })
                Self.check(plan, world)
                #expect(Self.spread(plan) <= 1, "\(world)")
                let total = world.wanted.count
                let (each, extra) = total.quotientAndRemainder(dividingBy: world.members.count)
                // The most that could stay: who had most may have one more.
                let sizes = before.values.map(\.count).sorted(by: >)
                let keepable = sizes.enumerated().reduce(0) { $0 + min($1.element, each + ($1.offset < extra ? 1 : 0)) }
                let kept = plan.reduce(0) { $0 + Set($1.value).intersection(before[$1.key]!).count }
                #expect(kept == keepable, "kept \(kept) of \(keepable), step \(step): \(world)")
                switch random.next() % 3 {
                case 0: world.members.append(Self.member("n\(step)", world.counts.keys.sorted(), generation: -1))
                case 1:
                    if world.members.count > 1 {
                        world.members.remove(at: Int(random.next() % UInt64(world.members.count)))
                    }
                default: world.counts["t0"]! += 1
                }
            }
        }
    }
}
