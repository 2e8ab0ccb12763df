/// When a produced batch counts as committed: acknowledged to its producer and visible to consumers.
package enum FlushPolicy: Sendable, Equatable, CustomStringConvertible {
    /// After fdatasync. Batches that arrive while one sync runs share the next.
    case group
    /// At once; everything is synced every so many milliseconds. A power cut loses what came since.
    case interval(milliseconds: Int)
    /// At once; the kernel writes back when it likes.
    case none

    /// Parses `group`, `interval:MS` or `none`.
    package init?(_ text: String) {
        switch text {
        case "group": self = .group
        case "none": self = .none
        default:
            guard text.hasPrefix("interval:"), let milliseconds = Int(text.dropFirst(9)), milliseconds > 0,
                milliseconds <= 3_600_000
            else { return nil }
            self = .interval(milliseconds: milliseconds)
        }
    }

    package var description: String {
        switch self {
        case .group: "group"
        case .interval(let milliseconds): "interval:\(milliseconds)"
        case .none: "none"
        }
    }
}
