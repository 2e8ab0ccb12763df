import KafkaProtocol
import Reactor
import Synchronization
import Testing
import TopicLog

@testable import KafkaFrontend

@Suite struct RequestAccountTests {
    @Test func whoFindsNoRoomIsCalled() {
        let account = RequestAccount(bytesMax: 100)
        let calls = Mutex(0)
        func hasRoom() -> Bool { account.hasRoom { { calls.withLock { $0 += 1 } } } }
        var shares = (0..<10).map { _ in account.take(10) }
        #expect(account.bytes == 100 && !hasRoom() && !hasRoom())
        // Not for every little room.
        shares.removeLast()
        #expect(calls.withLock { $0 } == 0 && hasRoom())
        shares.removeLast(2)
        #expect(calls.withLock { $0 } == 2)
        shares = []
        #expect(account.bytes == 0 && calls.withLock { $0 } == 2)
    }

    /// One that is longer than all may be is served, too.
    @Test func aLongRequestFindsRoom() {
        let account = RequestAccount(bytesMax: 100)
        #expect(account.hasRoom { {} })
        let share = account.take(1_000)
        #expect(!account.hasRoom { {} })
        withExtendedLifetime(share) {}
    }

    /// While somebody waits, and for a second after that, nobody has been heard who did not wait.
    @Test func whoIsNotReadIsNotSilent() {
        let account = RequestAccount(bytesMax: 100)
        let begin = Clock.monotonicNanoseconds()
        #expect(account.heardUntil(now: begin) == begin)
        var share: RequestShare? = account.take(100)
        #expect(account.heardUntil(now: begin) == begin && share != nil)
        #expect(!account.hasRoom { {} })
        let late = begin + 60_000_000_000
        let since = account.heardUntil(now: late)
        #expect((begin...Clock.monotonicNanoseconds()).contains(since))
        share = nil
        let now = Clock.monotonicNanoseconds()
        #expect(account.heardUntil(now: now) == since)
        #expect(account.heardUntil(now: late) == late && account.heardUntil(now: now) == now)
    }

    /// What waits for the disk is held until it is answered.
    @Test func aCommitThatWaitsIsCounted() throws {
        let bench = try DoorBench(flush: .group)
        let account = RequestAccount(bytesMax: 100)
        bench.account = account
        try bench.createTopic("t")
        let client = bench.connect()
        // A sync may be done within the turn, but hardly all.
        var held = 0
        for offset in 1...20 as ClosedRange<Int64> {
            let asked = bench.post(client, 2, commit("g", "t", 0, offset: offset))
            bench.turn()
            held += account.bytes
            let answer: OffsetCommitResponse = try bench.response(to: asked, 2)
            #expect(answer.topics[0].partitions[0].errorCode == .none)
            #expect(account.bytes == 0)
        }
        #expect(held > 0)
    }
}
