import Testing
import TopicProtocol

@testable import BrokerCore

/// Offsets that count once a transaction is committed, as the group coordinator keeps them.
@Suite struct TransactionOffsetTests {
    let bench = GroupBench()
    let anybody = GroupCaller(group: "g")
    let key = OffsetKey(topic: "t", partition: 0)

    private func end(_ producerID: Int64, commit: Bool = true) {
        bench.coordinator.endTransaction(of: producerID, isCommit: commit) { _ in true }
    }

    /// Whichever was written later, not whichever is decided later.
    @Test func theLaterOfTwoTransactionsCounts() {
        for first in [1, 2] as [Int64] {
            bench.commit(anybody, 10 * first, in: 1)
            bench.commit(anybody, 10 * first + 5, in: 2)
            end(first)
            #expect(bench.coordinator.isPending(key, of: "g") == (first == 1))
            end(3 - first)
            #expect(bench.fetch()?.offset == 10 * first + 5)
            #expect(!bench.coordinator.isPending(key, of: "g"))
        }
        // What is aborted takes nobody's place.
        bench.commit(anybody, 30, in: 1)
        bench.commit(anybody, 35, in: 2)
        end(2, commit: false)
        end(1)
        #expect(bench.fetch()?.offset == 30)
        #expect(bench.coordinator.writingBytes == 0)
    }

    /// It may be served before heartbeats that were sent in time.
    @Test func aCommitGivesUpNoMembers() {
        let ids = bench.stableGroup(1)
        bench.stand(milliseconds: 60_000)
        #expect(bench.errors(bench.commit(GroupCaller(group: "other"), 5, in: 1)) == [.none])
        #expect(bench.beat(ids[0], 1) == ErrorCode.none)
    }

    /// Each key knows whose transactions it waits for: others are not looked at, and nobody is forgotten.
    @Test func manyProducersMayChangeOnePartition() {
        for producer in 1...20 as ClosedRange<Int64> {
            bench.commit(anybody, producer, in: producer)
            bench.commit(GroupCaller(group: "other"), producer, in: producer)
        }
        let group = bench.coordinator.groups["g"]!
        #expect(group.pendingProducers == [key: Set(1...20)])
        for producer in 1...19 as ClosedRange<Int64> { end(producer, commit: producer % 2 == 0) }
        #expect(group.pendingProducers == [key: [20]] && bench.coordinator.isPending(key, of: "g"))
        end(20, commit: false)
        #expect(group.pendingProducers.isEmpty && !bench.coordinator.isPending(key, of: "g"))
        #expect(bench.fetch()?.offset == 18 && bench.fetch("other")?.offset == 18)
    }

    /// A commit that the log refuses leaves what was there: it is there after a restart, too.
    @Test(arguments: [true, false]) func whatTheLogRefusesReplacesNothing(_ isTransactional: Bool) {
        bench.commit(anybody, 5, in: 1)
        bench.outcome = .storageError
        if isTransactional {
            #expect(bench.errors(bench.commit(anybody, 7, in: 1)) == [.coordinatorNotAvailable])
        } else {
            #expect(bench.errors(bench.ask(.commit(anybody, GroupBench.offsets(9)))) == [.coordinatorNotAvailable])
        }
        bench.outcome = ErrorCode.none
        #expect(bench.coordinator.isPending(key, of: "g"))
        end(1)
        #expect(bench.fetch()?.offset == 5)
        #expect(bench.coordinator.writingBytes == 0)
    }

    /// As in Kafka: a tombstone is behind what transactions have written, and ends it.
    @Test func deletedOffsetsDoNotComeBack() {
        bench.commit(anybody, 5, in: 1, partitions: [0, 1])
        #expect(bench.errors(bench.ask(.commit(anybody, GroupBench.offsets(4)))) == [.none])
        bench.outcome = .storageError
        let topics = [TopicPartitions(topic: "t", partitions: [0])]
        #expect(bench.error(of: .deleteOffsets(group: "g", topics)) == .coordinatorNotAvailable)
        bench.outcome = ErrorCode.none
        bench.commit(anybody, 6, in: 2)
        #expect(bench.coordinator.isPending(key, of: "g"))
        #expect(bench.errors(bench.ask(.deleteOffsets(group: "g", topics))) == [.none])
        #expect(!bench.coordinator.isPending(key, of: "g"))
        for producer in [1, 2] as [Int64] { end(producer) }
        #expect(bench.fetch()?.offset == -1)
        #expect(bench.fetch("g", "t", 1)?.offset == 5)
        #expect(bench.coordinator.writingBytes == 0)
    }

    /// Its transaction may end while the log takes the group's end; whatever the log says then.
    @Test(arguments: [ErrorCode.none, .storageError], [true, false])
    func aTransactionEndsWhileItsGroupIsDeleted(_ outcome: ErrorCode, isCommit: Bool) {
        bench.commit(anybody, 5, in: 1)
        bench.outcome = nil
        let deleted = bench.ask(.delete(group: "g"))
        end(1, commit: isCommit)
        bench.release(outcome)
        #expect(bench.error(deleted) == (outcome == .none ? ErrorCode.none : .coordinatorNotAvailable))
        bench.outcome = ErrorCode.none
        #expect(bench.fetch()?.offset == (outcome == .none || !isCommit ? -1 : 5))
        #expect(bench.coordinator.writingBytes == 0)
        if outcome == .none { #expect(bench.coordinator.usage.bytes == 0) }
    }

    /// What Kafka answers; producers know no STALE_MEMBER_EPOCH, and end for good with an error that they do not know.
    @Test func whoMayCommit() {
        let ids = bench.stableGroup(1)
        func commit(_ member: String, _ generation: Int32, _ group: String = "g", instance: String? = nil) -> ErrorCode?
        {
            let caller = GroupCaller(group: group, generation: generation, memberID: member, instanceID: instance)
            let question = bench.commit(caller, in: 1)
            return bench.errors(question).first ?? bench.error(question)
        }
        #expect(commit("", -1) == ErrorCode.none, "it has the transaction")
        #expect(commit(ids[0], 1) == ErrorCode.none)
        #expect(commit(ids[0], 0) == .illegalGeneration && commit(ids[0], 2) == .illegalGeneration)
        #expect(commit("stranger", 1) == .unknownMemberID && commit("stranger", -1) == .unknownMemberID)
        #expect(commit(ids[0], 1, instance: "i") == .unknownMemberID)
        #expect(commit("stranger", 1, "none") == .illegalGeneration, "no such group")
        #expect(commit("stranger", -1, "new") == ErrorCode.none)
        // Static: another one has taken over.
        let joining = bench.ask(.join(GroupBench.request(group: "static", instance: "i")))
        for _ in 0..<30 where bench.joined(joining) == nil { bench.pass(milliseconds: 1_000) }
        #expect(commit("old", 1, "static", instance: "i") == .fencedInstanceID)
        #expect(commit(bench.joined(joining)?.memberID ?? "", 1, "static", instance: "i") == ErrorCode.none)
        // While the members wait for the leader.
        let rejoined = bench.ask(.join(GroupBench.request(ids[0], metadata: [1])))
        #expect(bench.joined(rejoined)?.generation == 2)
        #expect(
            bench.error(of: .commit(GroupCaller(group: "g", generation: 2, memberID: ids[0]), GroupBench.offsets()))
                == .rebalanceInProgress)
        #expect(commit(ids[0], 2) == ErrorCode.none)
        // KIP-848.
        var heartbeat = ConsumerGroupClient("a").request(group: "c")
        #expect(bench.heartbeat(bench.ask(heartbeat))?.memberEpoch == 1)
        #expect(commit("a", 1, "c") == ErrorCode.none && commit("", -1, "c") == ErrorCode.none)
        #expect(commit("a", 0, "c") == .illegalGeneration && commit("a", 2, "c") == .illegalGeneration)
        #expect(commit("b", 1, "c") == .unknownMemberID)
        heartbeat.memberEpoch = -1
        bench.ask(heartbeat)
        #expect(commit("a", -1, "c") == ErrorCode.none, "nobody is in it")
    }
}
