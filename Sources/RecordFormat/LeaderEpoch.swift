/// How many times a partition's leadership has changed hands; every stored batch carries the epoch that accepted it.
package struct LeaderEpoch: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number on disk and on the wire (32-bit, big-endian there). -1 in a batch that no broker has accepted yet.
    package let rawValue: Int32

    /// The epoch of a broker that has no cluster.
    package static let zero = LeaderEpoch(0)
    /// What a producer writes into a batch.
    package static let unassigned = LeaderEpoch(-1)

    /// Wraps a number read from disk or from a peer; any value is accepted.
    package init(_ rawValue: Int32) {
        self.rawValue = rawValue
    }

    package static func < (left: LeaderEpoch, right: LeaderEpoch) -> Bool {
        left.rawValue < right.rawValue
    }

    package var description: String { String(rawValue) }
}
