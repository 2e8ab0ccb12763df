import Testing
import TopicProtocol

@testable import BrokerCore

/// What a group may ask for, and how much of it.
@Suite struct GroupLimitTests {
    @Test func sessionTimeoutsHaveARange() {
        let bench = GroupBench()
        for session in [0, 5_999, 1_800_001, .max] as [UInt32] {
            #expect(bench.error(of: .join(GroupBench.request(session: session))) == .invalidSessionTimeout)
        }
        #expect(bench.answers[1]?.text.contains("group.min.session.timeout.ms") == true)
        for session in [6_000, 1_800_000] as [UInt32] { _ = bench.newID(GroupBench.request(session: session)) }
    }

    @Test func groupsHaveNames() {
        let bench = GroupBench()
        for name in ["", String(repeating: "x", count: 250)] {
            let caller = GroupCaller(group: name)
            let requests: [GroupRequest] = [
                .join(GroupBench.request(group: name)), .sync(SyncGroup(caller: caller)), .heartbeat(caller),
                .leave(group: name, members: []), .commit(caller, []), .fetch(OffsetFetch(group: name)),
                .describe(group: name), .delete(group: name), .deleteOffsets(group: name, []),
            ]
            for request in requests { #expect(bench.error(of: request) == .invalidGroupID) }
        }
        _ = bench.newID(GroupBench.request(group: String(repeating: "x", count: 249)))
    }

    @Test func longNamesAreRefused() {
        let bench = GroupBench()
        let long = String(repeating: "x", count: 250)
        var client = GroupBench.request()
        client.clientID = long
        for request in [
            client, GroupBench.request(instance: long), GroupBench.request(type: long),
            GroupBench.request(protocols: [long]),
        ] { #expect(bench.error(of: .join(request)) == .invalidRequest) }
        let many = (0..<33).map { "p\($0)" }
        #expect(bench.error(of: .join(GroupBench.request(protocols: many))) == .inconsistentGroupProtocol)
    }

    @Test func aGroupIsFull() {
        var options = GroupOptions()
        options.groupSizeMax = 3
        let bench = GroupBench(options)
        let ids = bench.stableGroup(2)
        // Ids that were given out count: who has one finds room.
        let third = bench.newID()
        #expect(bench.error(of: .join(GroupBench.request())) == .groupMaxSizeReached)
        _ = bench.ask(.join(GroupBench.request(third)))
        #expect(bench.error(of: .join(GroupBench.request())) == .groupMaxSizeReached)
        #expect(bench.error(of: .join(GroupBench.request(instance: "s"))) == .groupMaxSizeReached)
        let join = bench.ask(.join(GroupBench.request(ids[0])))
        _ = bench.ask(.join(GroupBench.request(ids[1])))
        #expect(bench.joined(join)?.members.count == 3)
    }

    @Test func metadataIsBounded() {
        var options = GroupOptions()
        options.groupBytesMax = 10_000
        options.totalBytesMax = 15_000
        let bench = GroupBench(options)
        var request = GroupBench.request()
        request.protocols[0].metadata = [UInt8](repeating: 1, count: 6_000)
        let ids = bench.stableGroup(1, request)
        let id = bench.newID(request)
        request.memberID = id
        let question = bench.ask(.join(request))
        #expect(bench.error(question) == .groupMaxSizeReached)
        #expect(bench.answers[question]?.text.contains("10000") == true)
        // What a member brings again takes the place of what it brought.
        request.memberID = ids[0]
        request.protocols[0].metadata = [UInt8](repeating: 2, count: 9_000)
        #expect(bench.error(of: .leave(group: "g", members: [.init(memberID: id)])) == ErrorCode.none)
        #expect(bench.error(of: .join(request)) == ErrorCode.none)
        request.protocols[0].metadata = [UInt8](repeating: 2, count: 10_000)
        #expect(bench.error(of: .join(request)) == .groupMaxSizeReached)
        // All groups together.
        request.group = "other"
        request.memberID = ""
        request.protocols[0].metadata = [UInt8](repeating: 2, count: 8_000)
        request.memberID = bench.newID(request)
        #expect(bench.error(of: .join(request)) == .limitReached)
    }

    @Test func assignmentsAreBounded() {
        let bench = GroupBench()
        let id = bench.newID()
        _ = bench.ask(.join(GroupBench.request(id)))
        bench.pass(milliseconds: 3_000)
        let caller = GroupCaller(group: "g", generation: 1, memberID: id)
        let long = MemberAssignment(memberID: id, assignment: [UInt8](repeating: 0, count: (384 << 10) + 1))
        #expect(bench.error(of: .sync(SyncGroup(caller: caller, assignments: [long]))) == .messageTooLarge)
        bench.syncAll([id], generation: 1)
    }

    @Test func thereAreOnlySoManyGroups() {
        var options = GroupOptions()
        options.groupsMax = 2
        let bench = GroupBench(options)
        _ = bench.newID(GroupBench.request(group: "a"))
        #expect(bench.error(of: .commit(GroupCaller(group: "b"), GroupBench.offsets())) == ErrorCode.none)
        #expect(bench.error(of: .join(GroupBench.request(group: "c"))) == .limitReached)
        #expect(bench.error(of: .commit(GroupCaller(group: "c"), GroupBench.offsets())) == .limitReached)
        bench.pass(milliseconds: 10_000)
        _ = bench.newID(GroupBench.request(group: "c"))
    }

    @Test func aGroupThatIsFullFitsIntoItsAnswers() {
        // As many bytes as members may bring, spread over as many of them as may be.
        let bench = GroupBench()
        let ids = bench.stableGroup(600)
        let description = bench.describe()!
        #expect(description.members.count == ids.count)
        #expect(Fragments.message { description.encode(into: &$0) } != nil)
    }

    @Test func nothingIsAnsweredBeforeTheLogIsRead() {
        let coordinator = GroupCoordinator(options: GroupOptions()) { _ in nil }
        coordinator.handle(
            .list(after: ""), from: ProduceOrigin(door: 0, session: 1, requestID: 1), host: "", now: 0)
        #expect(coordinator.takeAnswers().map(\.error) == [.coordinatorLoadInProgress])
    }
}
