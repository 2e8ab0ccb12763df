extension JSON {
    /// A field for bytes that should be text: null when there are none, and in base 64, under the name with `Base64`
    /// behind it, when they are not UTF-8.
    static func field(_ name: String, _ bytes: (some Collection<UInt8>)?) -> (name: String, value: JSON) {
        guard let bytes else { return (name, .null) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return (name + "Base64", .text(base64(Array(bytes))))
        }
        return (name, .text(text))
    }

    /// With padding (RFC 4648, section 4).
    private static func base64(_ bytes: [UInt8]) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for digit in 0..<4 {
                let value = Int(bits >> UInt32(18 - 6 * digit)) & 63
                text.append(digit <= group.count ? digits[value] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
