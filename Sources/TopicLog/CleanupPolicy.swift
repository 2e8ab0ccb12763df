/// What happens to old segments: Kafka's `cleanup.policy`.
package struct CleanupPolicy: OptionSet, Sendable, CustomStringConvertible {
    package let rawValue: UInt8

    /// For `OptionSet`.
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// They are deleted, by age and by size.
    package static let delete = CleanupPolicy(rawValue: 1)
    /// Of each key the latest record is kept.
    package static let compact = CleanupPolicy(rawValue: 2)

    /// Parses `delete`, `compact`, or both with a comma between; nil for anything else.
    package init?(_ text: String) {
        self = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            switch word {
            case "delete": insert(.delete)
            case "compact": insert(.compact)
            default: return nil
            }
        }
    }

    package var description: String {
        [contains(.compact) ? "compact" : nil, contains(.delete) ? "delete" : nil].compactMap(\.self)
            .joined(separator: ",")
    }
}
