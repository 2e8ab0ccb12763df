/// Kafka's variable-length integers: zig-zag, seven bits a byte, least significant first (Protocol Buffers' sint).
package enum Varint {
    /// The longest encoding of an Int32 and of an Int64.
    package static let byteCountMax32 = 5, byteCountMax64 = 10

    /// How many bytes `value` takes: 1...10 (1...5 for what fits an Int32).
    package static func byteCount(_ value: Int64) -> Int {
        let bits = 64 - zigZag(value).leadingZeroBitCount
        return max(1, (bits + 6) / 7)
    }

    /// Writes `value` at `position` and moves `position` past it. The caller has checked that it fits.
    package static func encode(_ value: Int64, into bytes: UnsafeMutableRawBufferPointer, at position: inout Int) {
        var left = zigZag(value)
        while left > 0x7F {
            unsafe bytes[position] = UInt8(truncatingIfNeeded: left) | 0x80
            position += 1
            left >>= 7
        }
        unsafe bytes[position] = UInt8(left)
        position += 1
    }

    /// Reads an Int32 and moves `position` past it.
    /// - Returns: nil when the bytes end first, or the encoding is longer than five bytes or than 32 bits.
    package static func decode32(_ bytes: UnsafeRawBufferPointer, at position: inout Int) -> Int32? {
        guard let raw = unsafe decode(bytes, at: &position, byteCountMax: byteCountMax32), raw <= UInt32.max else {
            return nil
        }
        return Int32(truncatingIfNeeded: unZigZag(raw))
    }

    /// Reads an Int64 and moves `position` past it.
    /// - Returns: nil when the bytes end first, or the encoding is longer than ten bytes or than 64 bits.
    package static func decode64(_ bytes: UnsafeRawBufferPointer, at position: inout Int) -> Int64? {
        guard let raw = unsafe decode(bytes, at: &position, byteCountMax: byteCountMax64) else { return nil }
        return unZigZag(raw)
    }

    private static func decode(
        _ bytes: UnsafeRawBufferPointer, at position: inout Int, byteCountMax: Int
    ) -> UInt64? {
        var value: UInt64 = 0
        for index in 0..<byteCountMax {
            guard position < bytes.count else { return nil }
            let byte = unsafe bytes[position]
            position += 1
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << UInt64(7 * index)
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }

    private static func zigZag(_ value: Int64) -> UInt64 {
        UInt64(bitPattern: (value << 1) ^ (value >> 63))
    }

    private static func unZigZag(_ raw: UInt64) -> Int64 {
        Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    }
}
