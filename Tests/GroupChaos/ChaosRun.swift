import Foundation
import RdmadClient
import TransportTestSupport

/// The conductor: starts everybody, kills, stops, ends, checks.
struct ChaosRun {
    let url: String
    let seconds: Int
    let seed: UInt64
    let directory: String

    /// A place in the play, taken by one process after another.
    private struct Role {
        var words: [String]
        var name: String
        var incarnation = 0
        var child: ChildProcess?
        var isProducer: Bool { words[0] == "produce" }
    }

    func run() async throws {
        let broker = try BrokerAddress(url)
        let admin = Admin(broker: broker)
        defer { admin.close() }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try await admin.createTopic(Chaos.topic, partitions: Chaos.partitions)
        var roles = (0..<Chaos.producers).map { Role(words: ["produce", url], name: "p\($0)") }
        for group in Chaos.groups.keys.sorted() {
            roles += (0..<Chaos.membersPerGroup).map { Role(words: ["consume", url, group], name: "\(group)\($0)") }
        }
        for index in roles.indices { try start(&roles[index]) }
        let (kills, stops) = try await disturb(&roles)
        for role in roles where role.isProducer { role.child!.signal(SIGTERM) }
        for role in roles where role.isProducer {
            let status = role.child!.wait()
            try expect(status == 0, "producer \(role.name).\(role.incarnation) ended with \(status); seed \(seed)")
        }
        try await settle(admin)
        for role in roles where !role.isProducer { role.child!.signal(SIGTERM) }
        for role in roles where !role.isProducer {
            let status = role.child!.wait()
            try expect(status == 0, "member \(role.name).\(role.incarnation) ended with \(status); seed \(seed)")
        }
        try await waitUntilEmpty(admin)
        let check = try await ChaosCheck(broker: broker, directory: directory, seed: seed)
        try check.producers(roles.filter(\.isProducer).map(\.name))
        let read = try Chaos.groups.keys.sorted().map { group in
            try check.group(roles.filter { $0.words.last == group }.map(\.name), group)
        }
        let (group, _) = Chaos.groups.min { $0.key < $1.key }!
        try check.control(
            roles.filter(\.isProducer).map(\.name), roles.filter { $0.words.last == group }.map(\.name), group)
        print(
            "seed \(seed): \(check.recordCount) records, \(kills) kills, \(stops) stops; "
                + "each record was read \(read) times; all well"
        )
    }

    private func start(_ role: inout Role) throws {
        role.incarnation += 1
        let name = "\(role.name).\(role.incarnation)"
        let program = ChildProcess.programs.appendingPathComponent("group-chaos").path
        role.child = try ChildProcess([program] + role.words + [name, "\(directory)/\(name)"], output: 1, error: 2)
    }

    /// One is killed each second; now and then one is stopped for twice a session.
    private func disturb(_ roles: inout [Role]) async throws -> (kills: Int, stops: Int) {
        var random = SplitMix(state: seed)
        var kills = 0
        var stops = 0
        var stopped: (index: Int, until: Date)?
        let end = Date() + Double(seconds)
        while Date() < end {
            try await Task.sleep(nanoseconds: 1_000_000_000)
            if let (index, until) = stopped, Date() >= until {
                roles[index].child!.signal(SIGCONT)
                stopped = nil
            }
            if stopped == nil, stops == 0 || random.next() % 8 == 0 {
                // First a member: they have sessions.
                let from = stops == 0 ? Chaos.producers : 0
                let index = from + Int(random.next() % UInt64(roles.count - from))
                roles[index].child!.signal(SIGSTOP)
                stopped = (index, Date() + 2 * Double(Chaos.sessionMilliseconds) / 1000)
                stops += 1
            }
            let victim = Int(random.next() % UInt64(roles.count))
            guard victim != stopped?.index else { continue }
            try expect(
                roles[victim].child!.isRunning, "\(roles[victim].name).\(roles[victim].incarnation) ended by itself")
            roles[victim].child!.kill()
            kills += 1
            try start(&roles[victim])
        }
        if let stopped { roles[stopped.index].child!.signal(SIGCONT) }
        for role in roles { try expect(role.child!.isRunning, "\(role.name).\(role.incarnation) ended by itself") }
        return (kills, stops)
    }

    /// Waits until the groups are empty. Who had just been expelled, and was about to join again when it was ended, has
    /// no id to leave with: its session is waited for.
    private func waitUntilEmpty(_ admin: Admin) async throws {
        let deadline = Date() + 3 * Double(Chaos.sessionMilliseconds) / 1000
        for group in Chaos.groups.keys {
            while true {
                let state = try await admin.describeGroup(group).state
                if state == "Empty" { break }
                try expect(Date() < deadline, "group \(group) is \(state) when all have left; seed \(seed)")
                try await Task.sleep(nanoseconds: 50_000_000)
            }
        }
    }

    /// Waits until the groups are whole and have read and committed everything.
    private func settle(_ admin: Admin) async throws {
        let deadline = Date() + 90
        while true {
            var complaint: String?
            let ends = try await admin.describeTopic(Chaos.topic).map(\.endOffset)
            for group in Chaos.groups.keys.sorted() {
                let described = try await admin.describeGroup(group)
                let assigned = described.members.flatMap(\.assignment)
                let offsets = try await admin.groupOffsets(group)
                let lag = ends.enumerated().reduce(0) {
                    $0 + $1.element - (offsets[TopicPartition(Chaos.topic, $1.offset)] ?? 0)
                }
                guard described.state == "Stable", described.members.count == Chaos.membersPerGroup,
                    assigned.count == Chaos.partitions, Set(assigned).count == Chaos.partitions, lag == 0
                else {
                    complaint =
                        "group \(group): \(described.state), \(described.members.count) members, "
                        + "\(assigned.count) assigned, lag \(lag)"
                    break
                }
            }
            guard let complaint else { return }
            try expect(Date() < deadline, "not settled within 90 s: \(complaint); seed \(seed)")
            try await Task.sleep(nanoseconds: 50_000_000)
        }
    }
}
