/// A record's place in a partition: 0 for the first record ever appended, then counting up without gaps.
///
/// A type of its own so that an offset is never mistaken for a byte position or a count.
package struct Offset: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number on disk and on the wire (64-bit, big-endian there).
    package let rawValue: Int64

    /// The first offset of a new partition.
    package static let zero = Offset(0)

    /// Wraps a number read from disk or from a peer; any value is accepted, ranges are the reader's to check.
    package init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// The offset `count` records later (earlier when negative). Traps on overflow: 2^63 records cannot be written.
    package func advanced(by count: Int64) -> Offset {
        Offset(rawValue + count)
    }

    /// The number of records from this offset up to, not including, `other`.
    package func distance(to other: Offset) -> Int64 {
        other.rawValue - rawValue
    }

    package static func < (left: Offset, right: Offset) -> Bool {
        left.rawValue < right.rawValue
    }

    package var description: String { String(rawValue) }
}
