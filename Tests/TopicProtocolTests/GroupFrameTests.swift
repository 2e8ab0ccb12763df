import Testing

@testable import TopicProtocol

/// The group frames against bytes that this code did not make, and against broken ones.
@Suite struct GroupFrameTests {
    static let caller = GroupCaller(group: "g", generation: 5, memberID: "m-1", instanceID: "box")
    static let offsets = [
        TopicOffsets(topic: "t", partitions: [.init(partition: 3, offset: 258, leaderEpoch: -1, metadata: "né")])
    ]
    static let topics = [TopicPartitions(topic: "t", partitions: [0, 9])]
    static let requests: [(GroupRequest, String)] = [
        (
            .join(
                JoinGroup(
                    group: "g", instanceID: "box", clientID: "c",
                    protocols: [
                        GroupProtocol(name: "range", metadata: [1, 2, 3]), GroupProtocol(name: "sticky", metadata: []),
                    ], sessionTimeoutMilliseconds: 10_000, rebalanceTimeoutMilliseconds: 60_000)), GoldenFrames.join
        ),
        (
            .sync(
                SyncGroup(
                    caller: caller, protocolType: "consumer", protocolName: "range",
                    assignments: [MemberAssignment(memberID: "m-1", assignment: [9, 8])])), GoldenFrames.sync
        ),
        (.heartbeat(caller), GoldenFrames.heartbeat),
        (
            .leave(
                group: "g", members: [LeavingMember(memberID: "m-1"), LeavingMember(memberID: "", instanceID: "box")]),
            GoldenFrames.leave
        ),
        (.commit(GroupCaller(group: "g"), offsets), GoldenFrames.commit),
        (.fetch(OffsetFetch(group: "g", scope: .partitions(topics))), GoldenFrames.fetch),
        (.fetch(OffsetFetch(group: "g", scope: .all(afterTopic: "t", partition: 3))), GoldenFrames.fetchAll),
        (.list(after: "g"), GoldenFrames.list), (.describe(group: "g"), GoldenFrames.describe),
        (.delete(group: "g"), GoldenFrames.delete), (.deleteOffsets(group: "g", topics), GoldenFrames.deleteOffsets),
    ]

    private func encode(_ body: (inout FrameWriter) -> Void) -> [UInt8] { Fragments.message(body) ?? [] }

    private func parse(_ frame: [UInt8]) throws -> (id: UInt32, GroupRequest) {
        var frame = frame
        let (id, request) = try unsafe frame.withUnsafeMutableBytes { unsafe try Request.parse($0) }
        guard case .group(let group) = request else { throw FrameError("another request") }
        return (id, group)
    }

    @Test func requestsHaveTheirBytes() throws {
        for (request, golden) in Self.requests {
            #expect(encode { Request.group(request).encode(id: 7, into: &$0) } == bytes(golden))
            let (id, parsed) = try parse(bytes(golden))
            #expect(id == 7 && parsed == request)
            #expect(Request.group(request).oldestVersion == 2)
        }
    }

    @Test func everyCutAndEveryExtraByteIsRefused() {
        for (_, golden) in Self.requests {
            let frame = bytes(golden)
            for count in 0..<frame.count {
                #expect(throws: FrameError.self) { try parse(Array(frame[..<count])) }
            }
            #expect(throws: FrameError.self) { try parse(frame + [0]) }
        }
    }

    @Test func falseLengthsEndWithTheFrame() {
        // 65535 protocols, and metadata of 4 GiB.
        let join = bytes(GoldenFrames.join)
        var many = join
        let count = join.count - 2 - (2 + 5 + 4 + 3) - (2 + 6 + 4)
        (many[count], many[count + 1]) = (255, 255)
        var long = join
        for place in join.count - 4..<join.count { long[place] = 255 }
        for frame in [many, long] { #expect(throws: FrameError.self) { try parse(frame) } }
    }

    private func check<T: Equatable>(
        _ value: T, _ golden: String, _ encode: (T, inout FrameWriter) -> Void,
        _ parse: (inout FrameReader) throws(FrameError) -> T
    ) throws {
        #expect(self.encode { encode(value, &$0) } == bytes(golden))
        let parsed = try unsafe bytes(golden).withUnsafeBytes { raw in
            var reader = unsafe FrameReader(raw)
            let value = try parse(&reader)
            try reader.end()
            return value
        }
        #expect(parsed == value)
    }

    @Test func answersHaveTheirBytes() throws {
        let join = JoinGroupAnswer(
            generation: 5, protocolType: "consumer", protocolName: "range", leader: "m-1", memberID: "m-1",
            members: [.init(memberID: "m-1", instanceID: "box", metadata: [1, 2, 3])])
        try check(join, GoldenBodies.joinAnswer, { $0.encode(into: &$1) }, JoinGroupAnswer.init(from:))
        let sync = SyncGroupAnswer(protocolType: "consumer", protocolName: "range", assignment: [9, 8])
        try check(sync, GoldenBodies.syncAnswer, { $0.encode(into: &$1) }, SyncGroupAnswer.init(from:))
        let errors = ErrorList([.none, .unknownMemberID])
        try check(errors, GoldenBodies.errors, { $0.encode(into: &$1) }, ErrorList.init(from:))
        let offsets = OffsetFetchAnswer([("t", Self.offsets[0].partitions[0])])
        try check(offsets, GoldenBodies.offsets, { $0.encode(into: &$1) }, OffsetFetchAnswer.init(from:))
        let groups = GroupList(
            [.init(group: "g", protocolType: "consumer", state: GroupState.stable.rawValue)], isCut: true)
        try check(groups, GoldenBodies.groups, { $0.encode(into: &$1) }, GroupList.init(from:))
        let description = GroupDescription(
            state: GroupState.stable.rawValue, protocolType: "consumer", protocolName: "range", generation: 5,
            members: [
                .init(
                    memberID: "m-1", instanceID: nil, clientID: "c", host: "pid 1", metadata: [1, 2, 3],
                    assignment: [9, 8])
            ])
        try check(description, GoldenBodies.description, { $0.encode(into: &$1) }, GroupDescription.init(from:))
    }

    @Test func offsetsBeyondAnAnswerAreCut() {
        let metadata = String(repeating: "x", count: 4096)
        let all = (0..<1000).map { number in
            ("t\(number / 10)", TopicOffsets.Partition(partition: UInt32(number % 10), offset: 1, metadata: metadata))
        }
        let answer = OffsetFetchAnswer(all)
        #expect(answer.isCut && answer.topics.count > 20 && answer.topics.count < 100)
        let message = Fragments.message {
            Response.encodeAnswer(id: 1, error: .none, text: "", into: &$0) { answer.encode(into: &$0) }
        }
        #expect(message != nil)
    }
}
