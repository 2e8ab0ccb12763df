import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Groups of KIP-848: joining, reconciling, leaving, fencing.
@Suite struct ConsumerGroupTests {
    let bench = GroupBench()

    func client(_ id: String, topics: [String]? = ["t"], instance: String? = nil) -> ConsumerGroupClient {
        ConsumerGroupClient(id, topics: topics, instance: instance)
    }

    // MARK: Joining and sharing

    @Test func theFirstMemberGetsEverythingAtOnce() {
        let one = client("a")
        let question = bench.ask(one.request())
        let answer = bench.heartbeat(question)
        #expect(
            answer
                == ConsumerGroupHeartbeatAnswer(
                    memberID: "a", memberEpoch: 1, heartbeatIntervalMilliseconds: 5_000, assigned: bench.all("t")))
        let group = bench.consumerGroup()
        #expect(group?.state == "Stable" && group?.groupEpoch == 1 && group?.assignmentEpoch == 1)
        #expect(group?.assignor == "uniform" && group?.members.map(\.topics) == [["t"]])
        #expect(group?.members[0].assigned == bench.all("t") && group?.members[0].target == bench.all("t"))
    }

    @Test func aMemberWithoutAnIDIsGivenOne() {
        let one = client("")
        #expect(bench.beat(one) == ErrorCode.none)
        #expect(!one.id.isEmpty && one.epoch == 1)
        #expect(bench.beat(one) == ErrorCode.none)
    }

    @Test func anAnswerSaysTheAssignmentOnlyWhenItChanged() {
        let one = client("a")
        bench.beat(one)
        var quiet = ConsumerGroupHeartbeat(group: "g")
        quiet.memberID = "a"
        quiet.memberEpoch = 1
        #expect(bench.heartbeat(bench.ask(quiet))?.assigned == nil)
        #expect(bench.heartbeat(bench.ask(one.request()))?.assigned == one.owned, "a full request is told all")
        bench.topics["t"] = 17
        #expect(bench.heartbeat(bench.ask(quiet))?.assigned == bench.all("t"))
    }

    /// Nobody gets a partition before its owner has said that it gave it up.
    @Test func partitionsAreRevokedBeforeTheyAreAssigned() throws {
        let (one, two) = (client("a"), client("b"))
        bench.beat(one)
        bench.beat(two)
        #expect(two.epoch == 2 && two.owned.isEmpty, "all of it is still with the first")
        #expect(bench.consumerGroup()?.state == "Reconciling")
        let before = one.owned
        let question = bench.ask(one.request())
        let told = try #require(bench.heartbeat(question))
        #expect(told.memberEpoch == 1 && told.assigned?.count == 8, "at its old epoch it is to give up half")
        bench.beat(two)
        #expect(two.owned.isEmpty)
        // It still has them.
        #expect(bench.heartbeat(bench.ask(one.request()))?.memberEpoch == 1)
        one.take(told)
        bench.beat(one)
        #expect(one.epoch == 2 && one.owned.count == 8 && one.owned.isSubset(of: before))
        bench.beat(two)
        #expect(two.owned == before.subtracting(one.owned))
        #expect(bench.consumerGroup()?.state == "Stable")
    }

    @Test func aMemberThatLeavesIsReplacedByTheOthers() {
        let clients = ["a", "b", "c", "d"].map { client($0) }
        bench.settle(clients)
        #expect(clients.map(\.owned.count) == [4, 4, 4, 4])
        let before = clients.map(\.owned)
        let answer = bench.heartbeat(bench.ask(clients[3].request(epoch: -1)))
        #expect(answer?.memberID == "d" && answer?.memberEpoch == -1)
        #expect(bench.consumerGroup()?.state == "Assigning")
        bench.settle(Array(clients.dropLast()))
        for (client, before) in zip(clients.dropLast(), before) {
            #expect(before.isSubset(of: client.owned), "everybody keeps what it had")
            #expect((5...6).contains(client.owned.count))
        }
        #expect(bench.beat(clients[3]) == .unknownMemberID)
    }

    @Test func subscriptionsDecideWhoMayHaveWhat() {
        bench.topics = ["t": 4, "u": 4]
        let (one, two) = (client("a", topics: ["t"]), client("b", topics: ["t", "u", "none"]))
        bench.settle([one, two])
        #expect(one.owned == bench.all("t") && two.owned == bench.all("u"))
        two.topics = ["t"]
        bench.settle([one, two])
        #expect(one.owned.count == 2 && two.owned.count == 2 && one.owned.isDisjoint(with: two.owned))
    }

    @Test func topicsThatComeGrowAndGoBumpTheEpoch() {
        let one = client("a", topics: ["t", "later"])
        bench.beat(one)
        #expect(one.epoch == 1)
        bench.beat(one)
        #expect(one.epoch == 1)
        bench.topics["other"] = 3
        bench.beat(one)
        #expect(one.epoch == 1, "another's topic is nothing to it")
        bench.topics["later"] = 2
        bench.settle([one])
        #expect(one.epoch == 2 && one.owned == bench.all("t", "later"))
        bench.topics["later"] = 5
        bench.settle([one])
        #expect(one.epoch == 3 && one.owned == bench.all("t", "later"))
        bench.topics["later"] = nil
        bench.settle([one])
        #expect(one.epoch == 4 && one.owned == bench.all("t"))
        // Of the same name, but another one.
        bench.topics["t"] = nil
        bench.topics["t"] = 16
        bench.settle([one])
        #expect(one.epoch == 5 && one.owned == bench.all("t"))
    }

    /// Matching is for when topics or patterns change, not for each member that comes or goes.
    @Test func patternsAreMatchedOnce() {
        let members = ["a", "b", "c"].map { ConsumerGroupClient($0, topics: [], pattern: "t.*") }
        bench.settle(members)
        #expect(bench.world.listings == 1)
        members[2].pattern = "u.*"
        bench.settle(members)
        #expect(bench.world.listings == 1)
        bench.topics["t2"] = 4
        bench.settle(members)
        #expect(bench.world.listings == 2)
        #expect(members[0].owned.count + members[1].owned.count == 20)
        bench.ask(members[0].request(epoch: -1))
        bench.settle(Array(members[1...]))
        #expect(members[1].owned.count == 20 && bench.world.listings == 2)
    }

    @Test func patternsMatchWholeNames() {
        bench.topics = ["flights": 2, "flights-2": 2, "others": 2]
        let one = ConsumerGroupClient("a", topics: [], pattern: "flights.*")
        bench.beat(one)
        #expect(one.owned == bench.all("flights", "flights-2"))
        bench.topics["flights-3"] = 1
        bench.settle([one])
        #expect(one.owned == bench.all("flights", "flights-2", "flights-3"))
        one.pattern = "("
        #expect(bench.beat(one) == .invalidRegularExpression)
        one.pattern = ""
        one.topics = ["others"]
        bench.settle([one])
        #expect(one.owned == bench.all("others"))
    }

    @Test func mostVotesChooseTheAssignor() {
        let clients = ["a", "b", "c"].map { client($0) }
        clients[0].assignor = "range"
        bench.settle(clients)
        #expect(bench.consumerGroup()?.assignor == "range")
        #expect(clients[0].owned.sorted.map(\.partitions) == [Array(0..<6)])
        clients[2].assignor = "cooperative-sticky"
        #expect(bench.beat(clients[2]) == .unsupportedAssignor)
    }

    // MARK: Epochs

    @Test func epochsAreChecked() {
        let one = client("a")
        #expect(bench.beat(client("x")) == ErrorCode.none)
        bench.beat(one)
        #expect(bench.error(bench.ask(one.request(epoch: 3))) == .fencedMemberEpoch)
        // The answer with the new epoch was lost: it is told again.
        var late = one.request(epoch: 0)
        late.owned = PartitionSet()
        #expect(bench.heartbeat(bench.ask(late))?.memberEpoch == one.epoch)
        bench.settle([one])
        bench.topics["t"] = 20
        let before = one.epoch
        bench.ask(one.request())
        #expect(bench.heartbeat(bench.ask(one.request(epoch: before)))?.memberEpoch == before + 1)
        #expect(bench.error(bench.ask(one.request(epoch: before - 1))) == .fencedMemberEpoch)
        #expect(bench.error(bench.ask(client("nobody").request(epoch: 1))) == .unknownMemberID)
        #expect(bench.error(bench.ask(one.request(group: "other", epoch: 1))) == .groupIDNotFound)
        #expect(bench.error(bench.ask(one.request(group: "other", epoch: -1))) == .groupIDNotFound)
    }

    @Test func whoJoinsAgainHasNothing() {
        let (one, two) = (client("a"), client("b"))
        bench.settle([one, two])
        // It was fenced, or it restarted with its id: what it had is free, and shared out as before.
        one.drop()
        bench.beat(one)
        #expect(one.owned.count == 8 && one.owned.isDisjoint(with: two.owned))
        #expect(bench.consumerGroup()?.members.count == 2)
    }

    @Test func badRequestsAreRefused() {
        func error(_ change: (inout ConsumerGroupHeartbeat) -> Void) -> ErrorCode? {
            var request = client("a").request()
            change(&request)
            return bench.error(bench.ask(request))
        }
        #expect(error { $0.rebalanceTimeoutMilliseconds = -1 } == .invalidRequest)
        #expect(error { $0.owned = nil } == .invalidRequest)
        #expect(error { $0.owned = self.bench.all("t") } == .invalidRequest)
        #expect(error { $0.topics = nil } == .invalidRequest)
        #expect(error { $0.memberEpoch = -3 } == .invalidRequest)
        #expect(error { $0.memberEpoch = -2 } == .invalidRequest)
        #expect(error { ($0.memberEpoch, $0.memberID) = (1, "") } == .invalidRequest)
        #expect(error { $0.instanceID = "" } == .invalidRequest)
        #expect(error { $0.group = "" } == .invalidGroupID)
        #expect(error { $0.topics = [String(repeating: "x", count: 250)] } == .invalidRequest)
        #expect(bench.consumerGroup() == nil, "no group was made")
    }

    // MARK: Time

    @Test func silentMembersAreGivenUp() {
        let (one, two) = (client("a"), client("b"))
        bench.settle([one, two])
        for _ in 0..<8 {
            bench.pass(milliseconds: 5_000)
            bench.beat(one)
        }
        #expect(bench.consumerGroup()?.members.count == 2)
        bench.pass(milliseconds: 5_000)
        #expect(bench.consumerGroup()?.members.map(\.memberID) == ["a"])
        bench.settle([one])
        #expect(one.owned == bench.all("t"))
        #expect(bench.beat(two) == .unknownMemberID)
    }

    @Test func whoDoesNotRevokeInTimeIsGivenUp() {
        let (one, two) = (client("a"), client("b"))
        one.rebalance = 10_000
        bench.beat(one)
        bench.beat(two)
        // Asked to give up half, it goes on as if nothing was.
        for _ in 0..<3 {
            bench.ask(one.request())
            bench.beat(two)
            bench.pass(milliseconds: 4_000)
        }
        #expect(bench.error(bench.ask(one.request())) == .unknownMemberID)
        bench.settle([two])
        #expect(two.owned == bench.all("t"))
    }

    // MARK: Static members

    @Test func aStaticMemberKeepsItsPlaceWhenItComesBack() {
        let (one, two) = (client("a", instance: "box"), client("b"))
        bench.settle([one, two])
        let before = one.owned
        let epoch = bench.consumerGroup()?.groupEpoch
        // While the first is there, nobody else is that instance.
        #expect(bench.beat(client("c", instance: "box")) == .unreleasedInstanceID)
        #expect(bench.heartbeat(bench.ask(one.request(epoch: -2)))?.memberEpoch == -2)
        bench.settle([two])
        #expect(two.owned.count == 8, "nothing moves while it is away")
        let back = client("c", instance: "box")
        bench.beat(back)
        #expect(back.owned == before && bench.consumerGroup()?.groupEpoch == epoch)
        #expect(bench.error(bench.ask(one.request(epoch: 2))) == .fencedInstanceID)
        #expect(bench.consumerGroup()?.members.map(\.memberID).sorted() == ["b", "c"])
    }

    /// What the member had would have no owner.
    @Test func aMemberDoesNotTakeTheInstanceOfAnother() {
        let (one, two) = (client("a", instance: "box"), client("b"))
        bench.settle([one, two])
        bench.ask(one.request(epoch: -2))
        #expect(bench.beat(client("b", instance: "box")) == .invalidRequest)
        let back = client("c", instance: "box")
        bench.settle([back, two])
        #expect(back.owned.count + two.owned.count == bench.all("t").count)
    }

    @Test func aStaticMemberThatStaysAwayIsGivenUp() {
        let (one, two) = (client("a", instance: "box"), client("b"))
        bench.settle([one, two])
        bench.ask(one.request(epoch: -2))
        for _ in 0..<10 {
            bench.pass(milliseconds: 5_000)
            bench.beat(two)
        }
        bench.settle([two])
        #expect(two.owned == bench.all("t"))
    }

    // MARK: Offsets

    /// The log does not say when the last member left: then, as in Kafka, the age of what was committed counts.
    @Test func offsetsExpireHoweverOftenTheBrokerStarts() {
        var options = GroupOptions()
        options.offsetsRetentionMinutes = 1
        var bench = GroupBench(options)
        let one = client("a")
        bench.beat(one)
        let caller = GroupCaller(group: "g", generation: one.epoch, memberID: "a")
        #expect(bench.error(of: .commit(caller, GroupBench.offsets())) == ErrorCode.none)
        bench.ask(one.request(epoch: -1))
        for age in [30_000, 59_000, 61_000] as [UInt64] {
            bench = GroupBench(options, log: bench.log, now: 1_000_000_000_000 + age * 1_000_000)
            bench.coordinator.expireOffsets()
            bench.pass(milliseconds: 1)
            #expect(bench.fetch()?.offset == (age < 60_000 ? 7 : -1))
        }
    }

    @Test func membersCommitAndFetchAtTheirEpoch() {
        let one = client("a")
        bench.beat(one)
        func commit(_ member: String, _ epoch: Int32) -> ErrorCode? {
            let caller = GroupCaller(group: "g", generation: epoch, memberID: member)
            return bench.error(of: .commit(caller, GroupBench.offsets()))
        }
        #expect(commit("a", 1) == ErrorCode.none)
        #expect(commit("a", 0) == .staleMemberEpoch && commit("a", 2) == .staleMemberEpoch)
        #expect(commit("b", 1) == .unknownMemberID && commit("", -1) == .unknownMemberID)
        #expect(throws: Never.self) { try bench.coordinator.checkFetch("g", memberID: "a", memberEpoch: 1) }
        #expect(throws: BrokerError.self) { try bench.coordinator.checkFetch("g", memberID: "a", memberEpoch: 2) }
        #expect(throws: BrokerError.self) { try bench.coordinator.checkFetch("g", memberID: "b", memberEpoch: 1) }
        #expect(bench.fetch()?.offset == 7)
        bench.ask(one.request(epoch: -1))
        #expect(commit("", -1) == ErrorCode.none, "anybody, while there are no members")
    }

    @Test func offsetsOfSubscribedTopicsAreNotDeleted() {
        bench.topics["u"] = 1
        let one = client("a")
        bench.beat(one)
        let caller = GroupCaller(group: "g", generation: 1, memberID: "a")
        bench.ask(.commit(caller, GroupBench.offsets() + GroupBench.offsets(topic: "u")))
        let topics = ["t", "u"].map { TopicPartitions(topic: $0, partitions: [0]) }
        #expect(bench.errors(bench.ask(.deleteOffsets(group: "g", topics))) == [.groupSubscribedToTopic, .none])
        #expect(bench.fetch()?.offset == 7 && bench.fetch("g", "u")?.offset == -1)
    }

    // MARK: Both kinds of groups

    @Test func kindsWithMembersRefuseEachOther() {
        let ids = bench.stableGroup(1)
        #expect(bench.beat(client("a")) == .groupIDNotFound)
        bench.ask(.leave(group: "g", members: [LeavingMember(memberID: ids[0])]))
        let one = client("a")
        #expect(bench.beat(one) == ErrorCode.none, "an empty classic group is converted")
        #expect(bench.error(of: .join(GroupBench.request())) == .inconsistentGroupProtocol)
        #expect(bench.beat(ids[0], 1) == .unknownMemberID, "the classic heartbeat")
        bench.ask(one.request(epoch: -1))
        #expect(bench.newID().isEmpty == false, "and an empty one of KIP-848, too")
        #expect(bench.consumerGroup() == nil)
    }

    @Test func offsetsStayWhenTheKindChanges() {
        bench.ask(.commit(GroupCaller(group: "g"), GroupBench.offsets()))
        let one = client("a")
        bench.beat(one)
        #expect(bench.fetch()?.offset == 7)
        bench.ask(one.request(epoch: -1))
        _ = bench.stableGroup(1)
        #expect(bench.fetch()?.offset == 7)
        // So it is found at the next start.
        let again = GroupBench(log: bench.log)
        #expect(again.fetch()?.offset == 7 && again.state() == "Stable" && again.consumerGroup() == nil)
    }

    @Test func operatorsSeeAndDeleteBothKinds() throws {
        let one = client("a", instance: "box")
        bench.beat(one)
        let question = bench.ask(.list(after: ""))
        guard case .groups(let list) = bench.answers[question]?.body else {
            Issue.record("no list")
            return
        }
        #expect(list.groups == [.init(group: "g", protocolType: "consumer", state: "Stable")])
        let classic = try #require(bench.describe())
        #expect(classic.state == "Stable" && classic.protocolType == "consumer" && classic.protocolName == "uniform")
        // ConsumerProtocolSubscription 0: version, one topic, no user data.
        #expect(classic.members[0].metadata == [0, 0, 0, 0, 0, 1, 0, 1, UInt8(ascii: "t"), 255, 255, 255, 255])
        #expect(classic.members[0].assignment.prefix(13) == [0, 0, 0, 0, 0, 1, 0, 1, UInt8(ascii: "t"), 0, 0, 0, 16])
        #expect(bench.error(of: .delete(group: "g")) == .nonEmptyGroup)
        #expect(
            bench.errors(
                bench.ask(.leave(group: "g", members: [.init(memberID: "", instanceID: "box"), .init(memberID: "x")])))
                == [.none, .unknownMemberID])
        #expect(bench.consumerGroup()?.state == "Empty")
        #expect(bench.error(of: .delete(group: "g")) == ErrorCode.none)
        #expect(bench.log.values.isEmpty || GroupBench(log: bench.log).consumerGroup() == nil)
        #expect(bench.coordinator.usage.bytes == 0)
    }

    // MARK: The log

    @Test func nothingIsToldBeforeItIsStored() {
        bench.outcome = nil
        let one = client("a")
        let question = bench.ask(one.request())
        let second = bench.ask(one.request())
        #expect(bench.error(question) == nil && bench.error(second) == nil)
        bench.release()
        #expect(bench.heartbeat(question)?.memberEpoch == 1)
        bench.release()
        #expect(bench.heartbeat(second)?.memberEpoch == 1)
    }

    @Test func whatTheLogRefusedIsWrittenAgain() {
        let (one, two) = (client("a"), client("b"))
        bench.settle([one, two])
        bench.outcome = .storageError
        #expect(bench.beat(client("c")) == .coordinatorNotAvailable)
        #expect(bench.beat(one) == .coordinatorNotAvailable)
        bench.outcome = ErrorCode.none
        let three = client("c")
        bench.settle([one, two, three])
        #expect(three.owned.count >= 5)
        let again = GroupBench(log: bench.log, topics: bench.world)
        #expect(again.consumerGroup() == bench.consumerGroup())
    }

    @Test func groupsComeBackFromTheLog() {
        bench.topics["u"] = 3
        let clients = [client("a", topics: ["t", "u"]), client("b", instance: "box"), client("c")]
        clients[2].assignor = "uniform"
        bench.settle(clients)
        bench.topics["u"] = 4
        bench.settle(clients)
        let again = GroupBench(log: bench.log, now: bench.now, topics: bench.world)
        #expect(again.consumerGroup() == bench.consumerGroup())
        // A restart shorter than a session moves nothing.
        let before = clients.map(\.epoch)
        again.settle(clients)
        #expect(clients.map(\.epoch) == before)
        again.pass(milliseconds: 46_000)
        #expect(again.consumerGroup()?.state == "Empty")
    }

    @Test func whatChangedWhileItWasDownIsNoticed() {
        let one = client("a")
        bench.beat(one)
        bench.topics["t"] = 20
        // No heartbeat came before the process ended.
        let again = GroupBench(log: bench.log, now: bench.now, topics: bench.world)
        again.settle([one])
        #expect(one.epoch == 2 && one.owned == bench.all("t"))
    }

    @Test func oneWriteIsOutAtATime() {
        let clients = ["a", "b", "c"].map { client($0) }
        bench.outcome = nil
        let questions = clients.map { bench.ask($0.request()) }
        #expect(bench.held.count == 1)
        bench.releaseFirst()
        #expect(bench.heartbeat(questions[0]) != nil && bench.heartbeat(questions[1]) == nil)
        #expect(bench.held.count == 1, "the others share the next one")
        bench.releaseFirst()
        #expect(questions.allSatisfy { bench.heartbeat($0) != nil } && bench.held.isEmpty)
    }

    /// A write may be so large that it is cut, and refused in part.
    @Test func recordsThatContradictEachOtherEndNoBroker() {
        let (one, two) = (client("a"), client("b"))
        bench.settle([one, two])
        var log = bench.log
        let group = GroupRecord.consumer("g", .group(.init(epoch: 1, metadataHash: 0)))
        log[group.key] = group.value
        let double = GroupRecord.consumer(
            "g",
            .current(
                "b", .init(epoch: 2, previousEpoch: 1, state: .stable, assigned: bench.all("t"), revoking: .init())))
        log[double.key] = double.value
        let again = GroupBench(log: log, now: bench.now, topics: bench.world)
        #expect(again.consumerGroup()?.state == "Empty" && again.consumerGroup()?.groupEpoch == 3)
        #expect([one, two].map { again.beat($0) } == [.unknownMemberID, .unknownMemberID])
        for client in [one, two] { client.drop() }
        again.settle([one, two])
        #expect(one.owned.count == 8 && two.owned.count == 8 && one.epoch > 3)
    }

    // MARK: Limits

    @Test func groupsAreBounded() {
        var options = GroupOptions()
        options.groupSizeMax = 2
        options.groupBytesMax = 2_000
        let bench = GroupBench(options)
        let clients = ["a", "b", "c"].map { client($0) }
        #expect(clients.map { bench.beat($0) } == [ErrorCode.none, ErrorCode.none, .groupMaxSizeReached])
        clients[0].topics = (0..<200).map { "topic-\($0)" }
        #expect(bench.beat(clients[0]) == .groupMaxSizeReached)
        clients[0].topics = ["t"]
        #expect(bench.beat(clients[0]) == ErrorCode.none)
        options.totalBytesMax = 1 << 10
        let small = GroupBench(options)
        #expect(small.beat(client("a")) == .limitReached)
        #expect(small.coordinator.usage.bytes == 0)
    }
}
