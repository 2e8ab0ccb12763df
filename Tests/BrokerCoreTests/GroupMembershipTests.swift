import Testing
import TopicProtocol

@testable import BrokerCore

/// Who belongs to a group, and how it gets from one generation to the next.
@Suite struct GroupMembershipTests {
    @Test func aMemberGetsItsIDFirstAndThenItsGroup() {
        let bench = GroupBench()
        let id = bench.newID()
        #expect(bench.state() == "Empty")
        let join = bench.ask(.join(GroupBench.request(id)))
        #expect(bench.state() == "PreparingRebalance")
        bench.pass(milliseconds: 2_999)
        #expect(bench.joined(join) == nil)
        bench.pass(milliseconds: 1)
        #expect(
            bench.joined(join)
                == JoinGroupAnswer(
                    generation: 1, protocolType: "consumer", protocolName: "range", leader: id, memberID: id,
                    members: [.init(memberID: id, instanceID: nil, metadata: Array("range".utf8))]))
        #expect(bench.state() == "CompletingRebalance")
        #expect(bench.beat(id, 1) == ErrorCode.none)
        bench.syncAll([id], generation: 1)
        #expect(bench.state() == "Stable")
        #expect(bench.beat(id, 1) == ErrorCode.none)
        #expect(bench.describe()?.members.map(\.host) == ["here"])
    }

    @Test func membersThatStartTogetherMeetInOneGeneration() {
        let bench = GroupBench()
        let first = bench.newID()
        let joins = [bench.ask(.join(GroupBench.request(first)))]
        bench.pass(milliseconds: 2_000)
        let second = bench.newID()
        let other = bench.ask(.join(GroupBench.request(second)))
        // Somebody came: the group waits once more.
        bench.pass(milliseconds: 3_999)
        #expect(bench.joined(other) == nil)
        bench.pass(milliseconds: 1)
        #expect(bench.joined(joins[0])?.members.map(\.memberID) == [first, second])
        #expect(bench.joined(other)?.members.isEmpty == true)
        #expect(bench.joined(other)?.leader == first)
        bench.syncAll([first, second], generation: 1)
    }

    @Test func newcomersProlongTheFirstGatheringNoLongerThanTheRebalanceTimeout() {
        let bench = GroupBench()
        let first = bench.ask(.join(GroupBench.request(bench.newID(), rebalance: 7_000)))
        for _ in 0..<7 {
            #expect(bench.joined(first) == nil)
            _ = bench.ask(.join(GroupBench.request(bench.newID(), rebalance: 7_000)))
            bench.pass(milliseconds: 1_000)
        }
        #expect(bench.joined(first)?.members.count == 8)
    }

    @Test func aNewMemberMakesTheOthersJoinAgain() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2)
        let third = bench.newID()
        #expect(bench.beat(ids[0], 1) == ErrorCode.none)
        var joins = [bench.ask(.join(GroupBench.request(third)))]
        #expect(bench.beat(ids[0], 1) == .rebalanceInProgress)
        #expect(
            bench.error(of: .sync(SyncGroup(caller: .init(group: "g", generation: 1, memberID: ids[0]))))
                == .rebalanceInProgress)
        joins += ids.map { bench.ask(.join(GroupBench.request($0))) }
        // The last one ends it: nothing is waited for.
        #expect(joins.map { bench.joined($0)?.generation } == [2, 2, 2])
        #expect(bench.joined(joins[1])?.members.count == 3)
        bench.syncAll(ids + [third], generation: 2)
        #expect(bench.beat(third, 1) == .illegalGeneration)
        #expect(bench.beat("nobody", 2) == .unknownMemberID)
    }

    @Test func whoDoesNotJoinAgainIsLeftBehind() {
        let bench = GroupBench()
        let request = GroupBench.request(session: 100_000, rebalance: 30_000)
        let ids = bench.stableGroup(2, request)
        let third = bench.newID(request)
        var again = request
        again.memberID = third
        let join = bench.ask(.join(again))
        bench.pass(milliseconds: 29_999)
        #expect(bench.joined(join) == nil)
        again.memberID = ids[1]
        let other = bench.ask(.join(again))
        bench.pass(milliseconds: 1)
        #expect(bench.joined(join)?.generation == 2)
        // The leader did not come: the one that has been there longest leads.
        #expect(bench.joined(join)?.leader == ids[1])
        #expect(bench.joined(other)?.members.map(\.memberID) == [ids[1], third])
        #expect(bench.beat(ids[0], 2) == .unknownMemberID)
    }

    @Test func silenceEndsAMembership() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2)
        for _ in 0..<4 {
            bench.pass(milliseconds: 4_000)
            _ = bench.beat(ids[0], 1)
        }
        #expect(bench.beat(ids[0], 1) == .rebalanceInProgress)
        let join = bench.ask(.join(GroupBench.request(ids[0])))
        #expect(bench.joined(join)?.members.map(\.memberID) == [ids[0]])
        bench.syncAll([ids[0]], generation: 2)
        bench.pass(milliseconds: 10_000)
        #expect(bench.state() == "Empty")
        #expect(bench.describe()?.generation == 3)
        #expect(bench.beat(ids[0], 2) == .unknownMemberID)
        #expect(bench.error(of: .join(GroupBench.request(ids[0]))) == .unknownMemberID)
    }

    @Test func anIDThatNobodyUsesExpires() {
        let bench = GroupBench()
        let id = bench.newID()
        bench.pass(milliseconds: 10_000)
        // And the group with it: it never was one.
        #expect(bench.error(of: .describe(group: "g")) == .groupIDNotFound)
        #expect(bench.error(of: .join(GroupBench.request(id))) == .unknownMemberID)
    }

    @Test func aRebalanceWaitsForIDsThatWereGivenOut() {
        let bench = GroupBench()
        let ids = bench.stableGroup(1)
        _ = bench.newID()
        let join = bench.ask(.join(GroupBench.request(ids[0], protocols: ["other"])))
        #expect(bench.joined(join) == nil)
        bench.pass(milliseconds: 10_000)
        #expect(bench.joined(join)?.protocolName == "other")
    }

    @Test func whoNeverAsksForItsAssignmentIsGivenUp() {
        let bench = GroupBench()
        let request = GroupBench.request(session: 1_000_000, rebalance: 20_000)
        let ids = bench.stableGroup(2, request)
        var again = request
        again.protocols[0].metadata = [1]
        for id in ids {
            again.memberID = id
            _ = bench.ask(.join(again))
        }
        let given = [MemberAssignment(memberID: ids[0], assignment: [1])]
        let caller = GroupCaller(group: "g", generation: 2, memberID: ids[0])
        let sync = bench.ask(.sync(SyncGroup(caller: caller, assignments: given)))
        // Who was left out has an empty assignment.
        #expect(bench.assignment(sync) == [1])
        #expect(bench.state() == "Stable")
        bench.pass(milliseconds: 20_000)
        #expect(bench.state() == "PreparingRebalance")
        #expect(bench.describe()?.members.map(\.memberID) == [ids[0]])
    }

    @Test func aLostAnswerIsGivenAgain() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2)
        // A follower finds what it had; the leader begins anew.
        let follower = bench.ask(.join(GroupBench.request(ids[1])))
        #expect(bench.joined(follower)?.generation == 1)
        #expect(bench.joined(follower)?.members.isEmpty == true)
        let caller = GroupCaller(group: "g", generation: 1, memberID: ids[1])
        #expect(bench.assignment(bench.ask(.sync(SyncGroup(caller: caller)))) == [1])
        let leader = bench.ask(.join(GroupBench.request(ids[0])))
        #expect(bench.state() == "PreparingRebalance")
        // One that asks twice gets the second answer.
        let again = bench.ask(.join(GroupBench.request(ids[0])))
        #expect(bench.error(leader) == .rebalanceInProgress)
        _ = bench.ask(.join(GroupBench.request(ids[1])))
        #expect(bench.joined(again)?.generation == 2)
        // Between join and sync too.
        #expect(bench.joined(bench.ask(.join(GroupBench.request(ids[0]))))?.members.count == 2)
    }

    @Test func theProtocolWithMostVotesIsSpoken() {
        let bench = GroupBench()
        let lists = [["range", "sticky"], ["sticky", "range"], ["mine", "sticky", "range"]]
        let joins = lists.map { list in
            let id = bench.newID(GroupBench.request(protocols: list))
            return bench.ask(.join(GroupBench.request(id, protocols: list)))
        }
        #expect(bench.error(of: .join(GroupBench.request(protocols: ["other"]))) == .inconsistentGroupProtocol)
        #expect(bench.error(of: .join(GroupBench.request(type: "connect"))) == .inconsistentGroupProtocol)
        #expect(bench.error(of: .join(GroupBench.request(protocols: []))) == .inconsistentGroupProtocol)
        #expect(bench.error(of: .join(GroupBench.request(type: ""))) == .inconsistentGroupProtocol)
        bench.pass(milliseconds: 10_000)
        #expect(joins.map { bench.joined($0)?.protocolName } == ["sticky", "sticky", "sticky"])
        #expect(bench.joined(joins[0])?.members.map(\.metadata) == [[UInt8]](repeating: Array("sticky".utf8), count: 3))
        let caller = GroupCaller(group: "g", generation: 1, memberID: bench.joined(joins[0])!.memberID)
        let wrong = SyncGroup(caller: caller, protocolType: "consumer", protocolName: "range")
        #expect(bench.error(of: .sync(wrong)) == .inconsistentGroupProtocol)
    }

    @Test func membersLeave() {
        let bench = GroupBench()
        let ids = bench.stableGroup(3)
        let pending = bench.newID()
        let question = bench.ask(
            .leave(
                group: "g",
                members: [.init(memberID: ids[2]), .init(memberID: "nobody"), .init(memberID: pending)]))
        #expect(bench.errors(question) == [.none, .unknownMemberID, .none])
        let joins = ids.prefix(2).map { bench.ask(.join(GroupBench.request($0))) }
        #expect(joins.allSatisfy { bench.joined($0)?.generation == 2 })
        // Who waits for an assignment learns that it will not come.
        let sync = bench.ask(.sync(SyncGroup(caller: .init(group: "g", generation: 2, memberID: ids[1]))))
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[0])]))
        #expect(bench.error(sync) == .rebalanceInProgress)
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[1])]))
        #expect(bench.state() == "Empty")
        #expect(bench.error(of: .leave(group: "none", members: [.init(memberID: "x")])) == .unknownMemberID)
    }

    @Test func whoIsTakenOutWhileItWaitsIsTold() {
        let bench = GroupBench()
        let ids = bench.stableGroup(3)
        let join = bench.ask(.join(GroupBench.request(ids[2], metadata: [9])))
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[2])]))
        #expect(bench.error(join) == .unknownMemberID)
        for id in ids.prefix(2) { _ = bench.ask(.join(GroupBench.request(id))) }
        let sync = bench.ask(.sync(SyncGroup(caller: .init(group: "g", generation: 2, memberID: ids[1]))))
        #expect(bench.error(sync) == nil)
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[1])]))
        #expect(bench.error(sync) == .unknownMemberID)
        _ = bench.ask(.join(GroupBench.request(ids[0])))
        bench.syncAll([ids[0]], generation: 3)
    }

    @Test func aGenerationThatCannotBeStoredIsNone() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2)
        for id in ids { _ = bench.ask(.join(GroupBench.request(id, metadata: [9]))) }
        bench.outcome = nil
        bench.syncAll(ids, generation: 2)
        let questions = [bench.asked - 1, bench.asked]
        #expect(questions.allSatisfy { bench.error($0) == nil })
        #expect(bench.state() == "CompletingRebalance")
        bench.release(.storageError)
        #expect(questions.allSatisfy { bench.error($0) == .coordinatorNotAvailable })
        #expect(bench.state() == "PreparingRebalance")
    }

    /// A leader that asks again while its assignments are being stored does not have them stored again.
    @Test func assignmentsAreWrittenOnce() {
        let bench = GroupBench()
        let id = bench.newID()
        _ = bench.ask(.join(GroupBench.request(id)))
        bench.pass(milliseconds: 3_000)
        bench.outcome = nil
        let caller = GroupCaller(group: "g", generation: 1, memberID: id)
        let syncs = ([1, 2, 3, 4, 5] as [UInt8]).map { number in
            let assignment = MemberAssignment(memberID: id, assignment: [number])
            return bench.ask(.sync(SyncGroup(caller: caller, assignments: [assignment])))
        }
        #expect(bench.held.count == 1)
        bench.release()
        #expect(bench.held.isEmpty)
        #expect(syncs.dropLast().allSatisfy { bench.error($0) == .rebalanceInProgress })
        #expect(bench.assignment(syncs[4]) == [1])
        // What could not be stored is assigned anew.
        _ = bench.ask(.join(GroupBench.request(id, metadata: [1])))
        let failing = GroupCaller(group: "g", generation: 2, memberID: id)
        let failed = bench.ask(.sync(SyncGroup(caller: failing)))
        bench.release(.storageError)
        #expect(bench.error(failed) == .coordinatorNotAvailable)
        bench.outcome = ErrorCode.none
        #expect(bench.joined(bench.ask(.join(GroupBench.request(id))))?.generation == 3)
        bench.syncAll([id], generation: 3)
    }

    /// Of a member's protocols only those count that it offers now, each once.
    @Test func protocolsOfThoseWhoLeftOrChangedCountNoMore() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2, GroupBench.request(protocols: ["a", "b", "a"]))
        func refused(_ protocols: [String]) -> Bool {
            bench.error(of: .join(GroupBench.request(protocols: protocols))) == .inconsistentGroupProtocol
        }
        #expect(refused(["c"]) && !refused(["b"]))
        _ = bench.ask(.join(GroupBench.request(ids[0], protocols: ["a", "c"])))
        #expect(refused(["b"]) && refused(["c"]) && !refused(["a"]))
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[1])]))
        #expect(refused(["b"]) && !refused(["c"]))
    }
}
