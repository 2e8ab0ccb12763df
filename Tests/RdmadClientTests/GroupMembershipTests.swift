import RDMATransport
import Testing
import TopicProtocol

@testable import RdmadClient

/// A member's side of the group protocol, with the coordinator played by hand.
@Suite struct GroupMembershipTests {
    typealias Harness = ConsumerHarness

    static func member(_ adjust: (inout Consumer.Configuration) -> Void = { _ in }) -> Harness {
        let harness = Harness(.group(["t"], from: .earliest)) { configuration in
            configuration.groupID = "g"
            configuration.maxPollIntervalMilliseconds = 600_000
            adjust(&configuration)
        }
        harness.connect()
        return harness
    }

    static func group(_ broker: Harness) -> GroupRequest? {
        guard case .group(let request) = broker.port.asked.first?.request else { return nil }
        return request
    }

    static func join(_ broker: Harness) -> (memberID: String, subscription: ConsumerProtocol.Subscription)? {
        guard case .join(let join) = group(broker) else { return nil }
        return try? (join.memberID, ConsumerProtocol.Subscription(parsing: join.protocols[0].metadata))
    }

    /// Answers JOIN_GROUP as a follower's, and SYNC_GROUP with partitions of `t`.
    static func enter(
        _ broker: Harness, generation: Int32, _ partitions: [Int], protocol name: String = "cooperative-sticky"
    ) {
        broker.port.answer { writer in
            JoinGroupAnswer(
                generation: generation, protocolType: "consumer", protocolName: name, leader: "other", memberID: "me"
            ).encode(into: &writer)
        }
        guard case .sync(let sync) = group(broker) else {
            Issue.record("no SYNC_GROUP")
            return
        }
        #expect(sync.caller.generation == generation)
        #expect(sync.assignments.isEmpty)
        let bytes = ConsumerProtocol.encode(assignment: partitions.map(Harness.t))
        broker.port.answer { writer in
            SyncGroupAnswer(protocolType: "consumer", protocolName: name, assignment: bytes).encode(into: &writer)
        }
        broker.turn()
    }

    /// Answers what is asked before reading begins: topics and committed offsets.
    static func begin(_ broker: Harness, committed: [Int: Int64] = [:]) {
        broker.describe()
        guard case .fetch(let fetch) = group(broker), case .partitions(let topics) = fetch.scope else {
            Issue.record("no OFFSET_FETCH but \(broker.port.asked)")
            return
        }
        let offsets = topics.flatMap { topic in
            topic.partitions.map {
                (topic: topic.topic, offset: TopicOffsets.Partition(partition: $0, offset: committed[Int($0)] ?? -1))
            }
        }
        broker.port.answer { OffsetFetchAnswer(offsets).encode(into: &$0) }
        broker.turn()
    }

    static func joined(
        _ partitions: [Int], committed: [Int: Int64] = [:], _ adjust: (inout Consumer.Configuration) -> Void = { _ in }
    )
        -> Harness
    {
        let broker = member(adjust)
        enter(broker, generation: 1, partitions)
        begin(broker, committed: committed)
        broker.subscribe()
        return broker
    }

    @Test func fromOutsideToReading() throws {
        let broker = Self.member()
        #expect(Self.join(broker)?.memberID == "")
        // MEMBER_ID_REQUIRED.
        broker.port.answer { JoinGroupAnswer(memberID: "me").encode(into: &$0) }
        #expect(Self.join(broker)?.memberID == "me")
        Self.enter(broker, generation: 1, [0, 2])
        #expect(broker.agent.assignment == [Harness.t(0), Harness.t(2)])
        Self.begin(broker, committed: [2: 77])
        #expect(broker.subscribe() == ["1-0@-2", "1-2@77"])
        broker.write(Harness.t(2), 77..<80)
        #expect(try broker.poll()?.firstOffset == 77)
        #expect(broker.port.asked.isEmpty)
    }

    /// `auto.offset.reset=none`, as Kafka's NoOffsetForPartitionException.
    @Test func whoGoesNowhereElseNeedsACommit() throws {
        let fails = Self.joined([0, 1], committed: [0: 5]) { $0.offsetReset = .fail }
        let error = #expect(throws: ClientError.self) { try fails.poll() }
        #expect(error?.broker == .offsetOutOfRange && error?.description.contains("t-1") == true)
        let reads = Self.member { $0.offsetReset = .fail }
        Self.enter(reads, generation: 1, [0, 1])
        // The application says where.
        try reads.agent.change(Harness.t(1)) { $0.restart(from: .latest) }
        Self.begin(reads, committed: [0: 5])
        #expect(reads.subscribe() == ["1-0@5", "1-1@-1"])
        #expect(try reads.poll() == nil)
    }

    @Test func theLeaderPlans() throws {
        let broker = Self.member()
        let mine = ConsumerProtocol.Subscription(topics: ["t"]).encoded()
        let other = ConsumerProtocol.Subscription(topics: ["t", "u", "gone"]).encoded()
        broker.port.answer { writer in
            JoinGroupAnswer(
                generation: 3, protocolType: "consumer", protocolName: "cooperative-sticky", leader: "me",
                memberID: "me",
                members: [
                    .init(memberID: "me", instanceID: nil, metadata: mine),
                    .init(memberID: "you", instanceID: nil, metadata: other),
                    .init(memberID: "liar", instanceID: nil, metadata: [9]),
                ]
            ).encode(into: &writer)
        }
        guard case .describeTopic("gone", _) = broker.port.asked.first?.request else {
            Issue.record("\(broker.port.asked)")
            return
        }
        broker.port.refuse(.unknownTopicOrPartition)
        broker.describe()
        guard case .sync(let sync) = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        let plan = try Dictionary(
            uniqueKeysWithValues: sync.assignments.map {
                ($0.memberID, try ConsumerProtocol.parse(assignment: $0.assignment))
            })
        #expect(plan["me"] == (0..<4).map { Harness.t($0) })
        #expect(plan["you"] == (0..<4).map { TopicPartition("u", $0) })
        #expect(plan["liar"] == [])
    }

    /// What stays is neither stopped nor asked for again; what goes is processed and committed first.
    @Test func aCooperativeRebalanceStopsOnlyWhatMoves() throws {
        let broker = Self.joined([0, 1])
        broker.write(Harness.t(0), 0..<10)
        broker.write(Harness.t(1), 0..<10)
        let first = try #require(try broker.poll())
        let second = try #require(try broker.poll())
        #expect([first.partition, second.partition] == [0, 1])
        broker.turn(after: 4)
        guard case .heartbeat(let caller) = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(caller.generation == 1)
        broker.port.refuse(.rebalanceInProgress)
        broker.turn()
        let join = try #require(Self.join(broker))
        #expect(join.memberID == "me")
        #expect(join.subscription.owned == [Harness.t(0), Harness.t(1)])
        #expect(join.subscription.generation == 1)
        // Reading goes on.
        broker.write(Harness.t(0), 10..<20)
        #expect(try broker.poll()?.firstOffset == 10)
        Self.enter(broker, generation: 2, [0])
        #expect(broker.unsubscribed() == Harness.t(1))
        // Not before the reader is done with it.
        #expect(broker.port.asked.isEmpty)
        second.release()
        #expect(broker.agent.hasWork)
        broker.turn()
        broker.turn()
        guard case .commit(let member, let topics) = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(member.generation == 2)
        #expect(topics.flatMap(\.partitions).map { [Int64($0.partition), $0.offset] } == [[1, 10]])
        broker.port.answer { ErrorList([.none]).encode(into: &$0) }
        broker.turn()
        #expect(Self.join(broker)?.subscription.owned == [Harness.t(0)])
        #expect(broker.agent.assignment == [Harness.t(0)])
        first.release()
    }

    @Test func anEagerRebalanceGivesEverythingUpFirst() throws {
        let broker = Self.member { $0.assignors = [.range, .roundRobin] }
        guard case .join(let join) = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(join.protocols.map(\.name) == ["range", "roundrobin"])
        Self.enter(broker, generation: 1, [0], protocol: "range")
        Self.begin(broker)
        broker.subscribe()
        broker.write(Harness.t(0), 0..<10)
        let batches = try #require(try broker.poll())
        broker.turn(after: 4)
        broker.port.refuse(.rebalanceInProgress)
        broker.turn()
        broker.turn()
        #expect(broker.unsubscribed() == Harness.t(0))
        #expect(broker.port.asked.isEmpty)
        batches.release()
        broker.turn()
        broker.turn()
        broker.port.answer { ErrorList([.none]).encode(into: &$0) }
        #expect(Self.join(broker)?.subscription.owned == [])
        #expect(broker.agent.assignment == [])
        Self.enter(broker, generation: 2, [0], protocol: "range")
        Self.begin(broker, committed: [0: 10])
        #expect(broker.subscribe() == ["1-0@10"])
    }

    @Test(arguments: [TopicProtocol.ErrorCode.unknownMemberID, .illegalGeneration])
    func aMemberThatIsOutLosesItsPartitions(error: TopicProtocol.ErrorCode) throws {
        let broker = Self.joined([0])
        broker.write(Harness.t(0), 0..<10)
        broker.turn(after: 4)
        broker.port.refuse(error)
        #expect(try broker.poll() == nil)
        #expect(broker.agent.assignment == [])
        broker.turn()
        #expect(broker.unsubscribed() == Harness.t(0) || broker.port.asked.count == 2)
        let isJoining = broker.port.asked.contains {
            if case .group(.join(let join)) = $0.request {
                join.memberID == (error == .unknownMemberID ? "" : "me")
            } else {
                false
            }
        }
        #expect(isJoining)
        // Nothing is committed of what others have now.
        #expect(broker.agent.uncommitted().isEmpty || !broker.agent.membership!.isMember)
    }

    @Test func aFencedMemberEnds() {
        let broker = Self.joined([0]) { $0.instanceID = "one" }
        broker.turn(after: 4)
        broker.port.refuse(.fencedInstanceID)
        #expect(broker.port.failure?.broker == .fencedInstanceID)
    }

    /// Another connection: first the question whether it is still a member, then data.
    @Test func aMemberComesBack() throws {
        let broker = Self.joined([0])
        broker.write(Harness.t(0), 0..<10)
        broker.agent.disconnected()
        broker.port.asked = []
        broker.connect()
        guard case .heartbeat = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(broker.port.asked.count == 1)
        broker.port.answer()
        broker.turn()
        #expect(broker.subscribe() == ["1-0@10"])
        broker.agent.disconnected()
        broker.port.asked = []
        broker.connect()
        broker.port.refuse(.unknownMemberID)
        broker.turn()
        #expect(Self.join(broker)?.memberID == "")
        #expect(broker.port.asked.count == 1)
    }

    @Test func aCoordinatorThatLoads() throws {
        let broker = Self.member()
        broker.port.refuse(.coordinatorLoadInProgress)
        broker.turn()
        #expect(broker.port.asked.isEmpty)
        broker.turn(after: 1)
        #expect(Self.join(broker) != nil)
        broker.port.refuse(.invalidGroupID)
        #expect(broker.port.failure?.broker == .invalidGroupID)
    }

    @Test func leavingCommitsFirst() throws {
        let broker = Self.joined([0])
        broker.write(Harness.t(0), 0..<10)
        try #require(try broker.poll()).release()
        let now = monotonicNanoseconds()
        #expect(!broker.agent.finish(broker.port, now: now))
        broker.turn()
        guard case .commit = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(!broker.agent.finish(broker.port, now: now))
        broker.port.answer { ErrorList([.none]).encode(into: &$0) }
        #expect(!broker.agent.finish(broker.port, now: now))
        guard case .leave("g", let members) = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(members.map(\.memberID) == ["me"])
        broker.port.answer { ErrorList([.none]).encode(into: &$0) }
        #expect(broker.agent.finish(broker.port, now: now))
    }

    /// A commit behind a JOIN would be refused: the JOIN may have ended its generation.
    @Test func leavingWaitsForAJoinThatIsOnItsWay() throws {
        let broker = Self.joined([0])
        broker.write(Harness.t(0), 0..<10)
        try #require(try broker.poll()).release()
        broker.turn(after: 4)
        broker.port.refuse(.rebalanceInProgress)
        broker.turn()
        #expect(Self.join(broker) != nil)
        let now = monotonicNanoseconds()
        #expect(!broker.agent.finish(broker.port, now: now))
        broker.turn()
        #expect(broker.port.asked.count == 1)
        #expect(!broker.agent.hasWork)
        Self.enter(broker, generation: 2, [0])
        guard case .commit(let member, let topics) = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        #expect(member.generation == 2)
        #expect(topics.flatMap(\.partitions).map(\.offset) == [10])
        broker.port.answer { ErrorList([.none]).encode(into: &$0) }
        #expect(!broker.agent.finish(broker.port, now: now))
        guard case .leave = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
    }

    @Test func aStaticMemberDoesNotLeave() {
        let broker = Self.joined([0]) {
            $0.instanceID = "one"
            $0.autoCommit = false
        }
        #expect(broker.agent.finish(broker.port, now: monotonicNanoseconds()))
        #expect(broker.port.asked.isEmpty)
    }

    /// A reader that does not ask any more: others get its partitions, until it asks again.
    @Test func aReaderThatStopsLeaves() throws {
        let broker = Self.joined([0]) { $0.maxPollIntervalMilliseconds = 1000 }
        broker.turn(after: 2)
        guard case .leave = Self.group(broker) else {
            Issue.record("\(broker.port.asked)")
            return
        }
        broker.port.asked = []
        broker.turn(after: 2)
        #expect(broker.agent.assignment == [])
        #expect(!broker.port.asked.contains { if case .group(.join) = $0.request { true } else { false } })
        _ = try broker.poll()
        broker.turn()
        #expect(broker.port.asked.contains { if case .group(.join) = $0.request { true } else { false } })
    }
}
