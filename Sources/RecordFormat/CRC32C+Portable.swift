extension CRC32C {
    /// The same as `checksum` without CPU support: slicing by eight, one table lookup per byte.
    /// - Parameter crc: The checksum of what came before; 0 for nothing.
    package static func portable(_ crc: UInt32 = 0, with bytes: UnsafeRawBufferPointer) -> UInt32 {
        unsafe ~portableState(~crc, with: bytes)
    }

    /// Runs `bytes` through a state that is neither inverted before nor after.
    static func portableState(_ start: UInt32, with bytes: UnsafeRawBufferPointer) -> UInt32 {
        unsafe slices.withUnsafeBufferPointer { table in
            var state = start
            var position = 0
            while position + 8 <= bytes.count {
                let word = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
                let mixed = word ^ UInt64(state)
                // The byte that is furthest from the end of the word has the most zeros still to pass: table 7.
                state =
                    unsafe table[7 * 256 + Int(mixed & 0xFF)]
                    ^ table[6 * 256 + Int((mixed >> 8) & 0xFF)]
                    ^ table[5 * 256 + Int((mixed >> 16) & 0xFF)]
                    ^ table[4 * 256 + Int((mixed >> 24) & 0xFF)]
                state ^=
                    unsafe table[3 * 256 + Int((mixed >> 32) & 0xFF)]
                    ^ table[2 * 256 + Int((mixed >> 40) & 0xFF)]
                    ^ table[1 * 256 + Int((mixed >> 48) & 0xFF)]
                    ^ table[Int(mixed >> 56)]
                position += 8
            }
            while position < bytes.count {
                state = unsafe table[Int((state ^ UInt32(bytes[position])) & 0xFF)] ^ (state >> 8)
                position += 1
            }
            return state
        }
    }

    /// Eight tables of 256: table k says what a byte does when k zero bytes follow it.
    private static let slices: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var state = UInt32(byte)
            for _ in 0..<8 { state = state & 1 == 0 ? state >> 1 : (state >> 1) ^ 0x82F6_3B78 }
            tables[byte] = state
        }
        for entry in 256..<(8 * 256) {
            let before = tables[entry - 256]
            tables[entry] = tables[Int(before & 0xFF)] ^ (before >> 8)
        }
        return tables
    }()
}
