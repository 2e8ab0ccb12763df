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
                .join(GroupBench.request(group: name)), .join(GroupBench.request(group: name, session: 0)),
                .sync(SyncGroup(caller: caller)), .heartbeat(caller),
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
        let question = bench.ask(.join(GroupBench.request(group: "c")))
        #expect(bench.error(question) == .limitReached)
        #expect(bench.answers[question]?.text.contains("2 (--groups-max)") == true)
        #expect(bench.error(of: .commit(GroupCaller(group: "c"), GroupBench.offsets())) == .limitReached)
        bench.pass(milliseconds: 10_000)
        _ = bench.newID(GroupBench.request(group: "c"))
    }

    private func bench(_ totalBytes: Int) -> GroupBench {
        var options = GroupOptions()
        options.totalBytesMax = totalBytes
        return GroupBench(options)
    }

    private func expectFull(_ bench: GroupBench, _ question: UInt32) {
        #expect(bench.error(question) == .limitReached)
        #expect(bench.answers[question]?.text.contains("(--groups-bytes-max)") == true)
    }

    @Test func idsThatAreGivenOutTakeMemory() {
        let bench = bench(20_000)
        var question: UInt32 = 0
        for number in 0..<300 {
            question = bench.ask(.join(GroupBench.request(group: "g\(number % 3)")))
            if bench.error(question) != .memberIDRequired { break }
        }
        expectFull(bench, question)
        // Groups are memory, too, and both go with the ids.
        bench.pass(milliseconds: 10_000)
        #expect(bench.coordinator.usage.bytes == 0)
        _ = bench.newID()
    }

    @Test func metadataOfOffsetsTakesMemory() {
        let bench = bench(20_000)
        let text = String(repeating: "x", count: 4_000)
        func commit(_ partition: UInt32, _ metadata: String) -> UInt32 {
            bench.ask(
                .commit(GroupCaller(group: "g"), GroupBench.offsets(partitions: [partition], metadata: metadata)))
        }
        for partition in 0..<4 as Range<UInt32> { #expect(bench.errors(commit(partition, text)) == [.none]) }
        let refused = commit(4, text)
        expectFull(bench, refused)
        #expect(bench.answers[refused]?.isTransient == false)
        #expect(bench.fetch("g", "t", 4)?.offset == -1)
        // Who has a place goes on.
        #expect(bench.errors(commit(3, text)) == [.none])
        #expect(bench.errors(commit(3, "")) == [.none])
        #expect(bench.errors(commit(4, text)) == [.none])
        #expect(bench.error(of: .delete(group: "g")) == ErrorCode.none)
        #expect(bench.coordinator.usage.bytes == 0 && bench.coordinator.usage.offsets == 0)
    }

    @Test func whatIsBeingWrittenTakesMemory() {
        let bench = bench(20_000)
        let offsets = GroupBench.offsets(metadata: String(repeating: "x", count: 4_000))
        #expect(bench.errors(bench.ask(.commit(GroupCaller(group: "g"), offsets))) == [.none])
        bench.outcome = nil
        let waiting = (0..<4).map { _ in bench.ask(.commit(GroupCaller(group: "g"), offsets)) }
        let refused = bench.ask(.commit(GroupCaller(group: "g"), offsets))
        expectFull(bench, refused)
        // Of those that only wait for the log the client is told so.
        #expect(bench.answers[refused]?.isTransient == true)
        bench.release()
        #expect(waiting.allSatisfy { bench.errors($0) == [.none] })
        #expect(bench.coordinator.writingBytes == 0)
        bench.outcome = ErrorCode.none
        #expect(bench.errors(bench.ask(.commit(GroupCaller(group: "g"), offsets))) == [.none])
    }

    @Test func assignmentsTakeMemory() {
        let bench = bench(20_000)
        let ids = bench.stableGroup(1)
        let rejoined = bench.ask(.join(GroupBench.request(ids[0], metadata: [1])))
        #expect(bench.joined(rejoined)?.generation == 2)
        let caller = GroupCaller(group: "g", generation: 2, memberID: ids[0])
        func sync(_ byteCount: Int) -> UInt32 {
            let assignment = MemberAssignment(memberID: ids[0], assignment: [UInt8](repeating: 0, count: byteCount))
            return bench.ask(.sync(SyncGroup(caller: caller, assignments: [assignment])))
        }
        expectFull(bench, sync(20_000))
        #expect(bench.assignment(sync(18_000))?.count == 18_000)
        expectFull(
            bench, bench.ask(.commit(caller, GroupBench.offsets(metadata: String(repeating: "x", count: 2_000)))))
    }

    @Test func groupsAreListedInOrderPieceByPiece() throws {
        let bench = GroupBench()
        let names = (0..<2_100).map { "g\($0 * 7 % 2_101)" }
        for name in names { _ = bench.ask(.commit(GroupCaller(group: name), GroupBench.offsets())) }
        for name in names[..<50] { _ = bench.ask(.delete(group: name)) }
        func list(after: String) throws -> GroupList {
            let question = bench.ask(.list(after: after))
            guard case .groups(let list) = bench.answers[question]?.body else { throw BrokerError(.unknown, "") }
            return list
        }
        var listed: [String] = []
        var isCut = true
        while isCut {
            let list = try list(after: listed.last ?? "")
            listed += list.groups.map(\.group)
            isCut = list.isCut
        }
        let isWhole = listed == names[50...].sorted()
        #expect(isWhole)
        #expect(try list(after: "g998x").groups.map(\.group) == ["g999"])
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
        let topics = TestTopics()
        let coordinator = GroupCoordinator(options: GroupOptions(), topics: topics)
        coordinator.handle(
            .list(after: ""), from: ProduceOrigin(door: 0, session: 1, requestID: 1), host: "", now: 0)
        #expect(coordinator.takeAnswers().map(\.error) == [.coordinatorLoadInProgress])
    }
}
