import Testing
import TopicProtocol

@testable import BrokerCore

/// Members with names of their own.
@Suite struct StaticMemberTests {
    private func request(_ instance: String, id: String = "", protocols: [String] = ["range"]) -> JoinGroup {
        GroupBench.request(id, instance: instance, protocols: protocols, session: 30_000, rebalance: 20_000)
    }

    private func caller(_ instance: String, _ id: String, _ generation: Int32 = 1) -> GroupCaller {
        GroupCaller(group: "g", generation: generation, memberID: id, instanceID: instance)
    }

    /// Two static members, `a` leading, in generation 1.
    private func pair(_ bench: GroupBench) -> [String] {
        let joins = ["a", "b"].map { bench.ask(.join(request($0))) }
        bench.pass(milliseconds: 6_000)
        let ids = joins.map { bench.joined($0)!.memberID }
        bench.syncAll(ids, generation: 1)
        return ids
    }

    @Test func oneThatComesBackMovesNothing() {
        let bench = GroupBench()
        let ids = pair(bench)
        let back = bench.ask(.join(request("b")))
        let id = bench.joined(back)!.memberID
        #expect(id != ids[1])
        #expect(bench.joined(back)?.generation == 1)
        #expect(bench.joined(back)?.skipsAssignment == false)
        #expect(bench.assignment(bench.ask(.sync(SyncGroup(caller: caller("b", id))))) == [1])
        // The one that it replaces is fenced.
        #expect(bench.beat(ids[1], 1, instance: "b") == .fencedInstanceID)
        #expect(bench.error(of: .sync(SyncGroup(caller: caller("b", ids[1])))) == .fencedInstanceID)
        #expect(bench.error(of: .commit(caller("b", ids[1]), GroupBench.offsets())) == .fencedInstanceID)
        #expect(bench.beat(id, 1, instance: "b") == ErrorCode.none)
        #expect(bench.beat("x", 1, instance: "c") == .unknownMemberID)
        #expect(bench.beat(ids[0], 1, instance: "a") == ErrorCode.none)
        #expect(bench.state() == "Stable")
    }

    /// Else two members would be one instance.
    @Test func anIDForDynamicMembersIsNotForStaticOnes() {
        let bench = GroupBench()
        let id = bench.newID()
        let ids = [bench.ask(.join(request("a")))]
        #expect(bench.error(of: .join(request("a", id: id))) == .invalidRequest)
        #expect(bench.error(of: .join(GroupBench.request(id))) == nil)
        bench.pass(milliseconds: 6_000)
        #expect(bench.joined(ids[0])?.members.count == 2)
    }

    @Test func aLeaderThatComesBackNeedNotAssign() {
        let bench = GroupBench()
        let ids = pair(bench)
        let back = bench.joined(bench.ask(.join(request("a"))))!
        #expect(back.skipsAssignment && back.leader == back.memberID && back.members.count == 2)
        #expect(bench.assignment(bench.ask(.sync(SyncGroup(caller: caller("a", back.memberID))))) == [0])
        #expect(bench.beat(ids[1], 1, instance: "b") == ErrorCode.none)
    }

    /// Each comes back with an id that must be stored; but one write is enough for all that came during another.
    @Test func manyThatComeBackShareAWrite() {
        let bench = GroupBench()
        let ids = pair(bench)
        bench.outcome = nil
        let joins = (0..<50).map { bench.ask(.join(request($0 % 2 == 0 ? "a" : "b"))) }
        #expect(bench.held.count == 1)
        bench.release()
        #expect(bench.held.count == 1)
        bench.release()
        #expect(bench.held.isEmpty)
        // Only the last of each is a member still.
        #expect(joins.dropLast(2).allSatisfy { bench.error($0) == .unknownMemberID })
        let last = joins.suffix(2).map { bench.joined($0)!.memberID }
        bench.outcome = ErrorCode.none
        #expect(bench.beat(ids[0], 1, instance: "a") == .fencedInstanceID)
        let next = GroupBench(log: bench.log)
        #expect(next.beat(last[0], 1, instance: "a") == ErrorCode.none)
        #expect(next.beat(last[1], 1, instance: "b") == ErrorCode.none)
    }

    /// What comes to an end while a write is under way is not stored as if it went on.
    @Test func aRebalanceIsNotStored() {
        let bench = GroupBench()
        _ = pair(bench)
        bench.outcome = nil
        let joins = ["a", "a"].map { bench.ask(.join(request($0))) }
        _ = bench.ask(.join(request("c")))
        #expect(bench.state() == "PreparingRebalance")
        bench.release()
        #expect(bench.held.isEmpty)
        #expect(bench.error(joins[0]) == .unknownMemberID && bench.error(joins[1]) == .rebalanceInProgress)
        #expect(GroupBench(log: bench.log).describe()?.members.count == 2)
    }

    @Test func anotherProtocolMovesTheGroup() {
        let bench = GroupBench()
        let ids = pair(bench)
        #expect(bench.error(of: .join(request("b", protocols: ["other"]))) == .inconsistentGroupProtocol)
        let both = ["other", "range"]
        _ = bench.ask(.join(request("a", id: ids[0], protocols: both)))
        let join = bench.ask(.join(request("b", protocols: both)))
        #expect(bench.joined(join)?.generation == 2)
        #expect(bench.joined(join)?.protocolName == "other")
    }

    @Test func aStaticMemberIsWaitedForUntilItsSessionEnds() {
        let bench = GroupBench()
        let ids = pair(bench)
        // A newcomer begins a rebalance that `a` never joins.
        bench.pass(milliseconds: 5_000)
        _ = bench.beat(ids[1], 1, instance: "b")
        let third = bench.ask(.join(request("c")))
        let second = bench.ask(.join(request("b", id: ids[1])))
        bench.pass(milliseconds: 20_000)
        // It keeps its place in the generation, but does not lead it.
        #expect(bench.joined(second)?.leader == ids[1])
        #expect(bench.joined(second)?.members.map(\.instanceID) == ["a", "b", "c"])
        #expect(bench.joined(third)?.generation == 2)
        bench.syncAll([ids[1], bench.joined(third)!.memberID], generation: 2)
        bench.pass(milliseconds: 20_000)
        #expect(bench.describe()?.members.map(\.instanceID) == ["b", "c"])
        #expect(bench.state() == "PreparingRebalance")
    }

    @Test func whoIsReplacedWhileItWaitsIsTold() {
        let bench = GroupBench()
        let first = bench.ask(.join(request("a")))
        let second = bench.ask(.join(request("a")))
        #expect(bench.error(first) == .fencedInstanceID)
        bench.pass(milliseconds: 6_000)
        #expect(bench.joined(second)?.members.count == 1)
    }

    @Test func anOperatorSendsAStaticMemberAway() {
        let bench = GroupBench()
        _ = pair(bench)
        let question = bench.ask(
            .leave(
                group: "g",
                members: [
                    .init(memberID: "", instanceID: "b"), .init(memberID: "", instanceID: "z"),
                    .init(memberID: "wrong", instanceID: "a"),
                ]))
        #expect(bench.errors(question) == [.none, .unknownMemberID, .fencedInstanceID])
        #expect(bench.describe()?.members.map(\.instanceID) == ["a"])
    }

    @Test func aReplacementThatCannotBeStoredIsRefused() {
        let bench = GroupBench()
        _ = pair(bench)
        bench.outcome = nil
        let back = bench.ask(.join(request("b")))
        #expect(bench.error(back) == nil)
        bench.release(.storageError)
        #expect(bench.error(back) == .coordinatorNotAvailable)
        // It left while that was written.
        let again = bench.ask(.join(request("b")))
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: "", instanceID: "b")]))
        bench.release()
        #expect(bench.error(again) == .unknownMemberID)
    }
}
