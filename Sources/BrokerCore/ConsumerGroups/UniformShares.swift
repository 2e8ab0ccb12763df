internal import TopicLog

/// The uniform assignor at work: everybody keeps what is still wanted, the rest goes to who has least, and then who has
/// much gives to who has little.
///
/// Topics that the same members want are of one class: between those members it does not matter which of them moves.
struct UniformShares {
    /// The members of each class, in order.
    private let subscribers: [[Int]]
    /// Each member's classes, in order, and its partitions of them.
    private let classesOf: [[Int]]
    private var held: [[Int: [(topic: TopicUUID, partition: Int32)]]]
    private var load: [Int]
    /// How often ``balance()`` may still look at a member: a group whose members all want something else must not stop
    /// everybody else. What is left as it is then, is less even than it could be, and right.
    private(set) var looksLeft = looksMax
    static let looksMax = 5_000_000

    init(
        _ topics: [TopicUUID: Int], _ members: [PartitionAssignor.Subscriber], _ subscribers: [TopicUUID: [Int]]
    ) {
        var (classes, places, classOf) = ([[Int]: Int](), [[Int]](), [TopicUUID: Int]())
        // Who has a choice waits for those who have less of one.
        let ordered = subscribers.sorted { ($0.value.count, $0.key) < ($1.value.count, $1.key) }
        for (topic, wanting) in ordered {
            let number = classes[wanting] ?? places.count
            if number == places.count {
                classes[wanting] = number
                places.append(wanting)
            }
            classOf[topic] = number
        }
        self.subscribers = places
        var classesOf = [[Int]](repeating: [], count: members.count)
        for (number, wanting) in places.enumerated() {
            for place in wanting { classesOf[place].append(number) }
        }
        self.classesOf = classesOf
        held = Array(repeating: [:], count: members.count)
        load = Array(repeating: 0, count: members.count)
        var isTaken = subscribers.reduce(into: [TopicUUID: [Bool]]()) {
            $0[$1.key] = Array(repeating: false, count: topics[$1.key]!)
        }
        for (place, member) in members.enumerated() {
            for (topic, partitions) in member.previous.sorted where member.topics.contains(topic) {
                guard let number = classOf[topic] else { continue }
                for partition in partitions where partition < topics[topic]! && !isTaken[topic]![Int(partition)] {
                    isTaken[topic]![Int(partition)] = true
                    give(topic, partition, of: number, to: place)
                }
            }
        }
        for (topic, wanting) in ordered {
            for partition in 0..<topics[topic]! where !isTaken[topic]![partition] {
                give(topic, Int32(partition), of: classOf[topic]!, to: wanting.min { load[$0] < load[$1] }!)
            }
        }
    }

    private mutating func give(_ topic: TopicUUID, _ partition: Int32, of number: Int, to place: Int) {
        held[place][number, default: []].append((topic, partition))
        load[place] += 1
    }

    /// Moves partitions, one by one and from who has most, until no move makes it more even.
    mutating func balance() {
        var hasMoved = true
        while hasMoved, looksLeft > 0 {
            hasMoved = false
            var candidates = Set(load.indices)
            while looksLeft > 0, let giver = candidates.max(by: { (load[$0], $1) < (load[$1], $0) }) {
                looksLeft -= candidates.count
                guard let (number, taker) = move(from: giver) else {
                    candidates.remove(giver)
                    continue
                }
                let (topic, partition) = held[giver][number]!.removeLast()
                give(topic, partition, of: number, to: taker)
                load[giver] -= 1
                hasMoved = true
            }
        }
    }

    /// What each member shall have.
    var shares: [PartitionSet] {
        held.map { classes in
            var share = PartitionSet()
            for (topic, partition) in classes.values.joined() { share.insert(topic, partition) }
            return share
        }
    }

    /// The move that helps whoever has least; nil when none helps. Each makes the sum of all squares smaller, so they
    /// end.
    private mutating func move(from giver: Int) -> (number: Int, taker: Int)? {
        let least = load.min()!
        guard load[giver] > least + 1 else { return nil }
        var best: (number: Int, taker: Int)?
        for number in classesOf[giver] where !held[giver][number, default: []].isEmpty {
            looksLeft -= subscribers[number].count
            let taker = subscribers[number].min { load[$0] < load[$1] }!
            if load[taker] < best.map({ load[$0.taker] }) ?? (load[giver] - 1) { best = (number, taker) }
            if load[taker] == least { break }
        }
        return best
    }
}
