/// A topic's id, chosen at random when the topic is made and its own for its life: 128 bits, Kafka's `Uuid`.
///
/// As text, 22 characters of base64url, as Kafka writes it. Never zero, which stands for none.
package struct TopicUUID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new one, of version 4 (RFC 9562). - Parameter random: 64 random bits.
    package init(random: () -> UInt64) {
        let high = random() & ~0xf000 | 0x4000
        // None begins with '-', which a command would take for an option.
        self.high = high >> 58 == 62 ? high ^ 1 << 63 : high
        low = random() & ~(3 << 62) | 1 << 63
    }

    /// Nil for what is not such a text.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 22 else { return nil }
        var value: UInt128 = 0
        for (place, character) in text.utf8.enumerated() {
            guard let digit = Self.digits.firstIndex(of: character) else { return nil }
            // The last character has two bits.
            guard place == 21 else {
                value = value << 6 | UInt128(digit)
                continue
            }
            guard digit & 15 == 0 else { return nil }
            value = value << 2 | UInt128(digit >> 4)
        }
        high = UInt64(truncatingIfNeeded: value >> 64)
        low = UInt64(truncatingIfNeeded: value)
    }

    package var description: String {
        var value = UInt128(high) << 64 | UInt128(low)
        var text = ""
        for _ in 0..<22 {
            text.unicodeScalars.append(Unicode.Scalar(Self.digits[Int(value >> 122)]))
            value <<= 6
        }
        return text
    }

    package static func < (left: TopicUUID, right: TopicUUID) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }

    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
}
