internal import CLinux

/// CRC-32C (Castagnoli), the checksum of RecordBatch v2.
///
/// Polynomial 0x1EDC6F41, reflected, initial value and final XOR all ones; "123456789" gives 0xE3069283 (RFC 3720).
package enum CRC32C {
    /// Whether this CPU has the instructions; decides the path of `checksum` once per process.
    package static let isHardwareAvailable = clinux_has_crc32c() != 0
    /// Whether it multiplies polynomials 64 bytes at a time (AVX-512 with VPCLMULQDQ).
    package static let isFoldingAvailable = clinux_has_crc32c_fold() != 0
    /// What folding takes at least, in bytes.
    private static let foldingBytesMin = 256

    /// The checksum of `bytes`.
    /// - Parameter bytes: Any length and alignment, borrowed for the call.
    /// - Complexity: O(n), no allocation after the first call.
    package static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        unsafe extend(0, with: bytes)
    }

    /// The checksum of `bytes`.
    package static func checksum(_ bytes: RawSpan) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe extend(0, with: $0) }
    }

    /// The checksum of a longer run of bytes, of which `crc` is the checksum of what came before `bytes`.
    /// - Parameter crc: 0 for nothing before.
    package static func extend(_ crc: UInt32, with bytes: UnsafeRawBufferPointer) -> UInt32 {
        if isFoldingAvailable, bytes.count >= foldingBytesMin { return unsafe folding(crc, with: bytes) }
        return isHardwareAvailable ? unsafe hardware(crc, with: bytes) : unsafe portable(crc, with: bytes)
    }

    /// The same by carry-less multiplication. On AMD's processors, where the CRC instruction takes three cycles and
    /// does not overlap with itself, six times as fast as ``hardware(_:with:)``.
    /// - Precondition: `isFoldingAvailable`, and at least 256 bytes.
    package static func folding(_ crc: UInt32 = 0, with bytes: UnsafeRawBufferPointer) -> UInt32 {
        precondition(isFoldingAvailable && bytes.count >= foldingBytesMin, "this CPU cannot fold, or not so few bytes")
        return unsafe ~clinux_crc32c_fold(~crc, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// The same by the CPU's CRC instruction, three interleaved streams at a time.
    /// - Precondition: `isHardwareAvailable`.
    package static func hardware(_ crc: UInt32 = 0, with bytes: UnsafeRawBufferPointer) -> UInt32 {
        precondition(isHardwareAvailable, "this CPU has no CRC-32C instruction")
        guard let start = bytes.baseAddress else { return crc }
        var position = unsafe start.assumingMemoryBound(to: UInt8.self)
        var left = bytes.count
        var state = ~crc
        if left >= 3 * blockBytes {
            unsafe blockShift.withUnsafeBufferPointer { table in
                while left >= 3 * blockBytes {
                    // The instruction takes three cycles and one can start in each, so three independent streams run
                    // at three times the speed of one. Afterwards the first two are moved past what follows them.
                    var first = UInt64(state)
                    var second: UInt64 = 0
                    var third: UInt64 = 0
                    unsafe clinux_crc32c_three(position, blockBytes, &first, &second, &third)
                    state = unsafe shift(UInt32(truncatingIfNeeded: first), table) ^ UInt32(truncatingIfNeeded: second)
                    state = unsafe shift(state, table) ^ UInt32(truncatingIfNeeded: third)
                    unsafe position += 3 * blockBytes
                    left -= 3 * blockBytes
                }
            }
        }
        return unsafe ~clinux_crc32c_run(state, position, left)
    }

    /// Bytes per stream: large enough that the two table shifts per round cost some 5 %, small enough that batches of a
    /// few KiB profit.
    static let blockBytes = 1024

    /// What `blockBytes` zero bytes do to a state, one table of 256 entries per byte of the state.
    ///
    /// Feeding zeros is linear over GF(2): the effect on a state is the XOR of the effects on its bits.
    private static let blockShift: [UInt32] = {
        let zeros = [UInt8](repeating: 0, count: blockBytes)
        let bits = (0..<32).map { bit in
            unsafe zeros.withUnsafeBytes { unsafe portableState(UInt32(1) << UInt32(bit), with: $0) }
        }
        return (0..<1024).map { entry in
            let (byte, value) = (entry / 256, entry % 256)
            return (0..<8).reduce(UInt32(0)) { value & (1 << $1) == 0 ? $0 : $0 ^ bits[byte * 8 + $1] }
        }
    }()

    /// The state after `blockBytes` zero bytes. The indices stay below 1024 by construction.
    private static func shift(_ state: UInt32, _ table: UnsafeBufferPointer<UInt32>) -> UInt32 {
        unsafe table[Int(state & 0xFF)]
            ^ table[256 + Int((state >> 8) & 0xFF)]
            ^ table[512 + Int((state >> 16) & 0xFF)]
            ^ table[768 + Int(state >> 24)]
    }
}
