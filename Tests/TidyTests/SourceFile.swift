/// A file's text in the three forms that the rules look at.
struct SourceFile {
    /// From the root, with slashes.
    let path: String
    let lines: [String]
    /// The same lines with comments and the text of string literals blanked: what the compiler acts on.
    let code: [String]

    init(path: String, text: String) {
        self.path = path
        lines = Self.split(text)
        code = Self.split(CodeView.code(of: text))
    }

    /// The module below `Sources`, or nil.
    var module: String? {
        let parts = Repository.inPackage(path).split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    func violation(_ line: Int, _ message: String) -> Violation {
        Violation(path: path, line: line, message: message)
    }

    /// By bytes: a carriage return or a combining mark must not hide a line's end, or the two forms would differ.
    private static func split(_ text: String) -> [String] {
        var lines = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { String(decoding: $0, as: UTF8.self) }
    }
}

/// Blanks comments and string literals of Swift (and near enough of C), so that words and braces can be counted.
struct CodeView {
    private enum Context {
        case code
        /// Inside `\(…)`, with this many parentheses open.
        case interpolation(open: Int)
        case string(isMultiline: Bool, hashes: Int)
        case lineComment
        case blockComment(depth: Int)
    }

    private let input: [Unicode.Scalar]
    private var output = String.UnicodeScalarView()
    private var stack = [Context.code]
    private var at = 0

    static func code(of text: String) -> String {
        var view = CodeView(input: Array(text.unicodeScalars))
        while view.at < view.input.count { view.step() }
        return String(view.output)
    }

    private init(input: [Unicode.Scalar]) { self.input = input }

    private mutating func step() {
        switch stack[stack.count - 1] {
        case .code, .interpolation: code()
        case .string(let isMultiline, let hashes): string(isMultiline, hashes)
        case .lineComment:
            if input[at] == "\n" { stack.removeLast() }
            skip(1)
        case .blockComment(let depth):
            if matches("*/") {
                stack.removeLast()
                if depth > 1 { stack.append(.blockComment(depth: depth - 1)) }
                skip(2)
            } else if matches("/*") {
                stack[stack.count - 1] = .blockComment(depth: depth + 1)
                skip(2)
            } else {
                skip(1)
            }
        }
    }

    private mutating func code() {
        if matches("//") {
            stack.append(.lineComment)
            return skip(2)
        }
        if matches("/*") {
            stack.append(.blockComment(depth: 1))
            return skip(2)
        }
        if let (length, string) = openingQuote() {
            stack.append(string)
            return skip(length)
        }
        if case .interpolation(let open) = stack[stack.count - 1] {
            if input[at] == ")", open == 0 {
                // Its opening one was blanked with the backslash.
                stack.removeLast()
                return skip(1)
            }
            let change = input[at] == "(" ? 1 : input[at] == ")" ? -1 : 0
            stack[stack.count - 1] = .interpolation(open: open + change)
        }
        output.append(input[at])
        at += 1
    }

    private mutating func string(_ isMultiline: Bool, _ hashes: Int) {
        let tail = String(repeating: "#", count: hashes)
        let closing = (isMultiline ? "\"\"\"" : "\"") + tail
        if matches("\\\(tail)(") {
            stack.append(.interpolation(open: 0))
            skip(2 + hashes)
        } else if matches("\\\(tail)") {
            skip(2 + hashes)
        } else if matches(closing) {
            stack.removeLast()
            skip(closing.unicodeScalars.count)
        } else {
            // A line that ends inside was not a literal after all.
            if !isMultiline, input[at] == "\n" { stack.removeLast() }
            skip(1)
        }
    }

    private func matches(_ word: String) -> Bool { input[at...].starts(with: word.unicodeScalars) }

    /// Moves on, leaving blanks and line ends.
    private mutating func skip(_ count: Int) {
        let end = min(at + count, input.count)
        for scalar in input[at..<end] { output.append(scalar == "\n" ? "\n" : " ") }
        at = end
    }

    /// How long the quote here is, and the literal that it opens.
    private func openingQuote() -> (Int, Context)? {
        let hashes = input[at...].prefix { $0 == "#" }.count
        let rest = input[(at + hashes)...]
        guard rest.first == "\"" else { return nil }
        let isMultiline = rest.starts(with: "\"\"\"".unicodeScalars)
        return (hashes + (isMultiline ? 3 : 1), .string(isMultiline: isMultiline, hashes: hashes))
    }
}
