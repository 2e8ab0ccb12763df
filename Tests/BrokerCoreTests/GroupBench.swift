import Testing
import TopicProtocol

@testable import BrokerCore

/// A coordinator without a broker: time and the log are the test's.
final class GroupBench {
    let coordinator: GroupCoordinator
    private(set) var now: UInt64
    let world: TestTopics
    /// Partitions by topic.
    var topics: [String: Int] {
        get { world.partitions }
        set { world.partitions = newValue }
    }
    /// What the log holds, by key.
    private(set) var log: [[UInt8]: [UInt8]] = [:]
    /// What writes come to; nil keeps them waiting in ``held``.
    var outcome: ErrorCode? = ErrorCode.none
    private(set) var held: [GroupWrite] = []
    private(set) var answers: [UInt32: GroupAnswer] = [:]
    private(set) var asked: UInt32 = 0

    init(
        _ options: GroupOptions = GroupOptions(), log: [[UInt8]: [UInt8]] = [:], now: UInt64 = 1_000_000_000_000,
        isLoaded: Bool = true, topics: TestTopics = TestTopics()
    ) {
        self.now = now
        world = topics
        coordinator = GroupCoordinator(options: options, topics: topics)
        coordinator.setClock(now: now, nowMilliseconds: 1_700_000_000_000 + Int64(now / 1_000_000))
        self.log = log
        for (key, value) in log { load(key, value) }
        if isLoaded { coordinator.finishLoading() }
    }

    private func load(_ key: [UInt8], _ value: [UInt8]) {
        let record = unsafe key.withUnsafeBytes { key in
            unsafe value.withUnsafeBytes { unsafe GroupRecord(key: key, value: $0) }
        }
        if let record { coordinator.load(record) } else { Issue.record("a record that is not understood") }
    }

    /// Asks; the number of the question.
    @discardableResult func ask(_ request: GroupRequest) -> UInt32 {
        asked += 1
        coordinator.handle(
            request, from: ProduceOrigin(door: 0, session: 1, requestID: asked), host: "here", now: now)
        settle()
        return asked
    }

    @discardableResult func ask(_ heartbeat: ConsumerGroupHeartbeat) -> UInt32 {
        asked += 1
        coordinator.handle(
            heartbeat, from: ProduceOrigin(door: 0, session: 1, requestID: asked), host: "here", now: now)
        settle()
        return asked
    }

    /// Commits in a transaction; the number of the question.
    @discardableResult func commit(
        _ caller: GroupCaller, _ offset: Int64 = 7, in producerID: Int64, partitions: [UInt32] = [0]
    ) -> UInt32 {
        asked += 1
        coordinator.commit(
            caller, Self.offsets(offset, partitions: partitions), in: ProducerEpoch(producerID: producerID, epoch: 0),
            ProduceOrigin(door: 0, session: 1, requestID: asked), now: now)
        settle()
        return asked
    }

    /// Lets time pass, in steps that no deadline is lost in.
    func pass(milliseconds: UInt64) {
        let end = now + milliseconds * 1_000_000
        while now < end {
            now = min(end, max(now + 1, coordinator.nextDeadline))
            coordinator.advance(now: now)
            settle()
        }
    }

    /// Lets time pass in which nothing is done, as in a long turn.
    func stand(milliseconds: UInt64) { now += milliseconds * 1_000_000 }

    /// Ends the writes that waited.
    func release(_ error: ErrorCode = .none) {
        let writes = held
        held = []
        for write in writes { finish(write, error) }
        settle()
    }

    /// Ends the first of them well.
    func releaseFirst() {
        finish(held.removeFirst(), .none)
        settle()
    }

    private func finish(_ write: GroupWrite, _ error: ErrorCode) {
        if error == .none { for (key, value) in write.records { log[key] = value } }
        coordinator.finish(write.token, error: error)
    }

    private func settle() {
        while coordinator.hasWrites {
            for write in coordinator.takeWrites() {
                if let outcome { finish(write, outcome) } else { held.append(write) }
            }
        }
        for answer in coordinator.takeAnswers() {
            #expect(answers[answer.origin.requestID] == nil, "request \(answer.origin.requestID) was answered twice")
            #expect((answer.error == .none) == answer.text.isEmpty)
            answers[answer.origin.requestID] = answer
        }
    }

    // MARK: Shorthands

    func error(_ question: UInt32) -> ErrorCode? { answers[question]?.error }
    func error(of request: GroupRequest) -> ErrorCode? { error(ask(request)) }

    func joined(_ question: UInt32) -> JoinGroupAnswer? {
        if case .join(let join) = answers[question]?.body { join } else { nil }
    }

    func assignment(_ question: UInt32) -> [UInt8]? {
        if case .sync(let sync) = answers[question]?.body { sync.assignment } else { nil }
    }

    func errors(_ question: UInt32) -> [ErrorCode] {
        if case .errors(let list) = answers[question]?.body { list.errors } else { [] }
    }

    func describe(_ group: String = "g") -> GroupDescription? {
        if case .description(let found) = answers[ask(.describe(group: group))]?.body { found } else { nil }
    }

    func state(_ group: String = "g") -> String? { describe(group)?.state }

    func fetch(_ group: String = "g", _ topic: String = "t", _ partition: UInt32 = 0) -> TopicOffsets.Partition? {
        let scope = OffsetFetchScope.partitions([TopicPartitions(topic: topic, partitions: [partition])])
        let question = ask(.fetch(OffsetFetch(group: group, scope: scope)))
        if case .offsets(let found) = answers[question]?.body { return found.topics.first?.partitions.first }
        return nil
    }

    static func request(
        _ id: String = "", group: String = "g", instance: String? = nil, type: String = "consumer",
        protocols: [String] = ["range"], metadata: [UInt8]? = nil, session: UInt32 = 10_000,
        rebalance: UInt32 = 60_000
    ) -> JoinGroup {
        JoinGroup(
            group: group, memberID: id, instanceID: instance, clientID: "c", protocolType: type,
            protocols: protocols.map { GroupProtocol(name: $0, metadata: metadata ?? Array($0.utf8)) },
            sessionTimeoutMilliseconds: session, rebalanceTimeoutMilliseconds: rebalance)
    }

    /// Asks for a member id.
    func newID(_ request: JoinGroup = GroupBench.request()) -> String {
        let question = ask(.join(request))
        #expect(error(question) == .memberIDRequired)
        return joined(question)?.memberID ?? ""
    }

    /// A group with members, in generation 1, each with an assignment of its own number. Their ids.
    func stableGroup(_ count: Int, _ request: JoinGroup = GroupBench.request()) -> [String] {
        var request = request
        var ids: [String] = []
        var questions: [UInt32] = []
        for _ in 0..<count {
            request.memberID = ""
            let id = newID(request)
            request.memberID = id
            ids.append(id)
            questions.append(ask(.join(request)))
        }
        for _ in 0..<30 where joined(questions[0]) == nil { pass(milliseconds: 1_000) }
        #expect(questions.allSatisfy { joined($0)?.generation == 1 })
        syncAll(ids, group: request.group, generation: 1)
        return ids
    }

    /// Syncs, the first one last and as the leader; each gets its place in the list.
    func syncAll(_ ids: [String], group: String = "g", generation: Int32) {
        let given = ids.enumerated().map { MemberAssignment(memberID: $1, assignment: [UInt8(truncatingIfNeeded: $0)]) }
        var questions = ids.dropFirst().map {
            ask(.sync(SyncGroup(caller: GroupCaller(group: group, generation: generation, memberID: $0))))
        }
        #expect(questions.allSatisfy { answers[$0] == nil })
        let leader = GroupCaller(group: group, generation: generation, memberID: ids[0])
        questions.insert(ask(.sync(SyncGroup(caller: leader, assignments: given))), at: 0)
        if outcome == ErrorCode.none { #expect(questions.map { assignment($0) } == given.map(\.assignment)) }
    }

    func beat(_ id: String, _ generation: Int32, group: String = "g", instance: String? = nil) -> ErrorCode? {
        error(
            of: .heartbeat(
                GroupCaller(group: group, generation: generation, memberID: id, instanceID: instance)))
    }

    static func offsets(
        _ offset: Int64 = 7, topic: String = "t", partitions: [UInt32] = [0], metadata: String = ""
    ) -> [TopicOffsets] {
        [
            TopicOffsets(
                topic: topic,
                partitions: partitions.map { .init(partition: $0, offset: offset, leaderEpoch: 0, metadata: metadata) })
        ]
    }
}
