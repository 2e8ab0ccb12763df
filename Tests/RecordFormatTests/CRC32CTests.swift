import Testing

@testable import RecordFormat

/// Deterministic pseudo-random numbers (SplitMix64), so that a failure repeats.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct CRC32CTests {
    /// RFC 3720 B.4 and the usual check value.
    static let vectors: [(bytes: [UInt8], sum: UInt32)] = [
        (Array("123456789".utf8), 0xE306_9283),
        ([], 0),
        ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
        ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
        ((0..<32).map { UInt8($0) }, 0x46DD_794E),
        ((0..<32).reversed().map { UInt8($0) }, 0x113F_DB5C),
    ]

    @Test(arguments: vectors) func knownVector(_ vector: (bytes: [UInt8], sum: UInt32)) {
        unsafe vector.bytes.withUnsafeBytes { bytes in
            unsafe #expect(CRC32C.checksum(bytes) == vector.sum)
            unsafe #expect(CRC32C.portable(with: bytes) == vector.sum)
            if CRC32C.isHardwareAvailable { unsafe #expect(CRC32C.hardware(with: bytes) == vector.sum) }
        }
        let ofSpan = unsafe CRC32C.checksum(vector.bytes.span.bytes)
        #expect(ofSpan == vector.sum)
    }

    @Test func hardwareEqualsPortable() {
        guard CRC32C.isHardwareAvailable else { return }
        var random = SeededGenerator(state: 1)
        let bytes = (0..<40_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let edges = [0, 1, 7, 8, 9, 3071, 3072, 3073, 6143, 6144, 6145, 9216]
        unsafe bytes.withUnsafeBytes { all in
            for round in 0..<400 {
                let start = Int.random(in: 0..<64, using: &random)
                let count = round < edges.count ? edges[round] : Int.random(in: 0...(all.count - 64), using: &random)
                let seed = round % 2 == 0 ? 0 : UInt32.random(in: 0...UInt32.max, using: &random)
                let slice = unsafe UnsafeRawBufferPointer(rebasing: all[start..<(start + count)])
                let (fast, slow) = unsafe (CRC32C.hardware(seed, with: slice), CRC32C.portable(seed, with: slice))
                #expect(fast == slow, "start \(start), \(count) bytes")
            }
        }
    }

    /// Every length up to some rounds of the loop, at any place.
    @Test func foldingEqualsPortable() {
        guard CRC32C.isFoldingAvailable else { return }
        var random = SeededGenerator(state: 2)
        let bytes = (0..<70_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        unsafe bytes.withUnsafeBytes { all in
            for count in Array(256..<1100) + [4096, 65_535, 65_536] {
                let start = Int.random(in: 0..<64, using: &random)
                let seed = count % 2 == 0 ? 0 : UInt32.random(in: 0...UInt32.max, using: &random)
                let slice = unsafe UnsafeRawBufferPointer(rebasing: all[start..<(start + count)])
                let (fast, slow) = unsafe (CRC32C.folding(seed, with: slice), CRC32C.portable(seed, with: slice))
                #expect(fast == slow, "start \(start), \(count) bytes")
            }
        }
    }

    /// Pieces give what the whole gives.
    @Test func extends() {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 * 31) }
        unsafe bytes.withUnsafeBytes { all in
            let whole = unsafe CRC32C.checksum(all)
            for cut in [0, 1, 13, 4096, 9999, 10_000] {
                let head = unsafe CRC32C.checksum(.init(rebasing: all[..<cut]))
                unsafe #expect(CRC32C.extend(head, with: .init(rebasing: all[cut...])) == whole)
            }
        }
    }
}
