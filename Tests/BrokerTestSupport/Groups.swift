package import RDMATransport
internal import TopicProtocol
internal import TransportTestSupport

/// A group's life over a real door, with frames by hand: long messages in fragments, answers that take time, members
/// that vanish, a broker that is killed.
package struct GroupScenario<F: Fabric> {
    let broker: TestBroker
    let makeFabric: () throws -> F
    let connect: (F, [UInt8]) throws -> ConnectionID

    /// What the broker must be started with.
    package static var options: [String] {
        ["--group-min-session-timeout-ms", "500", "--group-initial-rebalance-delay-ms", "1000"]
    }

    package init(
        _ broker: TestBroker, fabric: @escaping () throws -> F,
        connect: @escaping (F, [UInt8]) throws -> ConnectionID
    ) {
        self.broker = broker
        makeFabric = fabric
        self.connect = connect
    }

    private func client() throws -> RawClient<F> { try RawClient(makeFabric(), connect: connect) }

    /// A member on a connection of its own.
    private final class Member {
        var client: RawClient<F>
        var id = ""
        var generation: Int32 = -1
        let metadata: [UInt8]
        private let session: UInt32

        init(_ client: RawClient<F>, seed: UInt8, sessionMilliseconds: UInt32 = 120_000) {
            self.client = client
            session = sessionMilliseconds
            // Longer than a frame.
            metadata = pattern(20_000, seed: seed)
        }

        var caller: GroupCaller { GroupCaller(group: "g", generation: generation, memberID: id) }

        func askToJoin() throws {
            try client.send(
                .group(
                    .join(
                        JoinGroup(
                            group: "g", memberID: id, clientID: "raw",
                            protocols: [GroupProtocol(name: "range", metadata: metadata)],
                            sessionTimeoutMilliseconds: session, rebalanceTimeoutMilliseconds: 5_000))))
        }

        func joined() throws -> JoinGroupAnswer {
            let answer = try client.wholeAnswer()
            try expect([.none, .memberIDRequired].contains(answer.error), "join got \(answer.error) \(answer.text)")
            let join = try answer.parse { reader throws(FrameError) in try JoinGroupAnswer(from: &reader) }
            (id, generation) = (join.memberID, join.generation)
            return join
        }

        func beat() throws -> ErrorCode { try client.ask(.group(.heartbeat(caller))).error }
    }

    package func run() throws {
        let (first, second) = (Member(try client(), seed: 1), Member(try client(), seed: 2))
        try expect(first.client.ask(.createTopic(name: "t", partitions: 4)).error == .none, "no topic")
        try settle(first, second)
        try commit(first, seenBy: second)
        try vanish(second, leaving: first)
        try restart(first)
        try internalTopic(first.client)
        try oldClient()
        first.client.fabric.shutdown()
    }

    /// Two members become a group.
    private func settle(_ first: Member, _ second: Member) throws {
        for member in [first, second] {
            try member.askToJoin()
            let join = try member.joined()
            try expect(join.generation == -1 && !join.memberID.isEmpty, "no id to join with: \(join)")
        }
        try first.askToJoin()
        try second.askToJoin()
        let leading = try first.joined()
        let following = try second.joined()
        try expect(leading.generation == 1 && following.generation == 1, "no common generation")
        try expect(leading.leader == first.id && following.members.isEmpty, "the first one does not lead")
        try expect(leading.members.map(\.metadata) == [first.metadata, second.metadata], "other metadata")
        let shares = [pattern(30_000, seed: 3), pattern(50_000, seed: 4)]
        try second.client.send(.group(.sync(SyncGroup(caller: second.caller))))
        let assignments = zip([first.id, second.id], shares).map { MemberAssignment(memberID: $0, assignment: $1) }
        try first.client.send(.group(.sync(SyncGroup(caller: first.caller, assignments: assignments))))
        for (member, share) in zip([first, second], shares) {
            let sync = try member.client.wholeAnswer().parse { reader throws(FrameError) in
                try SyncGroupAnswer(from: &reader)
            }
            try expect(sync.assignment == share, "another assignment")
            try expect(member.beat() == .none, "no heartbeat")
        }
    }

    private func commit(_ member: Member, seenBy other: Member) throws {
        let offsets = [
            TopicOffsets(
                topic: "t",
                partitions: (0..<4).map { .init(partition: $0, offset: Int64($0) * 10, metadata: "at \($0)") })
        ]
        try member.client.send(.group(.commit(member.caller, offsets)))
        let errors = try member.client.wholeAnswer().parse { reader throws(FrameError) in
            try ErrorList(from: &reader)
        }
        try expect(errors.errors == [.none, .none, .none, .none], "commit got \(errors)")
        try expect(fetch(other.client) == offsets, "other offsets")
    }

    private func fetch(_ client: RawClient<F>) throws -> [TopicOffsets] {
        while true {
            try client.send(.group(.fetch(OffsetFetch(group: "g"))))
            let answer = try client.wholeAnswer()
            // Right after a start.
            if answer.error == .coordinatorLoadInProgress { continue }
            try expect(answer.error == .none, "fetch got \(answer.error) \(answer.text)")
            return try answer.parse { reader throws(FrameError) in try OffsetFetchAnswer(from: &reader) }.topics
        }
    }

    /// One member loses its connection and goes on over another; one leaves; one goes while its answer is on the way,
    /// and is missed when its session has ended.
    private func vanish(_ gone: Member, leaving member: Member) throws {
        member.client.fabric.shutdown()
        member.client = try client()
        try expect(member.beat() == .none, "a lost connection ended a membership")
        try gone.client.send(.group(.leave(group: "g", members: [LeavingMember(memberID: gone.id)])))
        try expect(gone.client.wholeAnswer().error == .none, "a member cannot leave")
        gone.client.fabric.shutdown()
        try beatUntil(member, .rebalanceInProgress)
        try member.askToJoin()
        var join = try member.joined()
        try expect(join.generation == 2 && join.members.map(\.memberID) == [member.id], "left: \(join.members.count)")
        try sync(member)
        let short = Member(try client(), seed: 5, sessionMilliseconds: 3_000)
        try short.askToJoin()
        _ = try short.joined()
        try short.askToJoin()
        try beatUntil(member, .rebalanceInProgress)
        short.client.fabric.shutdown()
        try member.askToJoin()
        join = try member.joined()
        try expect(join.generation == 3 && join.members.count == 2, "generation \(join.generation)")
        try sync(member)
        try beatUntil(member, .rebalanceInProgress)
        try member.askToJoin()
        join = try member.joined()
        try expect(join.generation == 4 && join.members.count == 1, "generation \(join.generation)")
        try sync(member)
        try expect(member.beat() == .none, "no heartbeat")
    }

    private func sync(_ member: Member) throws {
        let all = [MemberAssignment(memberID: member.id, assignment: [1])]
        try member.client.send(.group(.sync(SyncGroup(caller: member.caller, assignments: all))))
        try expect(member.client.wholeAnswer().error == .none, "no sync")
    }

    /// Heartbeats until one gets this.
    private func beatUntil(_ member: Member, _ error: ErrorCode) throws {
        let end = monotonicNanoseconds() + 20_000_000_000
        while true {
            let got = try member.beat()
            if got == error { return }
            try expect(got == .none && monotonicNanoseconds() < end, "heartbeats get \(got), not \(error)")
        }
    }

    /// The broker is killed: what was acknowledged is there, and members go on as if nothing had happened.
    private func restart(_ member: Member) throws {
        let before = try fetch(member.client)
        broker.kill()
        member.client.fabric.shutdown()
        try broker.start()
        member.client = try client()
        try expect(fetch(member.client) == before, "offsets are lost")
        try expect(member.beat() == .none, "the member is unknown after the restart")
    }

    /// Clients read the broker's own topic, and no more.
    private func internalTopic(_ client: RawClient<F>) throws {
        let name = "__consumer_offsets"
        for request in [Request.createTopic(name: name, partitions: 1), .deleteTopic(name: name)] {
            try expect(client.ask(request).error == .invalidTopic, "\(request) was taken")
        }
        try client.send(.describeTopic(name: name, firstPartition: 0))
        let topic = try client.wholeAnswer().parse { reader throws(FrameError) in try TopicDescription(from: &reader) }
        try expect(topic.partitions.contains { $0.highWatermark > 0 }, "nothing was written to \(name)")
        var records = batch(records: 1)
        let eager = try unsafe records.withUnsafeMutableBytes {
            unsafe try client.ask(.produceEager(PartitionAddress(topicID: topic.topicID, partition: 0), batch: $0))
        }
        try expect(eager.error == .invalidTopic, "a client wrote to \(name)")
        let region = try client.share(records, byteCount: 65_536)
        let pulled = try client.ask(
            .produce(
                PartitionAddress(topicID: topic.topicID, partition: 0), byteCount: UInt32(records.count),
                key: region.key, address: region.address))
        try expect(pulled.error == .invalidTopic, "a client wrote to \(name)")
    }

    /// A client of version 1 is served as ever, but for this.
    private func oldClient() throws {
        let old = try RawClient(makeFabric(), connect: connect, hello: Handshake.hello(oldest: 1, newest: 1))
        try expect(old.ask(.group(.describe(group: "g"))).error == .unsupportedVersion, "version 1 has groups")
        try expect(old.ask(.listTopics(after: "")).error == .none, "version 1 has no topics")
        // Its frames have no flags.
        try old.send([20, 1, 0, 0, 1, 0, 0, 0, 0])
        try old.waitDisconnect()
        old.fabric.shutdown()
    }
}
