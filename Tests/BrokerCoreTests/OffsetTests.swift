import Testing
import TopicProtocol

@testable import BrokerCore

/// Committed offsets.
@Suite struct OffsetTests {
    private let anybody = GroupCaller(group: "g")

    @Test func whoAsksWithoutAGroupCommitsWhileItHasNoMembers() {
        let bench = GroupBench()
        #expect(bench.fetch()?.offset == -1)
        #expect(bench.errors(bench.ask(.commit(anybody, GroupBench.offsets(metadata: "né")))) == [.none])
        #expect(bench.fetch() == .init(partition: 0, offset: 7, leaderEpoch: 0, metadata: "né"))
        #expect(bench.fetch("other")?.offset == -1)
        let ids = bench.stableGroup(1)
        #expect(bench.error(of: .commit(anybody, GroupBench.offsets())) == .unknownMemberID)
        let caller = GroupCaller(group: "g", generation: 1, memberID: ids[0])
        #expect(bench.errors(bench.ask(.commit(caller, GroupBench.offsets(8)))) == [.none])
        #expect(bench.fetch()?.offset == 8)
    }

    @Test func onlyMembersOfTheGenerationCommit() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2)
        func commit(_ id: String, _ generation: Int32, group: String = "g") -> ErrorCode? {
            bench.error(
                of: .commit(
                    GroupCaller(group: group, generation: generation, memberID: id), GroupBench.offsets()))
        }
        #expect(commit(ids[0], 1) == ErrorCode.none)
        #expect(commit(ids[0], 2) == .illegalGeneration)
        #expect(commit("nobody", 1) == .unknownMemberID)
        #expect(commit("nobody", -1) == .unknownMemberID)
        #expect(commit(ids[0], 1, group: "none") == .groupIDNotFound)
        #expect(commit("nobody", -1, group: "none") == ErrorCode.none, "no members, as in Kafka")
        for id in ids { _ = bench.ask(.join(GroupBench.request(id, metadata: [9]))) }
        #expect(commit(ids[0], 2) == .rebalanceInProgress)
        bench.syncAll(ids, generation: 2)
        // While a group gathers, what was read may still be committed, and is a sign of life.
        _ = bench.ask(.join(GroupBench.request(ids[0])))
        #expect(bench.state() == "PreparingRebalance")
        for _ in 0..<3 {
            bench.pass(milliseconds: 9_000)
            #expect(commit(ids[1], 2) == ErrorCode.none)
        }
    }

    @Test func eachPartitionHasItsOwnAnswer() {
        let bench = GroupBench()
        let topics =
            GroupBench.offsets(partitions: [0, 16]) + GroupBench.offsets(topic: "none")
            + GroupBench.offsets(partitions: [1], metadata: String(repeating: "x", count: 4_097))
            + GroupBench.offsets(-1, partitions: [2]) + GroupBench.offsets(partitions: [3])
        #expect(
            bench.errors(bench.ask(.commit(anybody, topics))) == [
                .none, .unknownTopicOrPartition, .unknownTopicOrPartition, .offsetMetadataTooLarge, .offsetOutOfRange,
                .none,
            ])
        #expect([0, 1, 2, 3].map { bench.fetch("g", "t", $0)?.offset } == [7, -1, -1, 7])
        #expect(bench.errors(bench.ask(.commit(anybody, []))).isEmpty)
    }

    /// The last one counts, and nothing else is written.
    @Test func onePartitionSeveralTimesIsWrittenOnce() {
        let bench = GroupBench()
        bench.outcome = nil
        let topics = [1, 2, 3].flatMap { GroupBench.offsets($0, partitions: [0, 1, 0]) }
        let question = bench.ask(.commit(anybody, topics + GroupBench.offsets(-1)))
        #expect(bench.held.map(\.records.count) == [2])
        bench.release()
        #expect(bench.errors(question) == [ErrorCode](repeating: .none, count: 9) + [.offsetOutOfRange])
        #expect([0, 1].map { bench.fetch("g", "t", $0)?.offset } == [3, 3])
        let failed = bench.ask(.commit(anybody, topics))
        bench.release(.storageError)
        #expect(bench.errors(failed) == [ErrorCode](repeating: .coordinatorNotAvailable, count: 9))
        #expect(GroupBench(log: bench.log).fetch()?.offset == 3)
    }

    @Test func anOffsetCountsOnceItIsDurable() {
        let bench = GroupBench()
        bench.outcome = nil
        let question = bench.ask(.commit(anybody, GroupBench.offsets()))
        #expect(bench.error(question) == nil)
        #expect(bench.fetch()?.offset == -1)
        bench.release()
        #expect(bench.errors(question) == [.none])
        #expect(bench.fetch()?.offset == 7)
        let refused = bench.ask(.commit(anybody, GroupBench.offsets(8)))
        bench.release(.storageError)
        #expect(bench.errors(refused) == [.coordinatorNotAvailable])
        #expect(bench.fetch()?.offset == 7)
    }

    @Test func manyOffsetsAreSeveralWrites() {
        let bench = GroupBench()
        bench.topics["t"] = 1_000
        bench.outcome = nil
        let partitions = (0..<1_000).map { UInt32($0) }
        let metadata = String(repeating: "x", count: 1_000)
        let question = bench.ask(.commit(anybody, GroupBench.offsets(partitions: partitions, metadata: metadata)))
        #expect(bench.held.count == 3)
        #expect(bench.held.map(\.records.count).reduce(0, +) == 1_000)
        bench.release()
        #expect(bench.errors(question) == [ErrorCode](repeating: .none, count: 1_000))
        // And several answers.
        var seen: [UInt32] = []
        var after: Int32 = -1
        var isCut = true
        while isCut {
            let question = bench.ask(.fetch(OffsetFetch(group: "g", scope: .all(afterTopic: "t", partition: after))))
            guard case .offsets(let part) = bench.answers[question]?.body, !part.topics.isEmpty else { break }
            seen += part.topics[0].partitions.map(\.partition)
            after = Int32(seen.last!)
            isCut = part.isCut
        }
        #expect(seen == partitions)
    }

    @Test func everythingOfAGroupIsListedInOrder() {
        let bench = GroupBench()
        bench.topics["a"] = 2
        _ = bench.ask(.commit(anybody, GroupBench.offsets(partitions: [10, 2]) + GroupBench.offsets(topic: "a")))
        let question = bench.ask(.fetch(OffsetFetch(group: "g")))
        guard case .offsets(let all) = bench.answers[question]?.body else { return #expect(Bool(false)) }
        #expect(all.topics.map(\.topic) == ["a", "t"])
        #expect(all.topics[1].partitions.map(\.partition) == [2, 10])
        #expect(!all.isCut)
    }

    @Test func groupsAreDeletedWhenTheyAreEmpty() {
        let bench = GroupBench()
        let ids = bench.stableGroup(1)
        let caller = GroupCaller(group: "g", generation: 1, memberID: ids[0])
        _ = bench.ask(.commit(caller, GroupBench.offsets()))
        #expect(bench.error(of: .delete(group: "g")) == .nonEmptyGroup)
        #expect(bench.error(of: .deleteOffsets(group: "g", [])) == .nonEmptyGroup)
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[0])]))
        #expect(bench.log.count == 2)
        bench.outcome = nil
        let late = bench.ask(.commit(anybody, GroupBench.offsets(9, partitions: [1])))
        let deleted = bench.ask(.delete(group: "g"))
        #expect(bench.error(of: .delete(group: "g")) == .coordinatorNotAvailable)
        bench.release()
        #expect(bench.error(deleted) == ErrorCode.none && bench.error(late) == ErrorCode.none)
        #expect(bench.log.isEmpty)
        #expect(bench.fetch()?.offset == -1)
        #expect(bench.error(of: .describe(group: "g")) == .groupIDNotFound)
    }

    /// Nothing is lost, nor found again after a restart only: the group is there until the log takes its end.
    @Test func aGroupThatCannotBeDeletedStays() {
        let bench = GroupBench()
        _ = bench.ask(.commit(anybody, GroupBench.offsets(partitions: [0, 1])))
        bench.outcome = nil
        let late = bench.ask(.commit(anybody, GroupBench.offsets(9, partitions: [1])))
        let deleted = bench.ask(.delete(group: "g"))
        let requests: [GroupRequest] = [
            .join(GroupBench.request()), .commit(anybody, GroupBench.offsets()), .fetch(OffsetFetch(group: "g")),
        ]
        for request in requests { #expect(bench.error(of: request) == .coordinatorNotAvailable) }
        bench.releaseFirst()
        bench.release(.storageError)
        bench.outcome = ErrorCode.none
        #expect(bench.errors(late) == [.none])
        #expect(bench.error(deleted) == .coordinatorNotAvailable)
        #expect(bench.state() == "Empty")
        #expect([0, 1].map { bench.fetch("g", "t", $0)?.offset } == [7, 9])
        #expect(bench.error(of: .delete(group: "g")) == ErrorCode.none)
        #expect(bench.log.isEmpty && bench.coordinator.usage.bytes == 0)
        #expect(bench.error(of: .describe(group: "g")) == .groupIDNotFound)
    }

    @Test func offsetsAreDeletedOneByOne() {
        let bench = GroupBench()
        _ = bench.ask(.commit(anybody, GroupBench.offsets(partitions: [0, 1])))
        let some = [TopicPartitions(topic: "t", partitions: [1, 2]), TopicPartitions(topic: "none", partitions: [0])]
        let question = bench.ask(.deleteOffsets(group: "g", some))
        #expect(bench.errors(question) == [.none, .none, .unknownTopicOrPartition])
        #expect([0, 1].map { bench.fetch("g", "t", $0)?.offset } == [7, -1])
        #expect(bench.log.count == 1)
        #expect(bench.error(of: .deleteOffsets(group: "none", some)) == .groupIDNotFound)
        bench.outcome = .storageError
        #expect(bench.error(of: .deleteOffsets(group: "g", GroupFrames.first)) == .coordinatorNotAvailable)
        #expect(bench.fetch()?.offset == 7)
    }

    private enum GroupFrames { static let first = [TopicPartitions(topic: "t", partitions: [0])] }

    @Test func whatWasCommittedForATopicGoesWithIt() {
        let bench = GroupBench()
        bench.topics["other"] = 1
        _ = bench.ask(.commit(anybody, GroupBench.offsets() + GroupBench.offsets(topic: "other")))
        bench.coordinator.topicDeleted("t")
        bench.pass(milliseconds: 1)
        #expect(bench.fetch()?.offset == -1)
        #expect(bench.fetch("g", "other")?.offset == 7)
        #expect(bench.log.count == 1)
    }

    @Test func offsetsExpire() {
        var options = GroupOptions()
        options.offsetsRetentionMinutes = 1
        let bench = GroupBench(options)
        _ = bench.ask(.commit(GroupCaller(group: "simple"), GroupBench.offsets()))
        let ids = bench.stableGroup(1)
        _ = bench.ask(.commit(GroupCaller(group: "g", generation: 1, memberID: ids[0]), GroupBench.offsets()))
        // Without members: so long after the commit.
        bench.pass(milliseconds: 5_000)
        _ = bench.beat(ids[0], 1)
        _ = bench.ask(.commit(GroupCaller(group: "simple"), GroupBench.offsets(partitions: [1])))
        for _ in 0..<11 {
            bench.pass(milliseconds: 5_000)
            _ = bench.beat(ids[0], 1)
            bench.coordinator.expireOffsets()
            bench.pass(milliseconds: 1)
        }
        #expect(bench.fetch("simple")?.offset == -1)
        #expect(bench.fetch("simple", "t", 1)?.offset == 7)
        // With members: never. Then so long after the last one left.
        #expect(bench.fetch()?.offset == 7)
        _ = bench.ask(.leave(group: "g", members: [.init(memberID: ids[0])]))
        bench.pass(milliseconds: 59_000)
        bench.coordinator.expireOffsets()
        bench.pass(milliseconds: 1_000)
        #expect(bench.fetch()?.offset == 7)
        bench.coordinator.expireOffsets()
        bench.pass(milliseconds: 1)
        #expect(bench.fetch()?.offset == -1)
        // And the groups themselves.
        bench.coordinator.expireOffsets()
        bench.pass(milliseconds: 1)
        #expect(bench.log.isEmpty)
        #expect(bench.error(of: .describe(group: "g")) == .groupIDNotFound)
    }

    @Test func thereAreOnlySoManyOffsets() {
        var options = GroupOptions()
        options.offsetsMax = 2
        let bench = GroupBench(options)
        #expect(
            bench.errors(bench.ask(.commit(anybody, GroupBench.offsets(partitions: [0, 1, 2])))) == [
                .none, .none, .limitReached,
            ])
        // One that is there may go on.
        #expect(bench.errors(bench.ask(.commit(anybody, GroupBench.offsets(8)))) == [.none])
        let question = bench.ask(.commit(anybody, GroupBench.offsets(partitions: [3])))
        #expect(bench.error(question) == .limitReached)
        #expect(bench.answers[question]?.text.contains("2 (--offsets-max)") == true)
    }

    @Test func aGroupGoesOnAfterARestart() {
        let bench = GroupBench()
        let ids = bench.stableGroup(2)
        _ = bench.ask(.commit(GroupCaller(group: "g", generation: 1, memberID: ids[0]), GroupBench.offsets()))
        let next = GroupBench(log: bench.log)
        #expect(next.describe() == bench.describe())
        #expect(next.fetch()?.offset == 7)
        #expect(next.beat(ids[0], 1) == ErrorCode.none)
        let sync = next.ask(.sync(SyncGroup(caller: .init(group: "g", generation: 1, memberID: ids[1]))))
        #expect(next.assignment(sync) == [1])
        // Who is not heard of is missed as always.
        next.pass(milliseconds: 5_000)
        _ = next.beat(ids[0], 1)
        next.pass(milliseconds: 5_000)
        #expect(next.describe()?.members.map(\.memberID) == [ids[0]])
    }

    /// The broker ended between a topic's deletion and the tombstones of its offsets.
    @Test func offsetsOfTopicsThatAreGoneAreNotLoaded() {
        let bench = GroupBench()
        bench.topics["u"] = 4
        _ = bench.ask(.commit(anybody, GroupBench.offsets() + GroupBench.offsets(topic: "u", partitions: [2])))
        _ = bench.ask(.commit(GroupCaller(group: "other"), GroupBench.offsets(topic: "u")))
        let next = GroupBench(log: bench.log)
        #expect(next.fetch()?.offset == 7)
        next.topics["u"] = 4
        #expect(next.fetch("g", "u", 2)?.offset == -1)
        #expect(next.error(of: .describe(group: "other")) == .groupIDNotFound)
        #expect(next.log.count == 1)
    }

    /// What is read half may have a newer commit, or a sign of life, behind it.
    @Test func nothingExpiresWhileTheLogIsRead() throws {
        let bench = GroupBench()
        let ids = bench.stableGroup(1)
        _ = bench.ask(.commit(GroupCaller(group: "g", generation: 1, memberID: ids[0]), GroupBench.offsets()))
        _ = bench.ask(.commit(GroupCaller(group: "simple"), GroupBench.offsets()))
        let next = GroupBench(log: bench.log, isLoaded: false)
        next.pass(milliseconds: 30 * 24 * 3_600_000)
        next.coordinator.expireOffsets()
        next.pass(milliseconds: 1)
        #expect(next.log == bench.log)
        next.coordinator.finishLoading()
        #expect(next.fetch("simple")?.offset == 7 && next.fetch()?.offset == 7)
        #expect(next.beat(ids[0], 1) == ErrorCode.none)
        // Then as always.
        next.pass(milliseconds: 10_000)
        #expect(next.state() == "Empty")
        next.coordinator.expireOffsets()
        next.pass(milliseconds: 1)
        #expect(next.fetch("simple")?.offset == -1 && next.fetch()?.offset == 7)
    }

    /// Text compares equal in other bytes, too; compaction goes by bytes.
    @Test func tombstonesHaveTheNameOfTheRecords() {
        let bench = GroupBench()
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
        #expect(bench.errors(bench.ask(.commit(GroupCaller(group: composed), GroupBench.offsets()))) == [.none])
        #expect(bench.errors(bench.ask(.commit(GroupCaller(group: decomposed), GroupBench.offsets(8)))) == [.none])
        #expect(bench.log.count == 1)
        #expect(bench.error(of: .delete(group: decomposed)) == ErrorCode.none)
        #expect(bench.log.isEmpty)
    }
}
