import Synchronization
import Testing

@testable import KafkaFrontend

struct FramePoolTests {
    @Test func piecesAreWholePagesAndLittleIsWasted() {
        for count in Array(1...40_000) + [1_048_588, 104_858_112] {
            let piece = FramePool.roundedUp(count)
            #expect(piece >= count && piece % 4096 == 0)
            #expect(piece - count < max(4096, count / 4))
        }
    }

    @Test func memoryIsKeptAndFreedForOtherSizes() throws {
        let pool = FramePool(bytesMax: 1 << 20)
        func take(_ count: Int) throws -> FrameMemory { try #require(pool.take(count, ticket: 0) { { _ in } }) }
        var pieces = try (0..<32).map { _ in try take(32_768) }
        #expect(pool.take(1, ticket: 1) { { _ in } } == nil)
        pool.cancel(1)
        while let piece = pieces.popLast() { pool.giveBack(piece) }
        #expect(pool.byteCounts == (0, 1 << 20))
        let first = try take(32_768)
        #expect(pool.byteCounts == (32_768, 1 << 20))
        pool.giveBack(first)
        pool.giveBack(try take(500_000))
        #expect(pool.byteCounts.used == 0 && pool.byteCounts.held <= 1 << 20)
    }

    @Test func whoCameFirstIsServedFirstAndLongOnesStopNobody() throws {
        let pool = FramePool(bytesMax: 1 << 20)
        let served = Mutex<[(UInt64, FrameMemory)]>([])
        func ask(_ count: Int, _ ticket: UInt64) -> FrameMemory? {
            pool.take(count, ticket: ticket) { { memory in served.withLock { $0.append((ticket, memory)) } } }
        }
        let long = try #require(ask(800_000, 1))
        #expect(ask(400_000, 2) == nil && ask(300_000, 3) == nil)
        // Short ones pass them by, as long as there are any pieces.
        var short: [FrameMemory] = []
        while let piece = ask(16_384, 4) { short.append(piece) }
        #expect(short.count == 8 && ask(4096, 5) == nil && pool.waiterCount == 4)
        pool.giveBack(short.removeLast())
        #expect(served.withLock { $0.map(\.0) } == [4])
        pool.cancel(2)
        pool.giveBack(long)
        #expect(served.withLock { $0.map(\.0) } == [4, 5, 3])
        for (_, memory) in served.withLock({ $0 }) { pool.giveBack(memory) }
        for memory in short { pool.giveBack(memory) }
        #expect(pool.byteCounts.used == 0 && pool.waiterCount == 0)
    }

    /// As when so many connections are lost at once: the time of one must not grow with how many wait.
    @Test(.timeLimit(.minutes(1))) func manyGoAtOnce() throws {
        let pool = FramePool(bytesMax: 1 << 20)
        let served = Mutex<[UInt64]>([])
        func ask(_ count: Int, _ ticket: UInt64) -> FrameMemory? {
            pool.take(count, ticket: ticket) { { _ in served.withLock { $0.append(ticket) } } }
        }
        let count: UInt64 = 40_000
        let long = try #require(ask(900_000, 0))
        var short: [FrameMemory] = []
        while let piece = ask(16_384, count * 3) { short.append(piece) }
        pool.cancel(count * 3)
        for ticket in 1...count {
            guard ask(4096, ticket) == nil, ask(400_000, count + ticket) == nil else { return #expect(Bool(false)) }
        }
        // From the end, from the beginning, and out of the middle; three stay.
        let middle = count / 2
        for ticket in (middle + 2...count).reversed() { pool.cancel(ticket) }
        for ticket in 1..<middle - 1 { pool.cancel(ticket) }
        for ticket in 1...count { pool.cancel(count + ticket) }
        pool.cancel(middle)
        #expect(pool.waiterCount == 2)
        pool.giveBack(long)
        #expect(served.withLock { $0 } == [middle - 1, middle + 1] && pool.waiterCount == 0)
    }
}
