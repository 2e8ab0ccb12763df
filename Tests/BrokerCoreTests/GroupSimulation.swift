import TopicProtocol

@testable import BrokerCore

/// Clients that join, leave, die, come back, are late and commit, from a seed, on a coordinator whose log is slow,
/// fails and loses its process; and what must hold all the time.
final class GroupSimulation {
    struct Failure: Error, CustomStringConvertible { let description: String }

    /// One client: what it believes, and the question that it waits for.
    final class Client {
        let group: String
        let instance: String?
        var id = ""
        var generation: Int32 = -1
        var isMember = false
        var question: UInt32?
        var isJoining = false
        /// It does nothing until then.
        var silentUntil: UInt64 = 0
        var beatAt: UInt64 = 0
        let session: UInt32
        let rebalance: UInt32

        init(group: String, instance: String?, session: UInt32, rebalance: UInt32) {
            self.group = group
            self.instance = instance
            self.session = session
            self.rebalance = rebalance
        }

        var caller: GroupCaller {
            GroupCaller(group: group, generation: generation, memberID: id, instanceID: instance)
        }
    }

    /// Who owns what in one generation of a group: told by SYNC_GROUP's answers.
    private struct Generation: Hashable {
        let group: String
        let number: Int32
    }

    private var random: SplitMix
    private var bench: GroupBench
    private var clients: [Client] = []
    private var owners: [Generation: [UInt8: String]] = [:]
    private var leaders: [Generation: String] = [:]
    private var lastGeneration: [String: Int32] = [:]
    private var unrestSince: [String: UInt64] = [:]
    /// Milliseconds of every client's time-outs and of what may prolong a gathering, with room.
    private static let restlessMax: UInt64 = 240_000
    private static let partitions: UInt8 = 12
    private(set) var generations = 0
    private(set) var commits = 0

    init(seed: UInt64) {
        random = SplitMix(state: seed)
        bench = GroupBench()
        for number in 0..<(4 + pick(8)) {
            clients.append(
                Client(
                    group: "g\(pick(2))", instance: pick(3) == 0 ? "box-\(number)" : nil,
                    session: UInt32(6_000 + pick(20_000)), rebalance: UInt32(5_000 + pick(40_000))))
        }
    }

    private func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }

    func run(steps: Int) throws {
        for _ in 0..<steps {
            bench.pass(milliseconds: UInt64(50 + pick(1_500)))
            switch pick(40) {
            case 0: bench.outcome = nil
            case 1: bench.release(pick(4) == 0 ? .storageError : ErrorCode.none)
            case 2: bench.outcome = pick(5) == 0 ? .storageError : ErrorCode.none
            case 3 where pick(10) == 0: restart()
            default: break
            }
            for client in clients where bench.now >= client.silentUntil { try act(client) }
            try check()
        }
        // Nobody does anything any more: whatever was asked is answered, every group ends.
        bench.outcome = ErrorCode.none
        bench.release()
        bench.pass(milliseconds: 3_600_000)
        for question in 1...max(bench.asked, 1) where bench.asked > 0 && bench.answers[question] == nil {
            throw Failure(description: "question \(question) was never answered")
        }
        for group in ["g0", "g1"] {
            guard let state = bench.state(group) else { continue }
            try expect(state == "Empty", "group \(group) is \(state) without members")
            _ = bench.ask(.delete(group: group))
        }
        let usage = bench.coordinator.usage
        try expect(
            usage.bytes == 0 && usage.offsets == 0 && bench.coordinator.writingBytes == 0,
            "\(usage.bytes) bytes and \(usage.offsets) offsets are counted of what is gone")
    }

    private func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw Failure(description: what()) }
    }

    /// The process ends: what was not durable is gone, and so is every question.
    private func restart() {
        bench = GroupBench(log: bench.log, now: bench.now)
        for client in clients { client.question = nil }
        lastGeneration = [:]
        unrestSince = [:]
        for group in ["g0", "g1"] {
            let stored = bench.describe(group)?.generation ?? 0
            lastGeneration[group] = stored
            // A generation whose assignments were not stored never was.
            for key in owners.keys where key.group == group && key.number > stored { owners[key] = nil }
            for key in leaders.keys where key.group == group && key.number > stored { leaders[key] = nil }
        }
    }

    private func act(_ client: Client) throws {
        if let question = client.question {
            guard let answer = bench.answers[question] else {
                // Its connection broke: it asks again, over another one.
                if client.isJoining, pick(20) == 0 { join(client) }
                return
            }
            client.question = nil
            return try take(answer, client)
        }
        switch pick(60) {
        case 0:  // dies, or stops for a while
            client.silentUntil = bench.now + UInt64(pick(60_000)) * 1_000_000
            if pick(2) == 0 { forget(client) }
        case 1 where client.isMember:
            _ = bench.ask(
                .leave(group: client.group, members: [.init(memberID: client.id, instanceID: client.instance)]))
            forget(client)
            client.silentUntil = bench.now + UInt64(pick(20_000)) * 1_000_000
        case 2...5 where client.isMember: try commit(client)
        default:
            if !client.isMember { return join(client) }
            guard bench.now >= client.beatAt else { return }
            client.beatAt = bench.now + UInt64(client.session) * 333_333
            let error = bench.error(of: .heartbeat(client.caller))
            if error == .rebalanceInProgress { join(client) } else if error != ErrorCode.none { forget(client) }
        }
    }

    private func forget(_ client: Client) {
        client.isMember = false
        client.id = ""
        client.generation = -1
        client.question = nil
    }

    private func join(_ client: Client) {
        client.isMember = false
        client.isJoining = true
        // Who has a name of its own may have lost its id.
        if client.instance != nil, pick(10) == 0 { client.id = "" }
        client.question = bench.ask(
            .join(
                JoinGroup(
                    group: client.group, memberID: client.id, instanceID: client.instance, clientID: "c",
                    protocols: [GroupProtocol(name: "range", metadata: [UInt8(pick(3))])],
                    sessionTimeoutMilliseconds: client.session, rebalanceTimeoutMilliseconds: client.rebalance)))
    }

    private func take(_ answer: GroupAnswer, _ client: Client) throws {
        switch answer.body {
        case .join(let join) where answer.error == .memberIDRequired: client.id = join.memberID
        case .join(let join): try joined(join, client)
        case .sync(let sync):
            client.isMember = true
            client.beatAt = bench.now
            try own(sync.assignment, client)
        default: if ![.rebalanceInProgress, .coordinatorNotAvailable].contains(answer.error) { forget(client) }
        }
    }

    private func joined(_ join: JoinGroupAnswer, _ client: Client) throws {
        let generation = Generation(group: client.group, number: join.generation)
        try expect(
            join.generation >= lastGeneration[client.group] ?? 0,
            "generation \(join.generation) of \(client.group) after \(lastGeneration[client.group] ?? 0)")
        if join.generation > lastGeneration[client.group] ?? 0 { generations += 1 }
        lastGeneration[client.group] = join.generation
        try expect(join.protocolName == "range" && join.protocolType == "consumer", "another protocol")
        // A static member that leads may have come back under another id.
        if client.instance == nil, !join.skipsAssignment {
            let leader = leaders[generation] ?? join.leader
            try expect(leader == join.leader || isStatic(join), "two leaders in generation \(join.generation)")
            leaders[generation] = leader
        }
        client.id = join.memberID
        client.generation = join.generation
        var assignments: [MemberAssignment] = []
        if join.leader == join.memberID {
            let ids = join.members.map(\.memberID)
            try expect(ids.contains(join.leader) && Set(ids).count == ids.count, "a leader that is no member")
            if !join.skipsAssignment {
                assignments = ids.enumerated().map { place, id in
                    let share = (0..<Self.partitions).filter { Int($0) % ids.count == place }
                    return MemberAssignment(memberID: id, assignment: share)
                }
            }
        }
        // Sometimes it never asks.
        guard pick(30) != 0 else { return forget(client) }
        client.isJoining = false
        client.question = bench.ask(.sync(SyncGroup(caller: client.caller, assignments: assignments)))
    }

    private func isStatic(_ join: JoinGroupAnswer) -> Bool { join.leader.hasPrefix("box-") }

    private func own(_ assignment: [UInt8], _ client: Client) throws {
        let generation = Generation(group: client.group, number: client.generation)
        let name = client.instance ?? client.id
        for partition in assignment {
            let owner = owners[generation, default: [:]][partition] ?? name
            try expect(owner == name, "\(owner) and \(name) own \(partition) in generation \(client.generation)")
            owners[generation, default: [:]][partition] = name
        }
    }

    private func commit(_ client: Client) throws {
        let current = bench.describe(client.group)
        var caller = client.caller
        if pick(5) == 0 { caller.generation -= 1 }
        let question = bench.ask(.commit(caller, GroupBench.offsets(Int64(pick(1_000)))))
        guard let error = bench.error(question), error == .none else { return }
        commits += 1
        try expect(
            current?.generation == caller.generation && current?.members.contains { $0.memberID == client.id } == true,
            "a commit of generation \(caller.generation) in generation \(current?.generation ?? -1)")
    }

    /// A group settles in time.
    private func check() throws {
        for group in ["g0", "g1"] {
            guard let found = bench.describe(group), found.state == "PreparingRebalance" else { continue }
            // Each generation is left once.
            let key = "\(group) \(found.generation)"
            let since = unrestSince[key] ?? bench.now
            unrestSince[key] = since
            try expect(
                bench.now - since < Self.restlessMax * 1_000_000,
                "\(group) has gathered for \((bench.now - since) / 1_000_000) ms")
        }
    }
}

/// A random sequence from a seed.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
