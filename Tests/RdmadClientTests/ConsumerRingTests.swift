import Testing

@testable import RDMATransport
@testable import RdmadClient
@testable import TopicProtocol

@Suite struct ConsumerRingTests {
    /// Plays the broker: writes entries into the ring's memory.
    struct Writer {
        let ring: ConsumerRing
        var written: UInt64 = 0

        mutating func entry(_ byteCount: Int, first: Int64 = 0) -> UInt32 {
            let at = Int(written % UInt64(ring.byteCount))
            let partition = PartitionAddress(topicID: 1, partition: 0)
            let entry = RingEntry(
                partition: partition, byteCount: byteCount, firstOffset: first, nextOffset: first + 1, highWatermark: 9)
            unsafe entry.encode(into: .init(rebasing: ring.memory.bytes[at..<at + RingEntry.headerBytes]))
            written += UInt64(RingEntry.footprint(byteCount))
            return immediate
        }

        mutating func skip() -> UInt32 {
            let at = Int(written % UInt64(ring.byteCount))
            unsafe RingEntry.encodeSkip(into: .init(rebasing: ring.memory.bytes[at..<at + RingEntry.headerBytes]))
            written += UInt64(ring.byteCount - at)
            return immediate
        }

        var immediate: UInt32 { UInt32(truncatingIfNeeded: written / 64) }
    }

    static let wrap: UInt64 = 1 << 38  // 2³² units of 64 bytes
    static let positions: [(written: UInt64, immediate: UInt32, expected: UInt64)] = [
        (0, 1, 64), (0, 0, 0), (64, 1, 64), (4096, 100, 6400), (wrap - 64, 0, wrap), (wrap - 128, 3, wrap + 192),
        (5 * wrap + 640, 11, 5 * wrap + 704),
    ]

    @Test(arguments: positions)
    func positionFromAnImmediate(_ example: (written: UInt64, immediate: UInt32, expected: UInt64)) {
        #expect(ConsumerRing.position(after: example.written, immediate: example.immediate) == example.expected)
    }

    @Test func oneImmediateForSeveralEntries() throws {
        let ring = try ConsumerRing(byteCount: 4096)
        var writer = Writer(ring: ring)
        _ = writer.entry(100, first: 5)
        let found = try ring.advance(writer.entry(1, first: 6))
        #expect(found.map(\.entry.firstOffset) == [5, 6])
        #expect(found.map(\.start) == [0, 192])
        #expect(found.map(\.end) == [192, 320])
    }

    @Test func releaseOutOfOrderGivesTheLongestPrefix() throws {
        let ring = try ConsumerRing(byteCount: 4096)
        var writer = Writer(ring: ring)
        for _ in 0..<2 { _ = writer.entry(0) }
        _ = try ring.advance(writer.entry(0))
        #expect(!ring.release(start: 64))
        #expect(ring.credit(isLate: true) == nil)
        #expect(!ring.release(start: 0))
        #expect(ring.credit(isLate: true) == 128)
        #expect(!ring.release(start: 0))
        #expect(ring.credit(isLate: true) == 128)
        #expect(!ring.release(start: 128))
        #expect(ring.credit(isLate: true) == 192)
    }

    @Test func skippedSpaceNeedsNoRelease() throws {
        let ring = try ConsumerRing(byteCount: 4096)
        var writer = Writer(ring: ring)
        _ = try ring.advance(writer.entry(3000))
        _ = try ring.advance(writer.skip())
        #expect(ring.credit(isLate: true) == nil)
        #expect(ring.release(start: 0))
        #expect(ring.credit(isLate: false) == 4096)
        ring.didCredit(4096)
        #expect(!ring.owesCredit)
        let found = try ring.advance(writer.entry(10))
        #expect(found.map(\.start) == [4096])
    }

    @Test func refusesWhatBreaksTheRing() throws {
        let overrun = try ConsumerRing(byteCount: 4096)
        #expect(throws: FrameError.self) { _ = try overrun.advance(65) }
        let unknown = try ConsumerRing(byteCount: 4096)
        #expect(throws: FrameError.self) { _ = try unknown.advance(1) }
        let crossing = try ConsumerRing(byteCount: 4096)
        var writer = Writer(ring: crossing)
        #expect(throws: FrameError.self) { _ = try crossing.advance(writer.entry(4096)) }
        let beyond = try ConsumerRing(byteCount: 4096)
        writer = Writer(ring: beyond)
        _ = writer.entry(1000)
        #expect(throws: FrameError.self) { _ = try beyond.advance(1) }
    }
}
