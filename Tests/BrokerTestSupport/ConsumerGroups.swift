import Foundation
package import RdmadClient
import Synchronization
package import TransportTestSupport

/// A member of a group that reads all the time, and remembers what it saw.
package final class GroupReader: Sendable {
    package let consumer: Consumer
    private let seen: Mutex<[TopicPartition: [Int64]]>
    private let failure: Mutex<ClientError?>

    /// Joins the group of `topics`, with the settings of a test: short times.
    package init(
        _ topics: [String], group: String, broker: BrokerAddress,
        _ adjust: (inout Consumer.Configuration) -> Void = { _ in }
    ) async throws {
        var configuration = Consumer.Configuration()
        configuration.groupID = group
        // Longer than a busy machine keeps a thread waiting.
        configuration.sessionTimeoutMilliseconds = 10_000
        configuration.heartbeatIntervalMilliseconds = 100
        configuration.autoCommitIntervalMilliseconds = 100
        adjust(&configuration)
        consumer = try await Consumer(topics: topics, broker: broker, configuration: configuration)
        seen = Mutex([:])
        failure = Mutex(nil)
        // A thread of its own: tests run on machines with one processor, and tasks share one thread there.
        let thread = Thread { [self] in
            do throws(ClientError) {
                while let batches = try consumer.poll(timeoutMilliseconds: .max) {
                    let name = TopicPartition(batches.topic, batches.partition)
                    seen.withLock { seen in
                        do {
                            try batches.forEachRecord { seen[name, default: []].append($0.offset) }
                        } catch { failure.withLock { $0 = error as? ClientError } }
                    }
                    batches.release()
                }
            } catch { failure.withLock { $0 = error } }
        }
        thread.start()
    }

    /// Offsets of the records that came, in order.
    package func offsets(_ name: TopicPartition) -> [Int64] { seen.withLock { $0[name] ?? [] } }
    package var count: Int { seen.withLock { $0.values.reduce(0) { $0 + $1.count } } }
    package var assignment: Set<TopicPartition> { Set(consumer.assignment) }

    /// Throws what ended the reader.
    package func check() throws { if let error = failure.withLock({ $0 }) { throw error } }
}

/// Waits up to 30 s for something.
package func waitFor(_ what: @autoclosure () -> String, _ condition: () async throws -> Bool) async throws {
    let deadline = Date() + 30
    while try await !condition() {
        try expect(Date() < deadline, "not within 30 s: \(what())")
        try await Task.sleep(nanoseconds: 5_000_000)
    }
}

/// Records for a group to read: so many to each partition.
package func fill(
    _ broker: BrokerAddress, _ topic: String, partitions: Int, count: Int
) async throws {
    let producer = try await Producer(topic: topic, broker: broker)
    defer { producer.close() }
    for number in 0..<count {
        for partition in 0..<partitions { try await producer.send(value: filler(50, number), partition: partition) }
        if number % 20 == 19 { try await producer.flush() }
    }
    try await producer.flush()
}

/// Members come and go in order; between them they read everything, each record once, and what they read is committed.
package func groupLife(_ address: BrokerAddress, assignor: Assignor) async throws {
    let admin = Admin(broker: address)
    defer { admin.close() }
    let (topic, group) = ("life-\(assignor.rawValue)", "group-\(assignor.rawValue)")
    let names = (0..<6).map { TopicPartition(topic, $0) }
    try await admin.createTopic(topic, partitions: 6)
    try await fill(address, topic, partitions: 6, count: 100)
    func member() async throws -> GroupReader {
        try await GroupReader([topic], group: group, broker: address) { $0.assignors = [assignor] }
    }
    var readers = [try await member()]
    func check(_ per: Int64) async throws {
        try await waitFor("all \(per) of each; seen \(readers.map(\.count))") {
            for reader in readers { try reader.check() }
            return readers.reduce(0) { $0 + $1.count } >= Int(per) * 6
        }
        for name in names {
            let all = readers.flatMap { $0.offsets(name) }
            try expect(
                all.sorted() == Array(0..<per), "\(name): \(all.count) records came, \(Set(all).count) different")
        }
    }
    func settled(_ members: ArraySlice<GroupReader>) async throws {
        try await waitFor("the partitions are divided: \(members.map { $0.assignment.count })") {
            let counts = members.map { $0.assignment.count }
            let all = members.reduce(into: Set<TopicPartition>()) { $0.formUnion($1.assignment) }
            return all.count == 6 && counts.reduce(0, +) == 6 && counts.max()! - counts.min()! <= 1
        }
    }
    try await settled(readers[...])
    try await check(100)
    readers.append(try await member())
    readers.append(try await member())
    try await settled(readers[...])
    try await fill(address, topic, partitions: 6, count: 100)
    try await check(200)
    let described = try await admin.describeGroup(group)
    try expect(
        described.state == "Stable" && described.assignor == assignor.rawValue && described.members.count == 3,
        "described as \(described)")
    try expect(
        Set(described.members.flatMap(\.assignment)) == Set(names),
        "assigned are \(described.members.map(\.assignment))")
    // What was seen a moment ago may not have been released.
    try await waitFor("it is committed") { try await admin.groupOffsets(group).values.allSatisfy { $0 == 200 } }
    readers[0].consumer.close()
    try await settled(readers[1...])
    try await fill(address, topic, partitions: 6, count: 100)
    try await check(300)
    for reader in readers { reader.consumer.close() }
    let offsets = try await admin.groupOffsets(group)
    try expect(offsets == Dictionary(uniqueKeysWithValues: names.map { ($0, 300) }), "committed are \(offsets)")
    let state = try await admin.describeGroup(group).state
    try expect(state == "Empty", "the group without members is \(state)")
}

/// A member joins a cooperative group. While the first one is made to take its time over what it gives up, what it
/// keeps goes on.
package func rebalanceWithoutStopping(_ address: BrokerAddress) async throws {
    let admin = Admin(broker: address)
    defer { admin.close() }
    try await admin.createTopic("flow", partitions: 4)
    let revoked = Mutex<Set<TopicPartition>>([])
    let mayGo = Atomic(false)
    let first = try await GroupReader(["flow"], group: "flow", broker: address) { configuration in
        configuration.onRebalance = { event in
            guard case .revoked(let names) = event else { return }
            revoked.withLock { $0.formUnion(names) }
            while !mayGo.load(ordering: .sequentiallyConsistent) { try? await Task.sleep(nanoseconds: 5_000_000) }
        }
        // Patience is half of it.
        configuration.sessionTimeoutMilliseconds = 120_000
    }
    try await waitFor("the first has all") { first.assignment.count == 4 }
    let second = try await GroupReader(["flow"], group: "flow", broker: address)
    try await waitFor("something is revoked") { revoked.withLock { !$0.isEmpty } }
    let kept = revoked.withLock { first.assignment.subtracting($0) }
    try expect(kept.count == 2, "kept are \(kept)")
    let before = kept.map { first.offsets($0).count }
    try await fill(address, "flow", partitions: 4, count: 200)
    try await waitFor("what stays goes on while the rest moves") {
        zip(kept, before).allSatisfy { first.offsets($0).count == $1 + 200 }
    }
    try expect(second.assignment.isEmpty, "the second has \(second.assignment) before the first has let go")
    mayGo.store(true, ordering: .sequentiallyConsistent)
    try await waitFor("the second reads the others") {
        try first.check()
        try second.check()
        return second.count == 400 && second.assignment.isDisjoint(with: first.assignment)
    }
    first.consumer.close()
    second.consumer.close()
}

/// A member of a group in another process: `rdmad consume --group`, a line `PARTITION OFFSET` for each record.
package final class MemberProcess {
    package let child: ChildProcess
    private let path: String

    package init(_ broker: TestBroker, topic: String, group: String, name: String, options: [String] = []) throws {
        path = "\(broker.directory.path)/\(name)"
        let output = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        defer { close(output) }
        let program = ChildProcess.programs.appendingPathComponent("rdmad").path
        child = try ChildProcess(
            [
                program, "consume", topic, "--group", group, "--session-timeout-ms", "1500", "--format", "%p %o\\n",
                "--broker", broker.url,
            ] + options, output: output, error: 2)
    }

    /// What it has written: whole lines only.
    package var records: [TopicPartition: [Int64]] {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        let whole = text.lastIndex(of: "\n").map { text[..<$0] } ?? ""
        var records: [TopicPartition: [Int64]] = [:]
        for line in whole.split(separator: "\n") {
            let numbers = line.split(separator: " ").compactMap { Int64($0) }
            records[TopicPartition("", Int(numbers[0])), default: []].append(numbers[1])
        }
        return records
    }
    package var count: Int { records.values.reduce(0) { $0 + $1.count } }
}

/// Members in processes of their own: one is killed, one is stopped for longer than its session and goes on. Others
/// take over; between them they read everything, and the group comes to rest.
package func killedAndStoppedMembers(_ broker: TestBroker, topic: String, options: [String] = []) async throws {
    let address = try broker.address
    let admin = Admin(broker: address)
    defer { admin.close() }
    try await admin.createTopic(topic, partitions: 6)
    let members = try (0..<3).map {
        try MemberProcess(broker, topic: topic, group: topic, name: "\(topic)-\($0)", options: options)
    }
    func memberCount() async throws -> Int {
        guard try await admin.listGroups().contains(where: { $0.id == topic }) else { return 0 }
        let group = try await admin.describeGroup(topic)
        return group.state == "Stable" && Set(group.members.flatMap(\.assignment)).count == 6
            ? group.members.filter { !$0.assignment.isEmpty }.count : 0
    }
    func produced(_ count: Int) async throws {
        try await waitFor("all \(count) of each: \(members.map(\.count))") {
            var all: [TopicPartition: Set<Int64>] = [:]
            for member in members {
                for (name, offsets) in member.records { all[name, default: []].formUnion(offsets) }
            }
            return all.count == 6 && all.values.allSatisfy { $0.count == count }
        }
    }
    try await waitFor("three members") { try await memberCount() == 3 }
    try await fill(address, topic, partitions: 6, count: 50)
    try await produced(50)
    members[0].child.kill()
    try await fill(address, topic, partitions: 6, count: 50)
    try await waitFor("two members") { try await memberCount() == 2 }
    try await produced(100)
    members[1].child.signal(SIGSTOP)
    try await fill(address, topic, partitions: 6, count: 50)
    try await waitFor("one member") { try await memberCount() == 1 }
    try await produced(150)
    members[1].child.signal(SIGCONT)
    try await waitFor("two members again") { try await memberCount() == 2 }
    try await fill(address, topic, partitions: 6, count: 50)
    try await produced(200)
    // In order, whatever came twice.
    for member in members {
        for (name, offsets) in member.records where Set(offsets).count == offsets.count {
            try expect(offsets == offsets.sorted(), "\(name) came as \(offsets)")
        }
    }
    for member in members[1...] {
        member.child.signal(SIGTERM)
        try expect(member.child.wait() == 0, "a member ended badly")
    }
    let offsets = try await admin.groupOffsets(topic)
    try expect(offsets.count == 6 && offsets.values.allSatisfy { $0 == 200 }, "committed are \(offsets)")
}

/// Producers and two groups with one killed every second (`group-chaos`).
package func chaos(_ broker: TestBroker, seconds: Int, seed: UInt64) throws {
    let program = ChildProcess.programs.appendingPathComponent("group-chaos").path
    let child = try ChildProcess(
        [program, "run", broker.url, "\(seconds)", "\(seed)", "\(broker.directory.path)/chaos"], output: 1, error: 2)
    let status = child.wait()
    try expect(
        status == 0, "group-chaos ended with \(status), seed \(seed); the broker's log: \(broker.log.suffix(4000))")
}
