/// One place where the tree breaks the style.
struct Violation: Hashable, CustomStringConvertible {
    let path: String
    /// Counted from 1; 0 for the file as a whole.
    let line: Int
    let message: String

    var description: String { line == 0 ? "\(path): \(message)" : "\(path):\(line): \(message)" }
}

/// A check of one file, and what it may overlook for now.
struct Rule: Sendable {
    /// Names the rule in ``KnownViolations``.
    let name: String
    /// Whether the rule looks at a file, by its path from the root.
    let applies: @Sendable (String) -> Bool
    let check: @Sendable (SourceFile) -> [Violation]
}
