import Compression
import RecordFormat
import Testing

/// Batches of kafka-python, read here; the other way round is in tools/test-interop.
@Suite struct GoldenTests {
    /// As in golden/generate.py.
    static let records: [PlainRecord] = (0..<120).map { number in
        var record = PlainRecord(timestamp: 1_700_000_000_000 + Int64(number))
        if number % 7 != 3 { record.key = "key \(number % 10)" }
        if number % 11 != 5 { record.value = String(repeating: "value \(number) ", count: 40) }
        if number % 13 == 0 {
            record.headers = [
                RecordHeader(key: "h", value: Array("\(number)".utf8)), RecordHeader(key: "null", value: nil),
            ]
        }
        return record
    }
    static let golden: [(CompressionType, [UInt8])] = [
        (.gzip, GoldenCompressed.gzip), (.snappy, GoldenCompressed.snappy), (.lz4, GoldenCompressed.lz4),
        (.zstd, GoldenCompressed.zstd),
    ]

    @Test(arguments: golden) func readsWhatKafkaPythonWrites(_ type: CompressionType, _ batch: [UInt8]) throws {
        let header = try unsafe batch.withUnsafeBytes { unsafe try RecordBatch.validate($0, bytesMax: 1 << 20) }
        #expect(header.compressionType == type && header.recordCount == 120 && header.producerID == 4711)
        #expect(try readAll(batch) == Self.records)
    }

    /// As librdkafka writes it: one block without xerial's framing.
    @Test func readsBareSnappy() throws {
        let plain = try decompress(.snappy, Array(GoldenCompressed.snappy[RecordBatchHeader.byteCount...]))
        #expect(try decompress(.snappy, GoldenCompressed.bareSnappyRecords) == plain)
    }

    @Test(arguments: golden) func readsItsOwn(_ type: CompressionType, _ batch: [UInt8]) throws {
        let ours = try build(Self.records, type)
        let header = try unsafe ours.withUnsafeBytes { unsafe try RecordBatch.validate($0, bytesMax: 1 << 20) }
        #expect(header.compressionType == type && header.recordCount == 120 && header.lastOffsetDelta == 119)
        #expect(header.maxTimestamp == 1_700_000_000_119)
        #expect(ours.count < 3 * batch.count, "\(ours.count) bytes, kafka-python makes \(batch.count)")
        #expect(try readAll(ours) == Self.records)
    }
}

/// A record as plain values, to compare with.
struct PlainRecord: Equatable {
    var timestamp: Int64
    var key: String?
    var value: String?
    var headers: [RecordHeader] = []
}

/// A compressed batch.
func build(_ records: [PlainRecord], _ type: CompressionType) throws -> [UInt8] {
    var memory = [UInt8](repeating: 0, count: 1 << 20)
    let size = try unsafe memory.withUnsafeMutableBytes { buffer in
        var builder = unsafe RecordBatchBuilder(buffer: buffer)
        for record in records {
            let fits = builder.append(
                key: record.key.map { Array($0.utf8) }, value: record.value.map { Array($0.utf8) },
                headers: record.headers, timestampMilliseconds: record.timestamp)
            #expect(fits)
        }
        let compressor = try Compressor(type)
        unsafe builder.replaceRecords(with: try compressor.compress(builder.records), type)
        return builder.seal()
    }
    return Array(memory[..<size])
}

func readAll(_ batch: [UInt8]) throws -> [PlainRecord] {
    let decompressor = Decompressor(bytesMax: 1 << 20)
    func text(_ bytes: UnsafeRawBufferPointer?) -> String? {
        unsafe bytes.map { unsafe String(decoding: $0, as: UTF8.self) }
    }
    return try unsafe batch.withUnsafeBytes { bytes in
        let header = unsafe try RecordReader.header(of: bytes)
        let records = unsafe UnsafeRawBufferPointer(rebasing: bytes[RecordBatchHeader.byteCount...])
        let type = try #require(header.compressionType)
        var reader = unsafe RecordReader(header, decompressed: try decompressor.decompress(type, records))
        var result: [PlainRecord] = []
        while let record = try reader.next() {
            result.append(
                PlainRecord(
                    timestamp: record.timestampMilliseconds, key: unsafe text(record.key),
                    value: unsafe text(record.value), headers: record.headers.map(\.copy)))
        }
        return result
    }
}

func decompress(_ type: CompressionType, _ bytes: [UInt8], bytesMax: Int = 1 << 20) throws(CompressionError) -> [UInt8] {
    let decompressor = Decompressor(bytesMax: bytesMax)
    let result = unsafe bytes.withUnsafeBytes { bytes -> Result<[UInt8], CompressionError> in
        do throws(CompressionError) {
            return .success(unsafe [UInt8](try decompressor.decompress(type, bytes)))
        } catch { return .failure(error) }
    }
    return try result.get()
}

func compress(_ type: CompressionType, _ bytes: [UInt8], level: Int? = nil) throws -> [UInt8] {
    let compressor = try Compressor(type, level: level)
    return try unsafe bytes.withUnsafeBytes { unsafe [UInt8](try compressor.compress($0)) }
}
