import Compression
import RecordFormat
import Testing

@Suite struct RecordInspectorTests {
    static let codecs: [CompressionType] = [.none, .gzip, .snappy, .lz4, .zstd]

    private func inspect(_ batch: [UInt8]) throws -> [Int32] {
        try unsafe batch.withUnsafeBytes { unsafe try RecordInspector().inspect($0) }
    }

    private func refusal(of batch: [UInt8]) -> RecordBatchError.Code? {
        do {
            _ = try inspect(batch)
            return nil
        } catch { return (error as? RecordBatchError)?.code }
    }

    @Test(arguments: GoldenTests.golden) func findsRecordsWithoutAKey(_ type: CompressionType, _ batch: [UInt8]) throws
    {
        let expected = GoldenTests.records.indices.filter { GoldenTests.records[$0].key == nil }.map(Int32.init)
        #expect(expected.count == 17)
        #expect(try inspect(batch) == expected)
        // Nobody else looks into it.
        #expect(try unsafe batch.withUnsafeBytes { unsafe try RecordBatch.keylessRecords($0) } == [])
    }

    /// Records whose bytes are under a right checksum, and are no records.
    @Test(arguments: codecs) func refusesWhatIsNoRecord(_ type: CompressionType) throws {
        let good = try records([.plain(1), .plain(2)])
        #expect(try inspect(batch(good, count: 2, type)) == [0, 1])
        let bad: [(what: String, bytes: [UInt8], count: Int32)] = [
            ("fewer than announced", good, 3), ("more than announced", good, 1), ("cut", good.dropLast(), 2),
            ("the first one's length", [0xff, 0xff, 0x03] + good.dropFirst(), 2), ("nothing", [], 2),
            ("two of one offset", try records([.plain(1)]) + records([.plain(1)]), 2),
        ]
        for (what, bytes, count) in bad {
            #expect(refusal(of: try batch(bytes, count: count, type)) == .malformedRecord, "\(what)")
        }
    }

    @Test(arguments: codecs.dropFirst()) func refusesWhatIsNotOfItsCodec(_ type: CompressionType) throws {
        var batch = try batch(records([.plain(1)]), count: 1, type)
        for place in RecordBatchHeader.byteCount..<batch.count { batch[place] = 0x5a }
        #expect(refusal(of: batch) == .malformedRecord)
    }

    @Test(arguments: [CompressionType.gzip, .zstd]) func refusesBombs(_ type: CompressionType) throws {
        let batch = try batch([UInt8](repeating: 0, count: RecordInspector.batchBytesMax + 1), count: 1, type)
        #expect(batch.count < 1 << 20 && refusal(of: batch) == .tooLarge)
    }

    /// The largest batch, again and again.
    @Test func aRequestHasALimit() throws {
        let value = [UInt8](repeating: 7, count: RecordInspector.batchBytesMax - 100)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordInspector.batchBytesMax, alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        let fits = builder.append(key: nil, value: value, timestampMilliseconds: 1_700_000_000_000)
        #expect(fits)
        let batch = try unsafe batch(Array(builder.records), count: 1, .zstd)
        let inspector = RecordInspector()
        func isTaken() -> Bool { (try? unsafe batch.withUnsafeBytes { unsafe try inspector.inspect($0) }) != nil }
        let most = RecordInspector.requestBytesMax / RecordInspector.batchBytesMax
        for _ in 0..<most { #expect(isTaken()) }
        #expect(!isTaken())
        inspector.beginRequest()
        #expect(isTaken())
    }

    /// Each block makes room for itself: for a hundred thousand of them that must not copy all before it each time.
    @Test(.timeLimit(.minutes(1))) func manySmallBlocksAreOneBatch() throws {
        // A literal of one byte and a copy of 64: 65 bytes in six.
        let block: [UInt8] = [0, 0, 0, 6, 65, 0, 0x41, 0xfe, 1, 0]
        let count = 240_000
        let xerial: [UInt8] = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]
        let stream = xerial + [[UInt8]](repeating: block, count: count).joined()
        let plain = try decompress(.snappy, stream, bytesMax: 16 << 20)
        #expect(plain == [UInt8](repeating: 0x41, count: 65 * count))
    }

    @Test func tellsOfTheFirstKeylessRecordsOnly() throws {
        let many = (0..<2000).map { PlainRecord.plain($0) }
        #expect(try inspect(build(many, .zstd)) == (0..<Int32(RecordReader.keylessRecordsMax)).map { $0 })
    }

    /// The bytes of some records, as a batch has them.
    private func records(_ records: [PlainRecord]) throws -> [UInt8] {
        Array(try build(records, .none)[RecordBatchHeader.byteCount...])
    }

    /// A batch around any bytes. The checksum is not looked at: it was before.
    private func batch(_ records: [UInt8], count: Int32, _ type: CompressionType) throws -> [UInt8] {
        let body = try compress(type, records)
        var header = try build((0..<Int(count)).map { .plain($0) }, .none)[..<RecordBatchHeader.byteCount]
        let length = RecordBatchHeader.byteCount - 12 + body.count
        header.replaceSubrange(8..<12, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) })
        header[22] = UInt8(type.rawValue)
        return header + body
    }
}

extension PlainRecord {
    fileprivate static func plain(_ number: Int) -> PlainRecord {
        PlainRecord(timestamp: 1_700_000_000_000, value: "value \(number)")
    }
}
