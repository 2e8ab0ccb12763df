/// Places that broke the style when the check was written, per rule and file: no file may get more of them.
/// Lower the number with each one mended; nothing is ever added.
enum KnownViolations {
    private static let counts: [String: [String: Int]] = [:]

    static func count(_ rule: String, _ path: String) -> Int { counts[rule]?[path] ?? 0 }

    static var paths: [String] { counts.values.flatMap(\.keys).sorted() }
}
