import Testing

@testable import RecordFormat

/// A record as plain values, to compare with.
struct PlainRecord: Equatable {
    var offset: Int64
    var timestamp: Int64
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [RecordHeader] = []
}

/// Reads a batch to its end.
func readRecords(_ bytes: [UInt8]) throws(RecordBatchError) -> [PlainRecord] {
    var records: [PlainRecord] = []
    var failure: RecordBatchError?
    unsafe bytes.withUnsafeBytes { bytes in
        do throws(RecordBatchError) {
            var reader = unsafe try RecordReader(bytes)
            while let record = try reader.next() {
                records.append(
                    PlainRecord(
                        offset: record.offset.rawValue, timestamp: record.timestampMilliseconds,
                        key: unsafe record.key.map { unsafe [UInt8]($0) },
                        value: unsafe record.value.map { unsafe [UInt8]($0) }, headers: record.headers.map(\.copy)))
            }
        } catch { failure = error }
    }
    if let failure { throw failure }
    return records
}

func validate(_ bytes: [UInt8], bytesMax: Int = 1 << 20) throws(RecordBatchError) -> RecordBatchHeader {
    let result = unsafe bytes.withUnsafeBytes { bytes -> Result<RecordBatchHeader, RecordBatchError> in
        do throws(RecordBatchError) {
            return .success(unsafe try RecordBatch.validate(bytes, bytesMax: bytesMax))
        } catch { return .failure(error) }
    }
    return try result.get()
}

/// Builds a batch in a buffer of the given size, as many records as fit.
func build(
    _ records: [PlainRecord], bufferBytes: Int = 1 << 20, producerID: Int64 = -1, epoch: Int16 = -1,
    sequence: Int32 = -1
) -> (bytes: [UInt8], accepted: Int) {
    var memory = [UInt8](repeating: 0xAA, count: bufferBytes)
    var accepted = 0
    var size = 0
    unsafe memory.withUnsafeMutableBytes { buffer in
        var builder = unsafe RecordBatchBuilder(buffer: buffer)
        for record in records {
            guard
                builder.append(
                    key: record.key, value: record.value, headers: record.headers,
                    timestampMilliseconds: record.timestamp)
            else { break }
            accepted += 1
        }
        #expect(builder.recordCount == accepted)
        if accepted > 0 { size = builder.seal(producerID: producerID, epoch: epoch, baseSequence: sequence) }
    }
    #expect(memory[size...].allSatisfy { $0 == 0xAA } || accepted == 0, "bytes behind the batch were written")
    return (Array(memory[..<size]), accepted)
}

@Suite struct RecordBatchTests {
    /// What golden/generate.py put in.
    static let goldenRecords: [PlainRecord] = [
        PlainRecord(offset: 0, timestamp: 1_700_000_000_000, key: Array("key".utf8), value: Array("value".utf8)),
        PlainRecord(offset: 1, timestamp: 1_700_000_000_500, key: nil, value: nil),
        PlainRecord(
            offset: 2, timestamp: 1_699_999_999_000, key: [], value: [],
            headers: [
                RecordHeader(key: "h1", value: Array("v1".utf8)), RecordHeader(key: "h1", value: []),
                RecordHeader(key: "null", value: nil),
            ]),
        PlainRecord(
            offset: 3, timestamp: 1_700_000_000_001, key: [UInt8](repeating: 107, count: 200),
            value: [UInt8](repeating: 118, count: 9000), headers: [RecordHeader(key: "über", value: Array(0...255))]),
    ]

    @Test func readsGoldenBatch() throws {
        let header = try validate(GoldenBatches.keysNullsAndHeaders)
        #expect(header.recordCount == 4)
        #expect(header.maxTimestamp == 1_700_000_000_500)
        #expect(try readRecords(GoldenBatches.keysNullsAndHeaders) == Self.goldenRecords)
    }

    @Test func readsGoldenProducerFields() throws {
        let header = try validate(GoldenBatches.idempotent)
        #expect(header.producerID == 4711 && header.producerEpoch == 3 && header.baseSequence == 2_147_483_646)
        // 2147483646, 2147483647, 0, 1, 2
        #expect(header.lastSequence == 2)
    }

    /// Byte for byte, but for the leader epoch, which kafka-python leaves at 0.
    @Test func buildsGoldenBytes() throws {
        func comparable(_ bytes: [UInt8]) -> [UInt8] { bytes[..<12] + [0, 0, 0, 0] + bytes[16...] }
        #expect(comparable(build(Self.goldenRecords).bytes) == comparable(GoldenBatches.keysNullsAndHeaders))
        let many = try readRecords(GoldenBatches.manyRecords)
        #expect(many.count == 200)
        #expect(comparable(build(many).bytes) == comparable(GoldenBatches.manyRecords))
        let one = try readRecords(GoldenBatches.oneRecord)
        #expect(comparable(build(one).bytes) == comparable(GoldenBatches.oneRecord))
        let five = try readRecords(GoldenBatches.idempotent)
        let bytes = build(five, producerID: 4711, epoch: 3, sequence: 2_147_483_646).bytes
        #expect(comparable(bytes) == comparable(GoldenBatches.idempotent))
    }

    @Test func roundTripsRandomRecords() throws {
        var random = SeededGenerator(state: 7)
        for _ in 0..<20 {
            func bytes(_ most: Int) -> [UInt8]? {
                Int.random(in: 0..<5, using: &random) == 0
                    ? nil
                    : (0..<Int.random(in: 0...most, using: &random)).map { _ in .random(in: 0...255, using: &random) }
            }
            let records = (0..<Int64.random(in: 1...20, using: &random)).map { index in
                PlainRecord(
                    offset: index, timestamp: Int64.random(in: Int64.min...Int64.max, using: &random), key: bytes(40),
                    value: bytes(300),
                    headers: (0..<Int.random(in: 0...3, using: &random)).map {
                        RecordHeader(key: "h\($0)", value: bytes(9))
                    })
            }
            let built = build(records)
            #expect(built.accepted == records.count)
            _ = try validate(built.bytes)
            #expect(try readRecords(built.bytes) == records)
        }
    }

    /// At every buffer size: what does not fit writes nothing, and what was accepted is a whole batch.
    @Test func fillsEveryBufferSize() throws {
        let whole = build(Self.goldenRecords[..<3] + []).bytes.count
        for size in RecordBatchHeader.byteCount...whole {
            let built = build(Self.goldenRecords[..<3] + [], bufferBytes: size)
            #expect((built.accepted == 3) == (size == whole))
            guard built.accepted > 0 else { continue }
            _ = try validate(built.bytes)
            #expect(try readRecords(built.bytes) == Array(Self.goldenRecords[..<built.accepted]))
        }
    }

    @Test func acceptsSpansAndReset() throws {
        var memory = [UInt8](repeating: 0, count: 200)
        var size = 0
        let (key, value): ([UInt8], ContiguousArray<UInt8>) = ([1, 2], [3, 4, 5])
        unsafe memory.withUnsafeMutableBytes { buffer in
            var builder = unsafe RecordBatchBuilder(buffer: buffer)
            let first = unsafe builder.append(value: key.span.bytes, timestampMilliseconds: 1)
            _ = builder.seal()
            builder.reset()
            let second = unsafe builder.append(key: key.span.bytes, value: value.span.bytes, timestampMilliseconds: 5)
            #expect(first && second)
            size = builder.seal()
        }
        let records = try readRecords(Array(memory[..<size]))
        #expect(records == [PlainRecord(offset: 0, timestamp: 5, key: [1, 2], value: [3, 4, 5])])
    }

    /// Bytes 0-7 and 12-15 are the broker's and under no checksum; any other flip is refused.
    @Test func validateRefusesEveryFlippedByte() {
        let good = build(Self.goldenRecords[..<3] + []).bytes
        for position in good.indices where !(0..<8).contains(position) && !(12..<16).contains(position) {
            for mask in [0x01, 0x80, 0xFF] as [UInt8] {
                var bad = good
                bad[position] ^= mask
                #expect(throws: RecordBatchError.self, "byte \(position) ^ \(mask)") { try validate(bad) }
            }
        }
    }

    @Test func validateRefusesEachKindOfDamage() {
        let good = build(Self.goldenRecords).bytes
        func code(_ bytes: [UInt8], bytesMax: Int = 1 << 20) -> RecordBatchError.Code? {
            do throws(RecordBatchError) {
                _ = try validate(bytes, bytesMax: bytesMax)
                return nil
            } catch { return error.code }
        }
        /// Patched, and with a checksum that fits: a producer that lies.
        func forged(_ position: Int, _ value: [UInt8], _ more: (position: Int, value: [UInt8])...) -> [UInt8] {
            var bytes = good
            for (position, value) in [(position, value)] + more {
                bytes.replaceSubrange(position..<(position + value.count), with: value)
            }
            let sum = unsafe CRC32C.checksum(bytes.span.bytes.extracting(21...))
            let digits = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: sum >> $0) }
            bytes.replaceSubrange(17..<21, with: digits)
            return bytes
        }
        #expect(code(good) == nil)
        #expect(code(good, bytesMax: good.count) == nil)
        #expect(code(good, bytesMax: good.count - 1) == .tooLarge)
        #expect(code([]) == .wrongLength)
        #expect(code(Array(good[..<60])) == .wrongLength)
        #expect(code(Array(good.dropLast())) == .wrongLength)
        #expect(code(good + [0]) == .wrongLength)
        #expect(code(forged(16, [1])) == .unsupportedMagic)
        #expect(code(forged(57, [0, 0, 0, 0])) == .wrongRecordCount)
        #expect(code(forged(57, [0, 0, 0, 5])) == .wrongRecordCount)
        // Count and last offset agree, but so many records are longer than the batch.
        #expect(code(forged(57, [0, 1, 0, 0], (23, [0, 0, 0xFF, 0xFF]))) == .wrongRecordCount)
        // Compressed ones may be many, but not without bytes.
        func word(_ number: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
        let most = 256 * (good.count - RecordBatchHeader.byteCount)
        #expect(code(forged(22, [1], (57, word(most)), (23, word(most - 1)))) == nil)
        #expect(code(forged(22, [1], (57, word(most + 1)), (23, word(most)))) == .wrongRecordCount)
        #expect(code(forged(23, [0xFF, 0xFF, 0xFF, 0xFF])) == .wrongRecordCount)
        #expect(code(forged(23, [0x7F, 0xFF, 0xFF, 0xFF])) == .wrongRecordCount)
        #expect(code(forged(22, [5])) == .unsupportedCompression)
        var flipped = good
        flipped[100] ^= 1
        #expect(code(flipped) == .checksumMismatch)
    }

    @Test func assignPatchesTwelveBytes() throws {
        let good = build(Self.goldenRecords).bytes
        var bytes = good
        unsafe bytes.withUnsafeMutableBytes {
            unsafe RecordBatch.assign(baseOffset: Offset(0x0102_0304_0506), leaderEpoch: LeaderEpoch(9), in: $0)
        }
        var expected = good
        expected.replaceSubrange(0..<8, with: [0, 0, 1, 2, 3, 4, 5, 6])
        expected.replaceSubrange(12..<16, with: [0, 0, 0, 9])
        #expect(bytes == expected)
        #expect(try validate(bytes).lastOffset == Offset(0x0102_0304_0506 + 3))
        #expect(try readRecords(bytes).map(\.offset) == (0..<4).map { 0x0102_0304_0506 + $0 })
    }

    @Test func sequencesWrap() {
        #expect(RecordBatchHeader.sequence(5, advancedBy: 1) == 6)
        #expect(RecordBatchHeader.sequence(.max, advancedBy: 0) == .max)
        #expect(RecordBatchHeader.sequence(.max, advancedBy: 1) == 0)
        #expect(RecordBatchHeader.sequence(.max - 1, advancedBy: 4) == 2)
    }

    /// The reader meets bytes nobody validated: every flip and every cut ends in records or an error, never in a trap.
    @Test func readerSurvivesDamage() {
        let good = build(Self.goldenRecords[..<3] + []).bytes
        var refused = 0
        for position in good.indices {
            for mask in [0x01, 0x40, 0x80, 0xFF] as [UInt8] {
                var bad = good
                bad[position] ^= mask
                if (try? readRecords(bad)) == nil { refused += 1 }
            }
            #expect(throws: RecordBatchError.self) { try readRecords(Array(good[..<position])) }
        }
        #expect(refused > good.count)
    }

    @Test func readerRefusesCompressedBatches() {
        var bytes = build(Self.goldenRecords).bytes
        bytes[22] = 1
        #expect { try readRecords(bytes) } throws: { ($0 as? RecordBatchError)?.code == .compressed }
    }
}
