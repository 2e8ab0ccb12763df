import BrokerCore
import KafkaProtocol
import Testing
import TopicLog
import TopicProtocol

@testable import KafkaFrontend

/// What names topics by their ids, and groups of KIP-848, which need them.
@Suite struct DoorTopicIDTests {
    private let nobody = Uuid(high: 7, low: 7)

    private func bench() throws -> (bench: DoorBench, client: UInt64, id: Uuid) {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 4)
        return (bench, bench.connect(), try #require(bench.broker.uuid(of: "t").map { Uuid($0) }))
    }

    @Test func metadataTellsAndTakesIDs() throws {
        let (bench, client, id) = try bench()
        var request = MetadataRequest()
        request.topics = nil
        let all = try bench.ask(client, 13, request)
        #expect(all.topics.map(\.topicId) == [id] && all.topics.map(\.name) == ["t"] && all.errorCode == .none)
        request.topics = [id, nobody].map { id in
            var topic = MetadataRequest.MetadataRequestTopic()
            (topic.name, topic.topicId) = (nil, id)
            return topic
        }
        let found = try bench.ask(client, 12, request).topics
        #expect(found.map(\.name) == ["t", nil] && found.map(\.topicId) == [id, nobody])
        #expect(found.map(\.errorCode) == [.none, .unknownTopicId] && found.map(\.partitions.count) == [4, 0])
    }

    @Test func topicsAreCreatedAndDeletedWithIDs() throws {
        let (bench, client, id) = try bench()
        var create = CreateTopicsRequest()
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = ("u", 1, 1)
        create.topics = [topic]
        let created = try bench.ask(client, 7, create).topics
        #expect(created[0].topicId == bench.broker.uuid(of: "u").map { Uuid($0) } && created[0].topicId != id)
        var delete = DeleteTopicsRequest()
        delete.topics = [id, nobody].map { id in
            var topic = DeleteTopicsRequest.DeleteTopicState()
            topic.topicId = id
            return topic
        }
        let deleted = try bench.ask(client, 6, delete).responses
        #expect(deleted.map(\.errorCode) == [.none, .unknownTopicId] && deleted.map(\.name) == ["t", nil])
        #expect(deleted.map(\.topicId) == [id, nobody] && bench.broker.topicNames == ["u"])
    }

    @Test(arguments: [Int16(13), 18]) func fetchesByID(_ version: Int16) throws {
        let (bench, client, id) = try bench()
        let batch = makeBatch(records: 3)
        _ = try bench.produce(client, "t", batch, partition: 1)
        var request = DoorBench.fetch([("", 1, 0)])
        request.topics[0].topicId = id
        let fetched = try bench.fetched(bench.post(client, version, request))
        #expect(fetched.map(\.data.errorCode) == [.none] && fetched[0].bytes == stored(batch, at: 0))
        request.topics[0].topicId = nobody
        #expect(try bench.fetched(bench.post(client, version, request)).map(\.data.errorCode) == [.unknownTopicId])
        // Another topic of that name is another topic.
        try bench.broker.perform(.delete("t"))
        try bench.createTopic("t", partitions: 4)
        request.topics[0].topicId = id
        #expect(try bench.fetched(bench.post(client, version, request)).map(\.data.errorCode) == [.unknownTopicId])
    }

    // MARK: Groups

    private func heartbeat(_ epoch: Int32, owned: [Uuid: [Int32]]? = [:]) -> ConsumerGroupHeartbeatRequest {
        var request = ConsumerGroupHeartbeatRequest()
        (request.groupId, request.memberId, request.memberEpoch) = ("g", "m", epoch)
        request.rebalanceTimeoutMs = 60_000
        request.subscribedTopicNames = ["t"]
        request.topicPartitions = owned?.map { id, partitions in
            var topic = ConsumerGroupHeartbeatRequest.TopicPartitions()
            (topic.topicId, topic.partitions) = (id, partitions)
            return topic
        }
        return request
    }

    @Test(arguments: [Int16(0), 1]) func membersJoinStayAndLeave(_ version: Int16) throws {
        let (bench, client, id) = try bench()
        let joined = try bench.ask(client, version, heartbeat(0))
        #expect(joined.errorCode == .none && joined.memberId == "m" && joined.memberEpoch == 1)
        #expect(joined.heartbeatIntervalMs == 5_000)
        #expect(joined.assignment?.topicPartitions.map(\.topicId) == [id])
        #expect(joined.assignment?.topicPartitions.map(\.partitions) == [[0, 1, 2, 3]])
        var quiet = ConsumerGroupHeartbeatRequest()
        (quiet.groupId, quiet.memberId, quiet.memberEpoch) = ("g", "m", 1)
        let stayed = try bench.ask(client, version, quiet)
        #expect(stayed.errorCode == .none && stayed.memberEpoch == 1 && stayed.assignment == nil)
        #expect(try bench.ask(client, version, heartbeat(9)).errorCode == .fencedMemberEpoch)
        var other = heartbeat(0)
        (other.memberId, other.serverAssignor) = ("n", "nosuch")
        #expect(try bench.ask(client, version, other).errorCode == .unsupportedAssignor)
        quiet.memberEpoch = -1
        #expect(try bench.ask(client, version, quiet).memberEpoch == -1)
        other = heartbeat(0)
        other.memberId = ""
        #expect(try bench.ask(client, version, other).errorCode == (version == 0 ? .none : .invalidRequest))
    }

    @Test func offsetsAreCommittedAndFetchedByID() throws {
        let (bench, client, id) = try bench()
        _ = try bench.ask(client, 1, heartbeat(0))
        var commit = OffsetCommitRequest()
        (commit.groupId, commit.memberId, commit.generationIdOrMemberEpoch) = ("g", "m", 1)
        commit.topics = [id, nobody].map { id in
            var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
            var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
            (partition.partitionIndex, partition.committedOffset) = (2, 7)
            (topic.topicId, topic.partitions) = (id, [partition])
            return topic
        }
        let committed = try bench.ask(client, 10, commit).topics
        #expect(committed.map(\.topicId) == [id, nobody])
        #expect(committed.flatMap(\.partitions).map(\.errorCode) == [.none, .unknownTopicId])
        commit.generationIdOrMemberEpoch = 2
        let stale = try bench.ask(client, 10, commit).topics.flatMap(\.partitions)
        #expect(stale.map(\.errorCode) == [.staleMemberEpoch, .staleMemberEpoch])

        var fetch = OffsetFetchRequest()
        var group = OffsetFetchRequest.OffsetFetchRequestGroup()
        (group.groupId, group.memberId, group.memberEpoch) = ("g", "m", 1)
        group.topics = [nobody, id].map { id in
            var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
            (topic.topicId, topic.partitionIndexes) = (id, [2])
            return topic
        }
        fetch.groups = [group]
        let found = try bench.ask(client, 10, fetch).groups[0]
        #expect(found.errorCode == .none && Set(found.topics.map(\.topicId)) == [id, nobody])
        for topic in found.topics {
            #expect(topic.partitions.map(\.errorCode) == [topic.topicId == id ? .none : .unknownTopicId])
            #expect(topic.partitions.map(\.committedOffset) == [topic.topicId == id ? 7 : -1])
        }
        fetch.groups[0].topics = nil
        #expect(try bench.ask(client, 10, fetch).groups[0].topics.map(\.topicId) == [id])
        fetch.groups[0].memberEpoch = 5
        #expect(try bench.ask(client, 9, fetch).groups[0].errorCode == .staleMemberEpoch)
        fetch.groups[0].memberId = "nobody"
        #expect(try bench.ask(client, 9, fetch).groups[0].errorCode == .unknownMemberId)
    }

    @Test func operatorsTellTheKindsApart() throws {
        let (bench, client, id) = try bench()
        _ = try bench.ask(client, 1, heartbeat(0))
        var list = ListGroupsRequest()
        let listed = try bench.ask(client, 5, list).groups
        #expect(listed.map(\.groupType) == ["consumer"] && listed.map(\.groupState) == ["Stable"])
        list.typesFilter = ["Classic"]
        #expect(try bench.ask(client, 5, list).groups.isEmpty)
        list.typesFilter = ["Consumer"]
        #expect(try bench.ask(client, 5, list).groups.map(\.groupId) == ["g"])
        var describe = ConsumerGroupDescribeRequest()
        describe.groupIds = ["g", "nosuch"]
        let groups = try bench.ask(client, 1, describe).groups
        #expect(groups.map(\.errorCode) == [.none, .groupIdNotFound])
        #expect(groups[0].groupState == "Stable" && groups[0].groupEpoch == 1 && groups[0].assignorName == "uniform")
        let member = try #require(groups[0].members.first)
        #expect(member.memberId == "m" && member.memberEpoch == 1 && member.subscribedTopicNames == ["t"])
        #expect(member.assignment.topicPartitions.map(\.topicId) == [id] && member.memberType == 1)
        #expect(member.assignment.topicPartitions.map(\.topicName) == ["t"])
        #expect(member.targetAssignment.topicPartitions.map(\.partitions) == [[0, 1, 2, 3]])
        // To who asks about classic groups it is none.
        var classic = DescribeGroupsRequest()
        classic.groups = ["g"]
        #expect(try bench.ask(client, 5, classic).groups.map(\.groupState) == ["Dead"])
    }
}
