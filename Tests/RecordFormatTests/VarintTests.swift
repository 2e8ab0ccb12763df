import Testing

@testable import RecordFormat

@Suite struct VarintTests {
    @Test(
        arguments: [
            (0, [0x00]), (-1, [0x01]), (1, [0x02]), (63, [0x7E]), (-64, [0x7F]), (64, [0x80, 0x01]),
            (300, [0xD8, 0x04]),
            (Int64(Int32.max), [0xFE, 0xFF, 0xFF, 0xFF, 0x0F]), (Int64(Int32.min), [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
            (Int64.max, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
            (Int64.min, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ] as [(Int64, [UInt8])])
    func codes(_ value: Int64, _ expected: [UInt8]) {
        var bytes = [UInt8](repeating: 0xEE, count: 10)
        var end = 0
        unsafe bytes.withUnsafeMutableBytes { unsafe Varint.encode(value, into: $0, at: &end) }
        #expect(Array(bytes[..<end]) == expected)
        #expect(Varint.byteCount(value) == expected.count)
        unsafe expected.withUnsafeBytes { bytes in
            var at = 0
            unsafe #expect(Varint.decode64(bytes, at: &at) == value)
            #expect(at == expected.count)
            at = 0
            unsafe #expect(Varint.decode32(bytes, at: &at) == Int32(exactly: value))
        }
    }

    @Test(
        arguments: [
            [], [0x80], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] as [[UInt8]])
    func refuses(_ malformed: [UInt8]) {
        unsafe malformed.withUnsafeBytes { bytes in
            var at = 0
            unsafe #expect(Varint.decode64(bytes, at: &at) == nil)
        }
    }

    @Test(arguments: [[0xFF, 0xFF, 0xFF, 0xFF, 0x1F], [0x80, 0x80, 0x80, 0x80, 0x80, 0x00]] as [[UInt8]])
    func refusesLongerThan32Bits(_ malformed: [UInt8]) {
        unsafe malformed.withUnsafeBytes { bytes in
            var at = 0
            unsafe #expect(Varint.decode32(bytes, at: &at) == nil)
        }
    }
}
