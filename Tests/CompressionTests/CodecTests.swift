import RecordFormat
import Testing

@testable import Compression

@Suite struct CodecTests {
    static let codecs: [CompressionType] = [.gzip, .snappy, .lz4, .zstd]

    /// Bytes that compress a little: runs and noise in turn.
    static func sample(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(state: seed)
        var bytes: [UInt8] = []
        while bytes.count < count {
            let run = Int.random(in: 1...200, using: &random)
            bytes +=
                Bool.random(using: &random)
                ? [UInt8](repeating: .random(in: 0...255, using: &random), count: run)
                : (0..<run).map { _ in .random(in: 0...255, using: &random) }
        }
        return Array(bytes[..<count])
    }

    @Test(arguments: codecs) func roundTripsEverySize(_ type: CompressionType) throws {
        for (seed, count) in [0, 1, 15, 100, 32 << 10, (32 << 10) + 1, 65_536, 300_000, 1 << 20].enumerated() {
            let bytes = Self.sample(count, seed: UInt64(seed))
            #expect(try decompress(type, try compress(type, bytes)) == bytes, "\(count) bytes")
        }
    }

    @Test(arguments: codecs) func everyLevelIsTheSameRecords(_ type: CompressionType) throws {
        guard let levels = Compressor.levels(of: type) else { return #expect(type == .snappy) }
        let bytes = Self.sample(50_000, seed: 3)
        for level in [levels.lowerBound, 1, levels.upperBound] {
            #expect(try decompress(type, try compress(type, bytes, level: level)) == bytes, "level \(level)")
        }
    }

    /// State and memory are kept: what one batch leaves behind must not show in the next.
    @Test(arguments: codecs) func oneObjectTakesManyBatches(_ type: CompressionType) throws {
        let compressor = try Compressor(type)
        let decompressor = Decompressor(bytesMax: 1 << 20)
        for (seed, count) in [70_000, 10, 200_000, 0, 5].enumerated() {
            let bytes = Self.sample(count, seed: UInt64(seed))
            var good = try unsafe bytes.withUnsafeBytes { unsafe [UInt8](try compressor.compress($0)) }
            let back = try unsafe good.withUnsafeBytes { unsafe [UInt8](try decompressor.decompress(type, $0)) }
            #expect(back == bytes)
            good.removeLast()
            #expect(throws: CompressionError.self) {
                try unsafe good.withUnsafeBytes { _ = unsafe try decompressor.decompress(type, $0) }
            }
        }
    }

    @Test(arguments: codecs) func theLimitIsExact(_ type: CompressionType) throws {
        let bytes = Self.sample(100_000, seed: 9)
        let compressed = try compress(type, bytes)
        #expect(try decompress(type, compressed, bytesMax: 100_000) == bytes)
        let error = #expect(throws: CompressionError.self) { try decompress(type, compressed, bytesMax: 99_999) }
        #expect(error?.code == .tooLarge)
        #expect(error?.description.contains("99999") == true)
    }

    /// Some hundred kilobytes that would become a gigabyte (of snappy, which never makes less than a 20th, a megabyte
    /// that would become 32).
    @Test(arguments: codecs) func aBombIsRefused(_ type: CompressionType) throws {
        let piece = [UInt8](repeating: 0, count: 16 << 20)
        let one = try compress(type, piece)
        // Members, frames and xerial's blocks may follow each other.
        var bomb = one
        for _ in 1..<(type == .snappy ? 2 : 64) { bomb += type == .snappy ? one[16...] : one[...] }
        #expect(bomb.count < 6 << 20)
        let decompressor = Decompressor(bytesMax: 8 << 20)
        let error = #expect(throws: CompressionError.self) {
            try unsafe bomb.withUnsafeBytes { _ = unsafe try decompressor.decompress(type, $0) }
        }
        #expect(error?.code == .tooLarge, "\(error.map { "\($0)" } ?? "")")
        #expect(decompressor.memoryBytes <= (8 << 20) + 1)
    }

    /// A frame that only claims a gigabyte: refused before any memory is taken.
    @Test func aFalseSizeIsRefused() {
        let zstd: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0]
        #expect(throws: CompressionError.self) { try decompress(.zstd, zstd) }
        let snappy: [UInt8] = [0x80, 0x80, 0x80, 0x80, 0x04, 0]
        let error = #expect(throws: CompressionError.self) { try decompress(.snappy, snappy) }
        #expect(error?.code == .tooLarge)
    }

    @Test(arguments: codecs) func truncatedInputIsAnError(_ type: CompressionType) throws {
        let bytes = Self.sample(40_000, seed: 5)
        let compressed = try compress(type, bytes)
        for length in stride(from: 0, to: compressed.count, by: 61) {
            // xerial's blocks say nothing of how many they are: cut between two, the rest is a shorter whole.
            if type == .snappy, let whole = try? decompress(type, Array(compressed[..<length])) {
                #expect(whole.count < bytes.count && bytes.starts(with: whole))
            } else {
                #expect(throws: CompressionError.self, "\(length) of \(compressed.count)") {
                    try decompress(type, Array(compressed[..<length]))
                }
            }
        }
    }

    /// A flipped bit is an error or other bytes within the limit, never a trap.
    @Test(arguments: codecs) func corruptInputStaysWithinItsMemory(_ type: CompressionType) throws {
        let compressed = try compress(type, Self.sample(20_000, seed: 6))
        var random = SeededGenerator(state: 11)
        var refused = 0
        for _ in 0..<2000 {
            var damaged = compressed
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                damaged[.random(in: 0..<damaged.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
            }
            if let bytes = try? decompress(type, damaged, bytesMax: 64 << 10) {
                #expect(bytes.count <= 64 << 10)
            } else {
                refused += 1
            }
        }
        #expect(refused > 0)
    }
}
