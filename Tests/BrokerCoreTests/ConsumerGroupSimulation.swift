import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Consumers of KIP-848 that join, leave, die, are late, come back and change their minds, from a seed, while topics
/// come, grow and go, and the log is slow, fails and loses its process. What must hold: no partition ever has two
/// owners, and once everybody is calm all partitions have one, evenly, and nobody lost more than the balance took.
final class ConsumerGroupSimulation {
    struct Failure: Error, CustomStringConvertible { let description: String }

    /// A consumer, and the question that it waits for.
    private final class Client {
        let state: ConsumerGroupClient
        let name: Int
        var question: UInt32?
        var asked: UInt64 = 0
        /// Until then the coordinator knows it, if it was told its epoch: it believes to own what it owns.
        var aliveUntil: UInt64 = 0
        var silentUntil: UInt64 = 0
        var lives = 0

        init(_ state: ConsumerGroupClient, name: Int) {
            self.state = state
            self.name = name
        }
    }

    private var random: SplitMix
    private let world = TestTopics(["t": 8, "u": 3])
    private var bench: GroupBench
    private var clients: [Client] = []
    private let isUniform: Bool
    private(set) var calms = 0
    private(set) var fenced = 0
    private(set) var moves = 0

    init(seed: UInt64) {
        random = SplitMix(state: seed)
        bench = GroupBench(topics: world)
        isUniform = seed % 3 != 0
        for number in 0..<(2 + pick(7)) {
            let state = ConsumerGroupClient(
                "c\(number)-0", topics: wish(), instance: pick(3) == 0 ? "box-\(number)" : nil)
            state.assignor = isUniform ? nil : "range"
            clients.append(Client(state, name: number))
        }
    }

    private func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
    private func wish() -> [String] { [["t"], ["t"], ["t", "u"], ["u"], ["t", "later"]][pick(5)] }

    private func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw Failure(description: what()) }
    }

    func run(steps: Int) throws {
        for step in 1...steps {
            bench.pass(milliseconds: UInt64(100 + pick(2_000)))
            switch pick(40) {
            case 0: bench.outcome = nil
            case 1: bench.release(pick(4) == 0 ? .storageError : ErrorCode.none)
            case 2: bench.outcome = pick(5) == 0 ? .storageError : ErrorCode.none
            case 3 where pick(6) == 0: restart()
            case 4: changeTopics()
            default: break
            }
            for client in clients where bench.now >= client.silentUntil {
                try act(client)
                try check()
            }
            if step % 60 == 0 { try calmDown() }
        }
    }

    /// The process ends: what was not durable is gone, and so is every question.
    private func restart() {
        bench = GroupBench(log: bench.log, now: bench.now, topics: world)
        for client in clients { client.question = nil }
    }

    private func changeTopics() {
        switch pick(4) {
        case 0: world.partitions["later"] = world.partitions["later"] == nil ? 1 + pick(4) : nil
        case 1: world.partitions["u"] = (world.partitions["u"] ?? 0) + 1
        case 2 where pick(4) == 0: world.partitions["u"] = nil
        default: world.partitions["t"]! = min(world.partitions["t"]! + 1, 20)
        }
    }

    // MARK: Clients

    private func act(_ client: Client) throws {
        if let question = client.question {
            guard bench.answers[question] != nil else {
                // Its connection broke: it asks again.
                if pick(20) == 0 { ask(client) }
                return
            }
            client.question = nil
            return take(question, client)
        }
        let state = client.state
        switch pick(80) {
        case 0:  // dies, and comes back as somebody else
            client.silentUntil = bench.now + UInt64(pick(60_000)) * 1_000_000
            renew(client)
        case 1:  // stops for a while, and does not know it
            client.silentUntil = bench.now + UInt64(pick(90_000)) * 1_000_000
        case 2 where state.isMember:
            bench.ask(state.request(epoch: state.instance != nil && pick(2) == 0 ? -2 : -1))
            client.silentUntil = bench.now + UInt64(pick(60_000)) * 1_000_000
            renew(client)
        case 3 where state.isMember: state.topics = wish()
        default:
            if bench.now >= client.asked + 3_000_000_000 || !state.isMember { ask(client) }
        }
    }

    private func renew(_ client: Client) {
        client.lives += 1
        client.state.drop()
        client.state.id = "c\(client.name)-\(client.lives)"
        client.question = nil
    }

    private func ask(_ client: Client) {
        client.asked = bench.now
        client.question = bench.ask(client.state.request())
    }

    private func take(_ question: UInt32, _ client: Client) {
        guard let answer = bench.heartbeat(question) else {
            switch bench.error(question) {
            case .coordinatorNotAvailable?, .unreleasedInstanceID?: break
            default:
                fenced += 1
                client.state.drop()
            }
            return
        }
        let before = client.state.owned
        client.state.take(answer)
        moves += client.state.owned.subtracting(before).count
        client.aliveUntil = client.asked + 45_000_000_000
    }

    // MARK: Promises

    private func check() throws {
        var owners: [TopicUUID: [Int32: String]] = [:]
        for client in clients where client.state.isMember && bench.now < client.aliveUntil {
            for (topic, partitions) in client.state.owned.topics {
                for partition in partitions {
                    let other = owners[topic, default: [:]].updateValue(client.state.id, forKey: partition)
                    try expect(other == nil, "\(client.state.id) and \(other ?? "") own \(topic)-\(partition)")
                }
            }
        }
    }

    /// Everybody who lives sends heartbeats and nothing else happens, for three sessions.
    private func calmDown() throws {
        bench.outcome = ErrorCode.none
        bench.release()
        for client in clients {
            client.question = nil
            client.silentUntil = 0
        }
        for _ in 0..<30 {
            for client in clients {
                ask(client)
                take(client.question!, client)
                client.question = nil
                try check()
            }
            bench.pass(milliseconds: 4_500)
        }
        let group = bench.consumerGroup()
        try expect(group?.state == "Stable" && group?.members.count == clients.count, "\(String(describing: group))")
        for (name, count) in world.partitions {
            let wanted = clients.contains { $0.state.topics!.contains(name) }
            let owned = clients.reduce(0) { $0 + ($1.state.owned.topics[bench.id(of: name)]?.count ?? 0) }
            try expect(owned == (wanted ? count : 0), "\(owned) of \(count) partitions of \(name) have an owner")
        }
        for client in clients {
            let ids = Set(client.state.topics!.filter { world.partitions[$0] != nil }.map { bench.id(of: $0) })
            try expect(
                Set(client.state.owned.topics.keys).isSubset(of: ids), "\(client.state.id) owns what it does not want")
        }
        if Set(clients.map(\.state.topics)).count == 1, isUniform {
            let loads = clients.map(\.state.owned.count)
            try expect(loads.max()! - loads.min()! <= 1, "\(loads) is uneven")
        }
        calms += 1
    }
}
