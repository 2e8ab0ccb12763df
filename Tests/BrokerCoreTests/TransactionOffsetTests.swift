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
}
