import Testing

@testable import RdmadClient

struct ClockTests {
    @Test func aWaitBecomesATimeWhenTheClockIsFirstRead() {
        var limit = TimeLimit.after(100)
        #expect([1_000, 1_099, 1_100].map { limit.isReached($0) } == [false, false, true])
        var never = TimeLimit.after(.max)
        #expect([1_000, 2_000].map { never.time($0) } == [.max, .max])
    }

    @Test func fourBatchesInARowShareAReading() {
        var clock = BatchClock()
        var time: UInt64 = 1000
        func next(_ isSoon: Bool) -> UInt64 {
            time += 1
            return clock.time(isSoon: isSoon) { time }
        }
        // The first reads in any case.
        #expect([true, true, true, true, true, true].map(next) == [1001, 1001, 1001, 1001, 1001, 1006])
        #expect([true, false, true].map(next) == [1006, 1008, 1008])
    }

    @Test func theWallClockFollowsTheMonotonicOneAndIsReadAgain() {
        var clock = WallClock()
        let start: UInt64 = 5_000_000_000
        // The last is later than the clock is trusted: it is read, while the time given here is made up.
        let read = [0, 40_000_000, 3_600_000_000_000].map { clock.milliseconds(at: start + $0) }
        let now = WallClock.read()
        #expect(read[1] == read[0] + 40)
        #expect(abs(read[0] - now) < 60_000 && abs(read[2] - now) < 60_000)
    }
}
