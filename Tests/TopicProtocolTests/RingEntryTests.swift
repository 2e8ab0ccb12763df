import Testing

@testable import TopicProtocol

/// Headers in a consumer's ring against bytes packed by hand from docs/protocol.md.
@Suite struct RingEntryTests {
    static let batches: [UInt8] =
        [
            0x63, 0x74, 0x61, 0x62,  // kind 0x62617463
            0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
            0x24, 0x23, 0x22, 0x21,  // partition 0x21222324
            0x34, 0x33, 0x32, 0x31,  // length 0x31323334
            0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,  // first offset 0x4142434445464748
            0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,  // next offset 0x5152535455565758
            0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,  // high watermark 0x6162636465666768
        ] + [UInt8](repeating: 0, count: 24)  // 0 up to 64
    static let skip: [UInt8] =
        [0x70, 0x69, 0x6b, 0x73]  // kind 0x736b6970
        + [UInt8](repeating: 0, count: 60)

    /// Memory that was written before, and the byte behind the header.
    private func encode(_ body: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
        var memory = [UInt8](repeating: 0xee, count: 65)
        unsafe memory.withUnsafeMutableBytes { unsafe body($0) }
        #expect(memory[64] == 0xee)
        return Array(memory[..<64])
    }

    private func parse(_ header: [UInt8]) throws -> RingEntry? {
        try unsafe header.withUnsafeBytes { unsafe try RingEntry.parse($0) }
    }

    @Test func batchesHaveTheirHeader() throws {
        let entry = RingEntry(
            partition: PartitionAddress(topicID: 0x1112_1314, partition: 0x2122_2324), byteCount: 0x3132_3334,
            firstOffset: 0x4142_4344_4546_4748, nextOffset: 0x5152_5354_5556_5758,
            highWatermark: 0x6162_6364_6566_6768)
        let header = unsafe encode { unsafe entry.encode(into: $0) }
        #expect(header == Self.batches)
        let parsed = try #require(try parse(Self.batches))
        #expect(parsed.partition == entry.partition && parsed.byteCount == entry.byteCount)
        #expect(parsed.firstOffset == entry.firstOffset && parsed.nextOffset == entry.nextOffset)
        #expect(parsed.highWatermark == entry.highWatermark)
        for count in 0..<40 { #expect(throws: FrameError.self) { try parse(Array(Self.batches[..<count])) } }
    }

    @Test func aSkipIsItsKind() throws {
        let header = unsafe encode { unsafe RingEntry.encodeSkip(into: $0) }
        #expect(header == Self.skip)
        #expect(try parse(Self.skip) == nil)
        #expect(try parse(Self.skip[..<4] + [UInt8](repeating: 0xff, count: 60)) == nil)
    }

    @Test func otherKindsAreRefused() {
        for place in 0..<4 {
            for header in [Self.batches, Self.skip] {
                var header = header
                header[place] ^= 0x80
                #expect(throws: FrameError.self) { try parse(header) }
            }
        }
    }

    @Test func entriesBeginAtMultiplesOf64() {
        for (byteCount, footprint) in [(0, 64), (1, 128), (64, 128), (65, 192), (1_048_588, 1_048_704)] {
            #expect(RingEntry.footprint(byteCount) == footprint)
        }
    }
}
