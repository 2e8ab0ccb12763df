import KafkaProtocol
import Testing

@testable import KafkaFrontend

@Suite struct DoorGroupTests {
    private func join(_ member: String = "") -> JoinGroupRequest {
        var request = JoinGroupRequest()
        request.groupId = "g"
        request.memberId = member
        request.sessionTimeoutMs = 10_000
        request.rebalanceTimeoutMs = 60_000
        request.protocolType = "consumer"
        var known = JoinGroupRequest.JoinGroupRequestProtocol()
        known.name = "range"
        known.metadata = [1, 2, 3]
        request.protocols = [known]
        return request
    }

    /// A member of a group of its own, with its assignment.
    private func enter(_ bench: DoorBench, _ client: UInt64) throws -> JoinGroupResponse {
        let id = try bench.ask(client, 9, join()).memberId
        let joined = try bench.ask(client, 9, join(id))
        var sync = SyncGroupRequest()
        (sync.groupId, sync.generationId, sync.memberId) = ("g", joined.generationId, id)
        (sync.protocolType, sync.protocolName) = ("consumer", "range")
        var given = SyncGroupRequest.SyncGroupRequestAssignment()
        (given.memberId, given.assignment) = (id, [9])
        sync.assignments = [given]
        let synced = try bench.ask(client, 5, sync)
        #expect(synced.errorCode == .none && synced.assignment == [9] && synced.protocolName == "range")
        return joined
    }

    @Test func joinsWithAnIDThatItIsGiven() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        let first = try bench.ask(client, 4, join())
        #expect(first.errorCode == .memberIdRequired && first.memberId.hasPrefix("client-"))
        #expect(first.generationId == -1 && first.protocolName == "")
        let joined = try bench.ask(client, 7, join(first.memberId))
        #expect(joined.errorCode == .none && joined.leader == first.memberId && joined.generationId == 1)
        #expect(joined.members.map(\.metadata) == [[1, 2, 3]] && joined.protocolType == "consumer")
    }

    /// Older clients do not come again.
    @Test(arguments: [Int16(0), 1, 2, 3])
    func joinsAtOnceBeforeVersion4(version: Int16) throws {
        let bench = try DoorBench()
        let joined = try bench.ask(bench.connect(), version, join())
        #expect(joined.errorCode == .none && !joined.memberId.isEmpty && joined.leader == joined.memberId)
    }

    @Test func beatsAndLeaves() throws {
        let bench = try DoorBench()
        let client = bench.connect()
        let member = try enter(bench, client)
        var beat = HeartbeatRequest()
        (beat.groupId, beat.memberId, beat.generationId) = ("g", member.memberId, member.generationId)
        #expect(try bench.ask(client, 4, beat).errorCode == .none)
        beat.generationId += 1
        #expect(try bench.ask(client, 4, beat).errorCode == .illegalGeneration)
        beat.memberId = "nobody"
        #expect(try bench.ask(client, 4, beat).errorCode == .unknownMemberId)
        var leave = LeaveGroupRequest()
        leave.groupId = "g"
        leave.members = [member.memberId, "nobody"].map { id in
            var leaving = LeaveGroupRequest.MemberIdentity()
            leaving.memberId = id
            return leaving
        }
        let left = try bench.ask(client, 5, leave)
        #expect(left.errorCode == .none && left.members.map(\.errorCode) == [.none, .unknownMemberId])
        leave.memberId = member.memberId
        #expect(try bench.ask(client, 1, leave).errorCode == .unknownMemberId)
        // A group that there is not has no members: since version 3 that is said of each.
        leave.groupId = "nosuch"
        #expect(try bench.ask(client, 1, leave).errorCode == .unknownMemberId)
        let gone = try bench.ask(client, 3, leave)
        #expect(gone.errorCode == .none && gone.members.map(\.memberId) == [member.memberId, "nobody"])
        #expect(gone.members.map(\.errorCode) == [.unknownMemberId, .unknownMemberId])
    }

    @Test func keepsOffsets() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        let client = bench.connect()
        let committed = try bench.ask(client, 8, commit("g", "t", 1, offset: 7))
        #expect(committed.topics.flatMap(\.partitions).map(\.errorCode) == [.none])
        let unknown = try bench.ask(client, 8, commit("g", "nosuch", 0, offset: 7))
        #expect(unknown.topics.flatMap(\.partitions).map(\.errorCode) == [.unknownTopicOrPartition])

        var fetch = OffsetFetchRequest()
        fetch.groupId = "g"
        fetch.topics = nil
        let all = try bench.ask(client, 7, fetch)
        #expect(all.errorCode == .none && all.topics.map(\.name) == ["t"])
        #expect(all.topics[0].partitions.map(\.committedOffset) == [7])
        var wanted = OffsetFetchRequest.OffsetFetchRequestTopics()
        (wanted.name, wanted.partitionIndexes) = ("t", [1, 0])
        fetch.topics = [wanted]
        #expect(try bench.ask(client, 1, fetch).topics[0].partitions.map(\.committedOffset) == [7, -1])
        // What is asked for a thousand times is answered once.
        wanted.partitionIndexes = Array(repeating: 1, count: 1_000) + [0]
        fetch.topics = [wanted, wanted]
        let once = try bench.ask(client, 1, fetch)
        #expect(once.topics.map { $0.partitions.map(\.partitionIndex) } == [[1, 0]])
        wanted.partitionIndexes = [1, 0]

        // Of several groups.
        fetch.groups = ["g", "other", ""].map { group in
            var one = OffsetFetchRequest.OffsetFetchRequestGroup()
            (one.groupId, one.topics) = (group, [wanted])
            return one
        }
        let several = try bench.ask(client, 9, fetch)
        #expect(several.groups.map(\.groupId) == ["g", "other", ""])
        #expect(several.groups.map(\.errorCode) == [.none, .none, .invalidGroupId])
        #expect(several.groups[1].topics[0].partitions.map(\.committedOffset) == [-1, -1])

        var delete = OffsetDeleteRequest()
        delete.groupId = "g"
        var topic = OffsetDeleteRequest.OffsetDeleteRequestTopic()
        topic.name = "t"
        var partition = OffsetDeleteRequest.OffsetDeleteRequestPartition()
        partition.partitionIndex = 1
        topic.partitions = [partition]
        delete.topics = [topic]
        #expect(try bench.ask(client, 0, delete).topics[0].partitions.map(\.errorCode) == [.none])
        fetch.topics = [wanted]
        #expect(try bench.ask(client, 7, fetch).topics[0].partitions.map(\.committedOffset) == [-1, -1])
    }

    /// Kafka's answers: newer clients know that a group may be gone.
    @Test(arguments: [(Int16(8), KafkaError.illegalGeneration), (9, .groupIdNotFound)])
    func commitsOfAGenerationOfNoGroup(version: Int16, error: KafkaError) throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        var request = commit("nosuch", "t", 0, offset: 7)
        (request.generationIdOrMemberEpoch, request.memberId) = (1, "member")
        let committed = try bench.ask(bench.connect(), version, request)
        #expect(committed.topics.flatMap(\.partitions).map(\.errorCode) == [error])
    }

    /// More than a page of what another door's clients get at once.
    @Test func listsAllOffsetsOfAGroup() throws {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 600)
        let client = bench.connect()
        var request = commit("g", "t", 0, offset: 0)
        let text = String(repeating: "m", count: 4_000)
        request.topics[0].partitions = (0..<Int32(600)).map { index in
            var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
            (partition.partitionIndex, partition.committedOffset) = (index, Int64(index))
            partition.committedMetadata = text
            return partition
        }
        #expect(try bench.ask(client, 8, request).topics[0].partitions.allSatisfy { $0.errorCode == .none })
        var fetch = OffsetFetchRequest()
        (fetch.groupId, fetch.topics) = ("g", nil)
        let all = try bench.ask(client, 7, fetch).topics.flatMap(\.partitions)
        #expect(all.map(\.committedOffset) == (0..<600).map { Int64($0) })
        #expect(all.allSatisfy { $0.metadata == text })
    }

    @Test func isLookedAfter() throws {
        let bench = try DoorBench()
        try bench.createTopic("t")
        let client = bench.connect()
        let member = try enter(bench, client)
        _ = try bench.ask(client, 8, commit("idle", "t", 0, offset: 1))
        var describe = DescribeGroupsRequest()
        describe.groups = ["g", "nosuch"]
        let described = try bench.ask(client, 5, describe).groups
        #expect(described.map(\.groupState) == ["Stable", "Dead"] && described.map(\.errorCode) == [.none, .none])
        #expect(described[0].protocolData == "range" && described[0].members.map(\.memberId) == [member.memberId])
        #expect(
            described[0].members.map(\.clientHost) == ["/127.0.0.1"] && described[0].members[0].memberAssignment == [9])

        // One of KIP-848 has a request of its own, and is not put together for this one.
        var beat = ConsumerGroupHeartbeatRequest()
        (beat.groupId, beat.memberId, beat.memberEpoch) = ("new", "m", 0)
        (beat.rebalanceTimeoutMs, beat.subscribedTopicNames, beat.topicPartitions) = (60_000, ["t"], [])
        #expect(try bench.ask(client, 1, beat).errorCode == .none)
        describe.groups = ["new", "g", "nosuch", "g"]
        let mixed = try bench.ask(client, 5, describe).groups
        #expect(mixed.map(\.groupId) == ["new", "g", "nosuch"])
        #expect(mixed.map(\.groupState) == ["Dead", "Stable", "Dead"])
        #expect(mixed.allSatisfy { $0.errorCode == .none })
        (beat.memberEpoch, beat.rebalanceTimeoutMs) = (-1, -1)
        (beat.subscribedTopicNames, beat.topicPartitions) = (nil, nil)
        _ = try bench.ask(client, 1, beat)
        var deleteNew = DeleteGroupsRequest()
        deleteNew.groupsNames = ["new"]
        #expect(try bench.ask(client, 2, deleteNew).results.map(\.errorCode) == [.none])

        var list = ListGroupsRequest()
        #expect(try bench.ask(client, 5, list).groups.map(\.groupId) == ["g", "idle"])
        list.statesFilter = ["Empty"]
        #expect(try bench.ask(client, 5, list).groups.map(\.groupId) == ["idle"])
        list.statesFilter = []
        list.typesFilter = ["consumer"]
        #expect(try bench.ask(client, 5, list).groups.isEmpty)

        var delete = DeleteGroupsRequest()
        delete.groupsNames = ["g", "idle", "nosuch"]
        #expect(
            try bench.ask(client, 2, delete).results.map(\.errorCode) == [.nonEmptyGroup, .none, .groupIdNotFound])
    }
}
