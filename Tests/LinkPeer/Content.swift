import Glibc

/// Bytes that everyone can tell by their number: a window onto one long pattern.
@safe enum Content {
    /// Longest READ and WRITE, in bytes.
    static let transferBytesMax = 160 << 10
    static let patternBytes = transferBytesMax + 8192

    /// No period divides another's, so bytes from a wrong place differ.
    static let all: [UInt8] = (0..<patternBytes).map {
        UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8) &* 7 ^ $0 >> 13)
    }

    static func start(_ number: Int) -> Int { number &* 61 % 8191 }

    /// Whether `bytes` are those of `number`.
    static func equals(_ bytes: UnsafeRawBufferPointer, number: Int) -> Bool {
        let start = start(number)
        return unsafe all.withUnsafeBytes { all in
            unsafe bytes.isEmpty || memcmp(all.baseAddress! + start, bytes.baseAddress!, bytes.count) == 0
        }
    }

    static func fill(_ bytes: UnsafeMutableRawBufferPointer, number: Int) {
        let start = start(number)
        unsafe all.withUnsafeBytes { unsafe bytes.copyMemory(from: .init(rebasing: $0[start..<start + bytes.count])) }
    }

    /// Length of message `number`, up to `longest`.
    static func messageBytes(_ number: Int, longest: Int) -> Int { [0, 1, 64, 500, 3000, 4096, longest][number % 7] }

    /// Length of READ or WRITE `number`: from one byte to more than a hundred packets' worth.
    static func transferBytes(_ number: Int) -> Int {
        [1, 4096, 65536, 100, 70_001, 20_000, transferBytesMax][number % 7]
    }
}
