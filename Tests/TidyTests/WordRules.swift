/// Words that do not belong into the tree.
enum WordRules {
    /// In code: not in comments, not in strings.
    private static let bannedCode = [
        ("try!", "handle the error, or state why it cannot happen with a precondition"),
        ("fatalError(", "an operating error is thrown, a programmer's error is a precondition"),
    ]
    /// Anywhere.
    private static let bannedText = [
        ("-Ounchecked", "it removes the preconditions that guard memory"),
        ("FIXME", "fix it, or open an issue"),
        ("TODO", "do it, or open an issue"),
    ]

    static let banned = Rule(
        name: "banned words", applies: { $0.hasPrefix("Sources/") || $0 == "Package.swift" },
        check: { file in
            var found: [Violation] = []
            for index in file.lines.indices {
                for (word, why) in bannedCode where file.code[index].contains(word) {
                    found.append(file.violation(index + 1, "'\(word)': \(why)"))
                }
                for (word, why) in bannedText where file.lines[index].contains(word) {
                    found.append(file.violation(index + 1, "'\(word)': \(why)"))
                }
                if !["rdmad", "rdmad-device-plugin"].contains(file.module), file.path.hasSuffix(".swift"),
                    calls("print", file.code[index])
                {
                    found.append(
                        file.violation(index + 1, "'print(': only the command line prints; a library logs or throws"))
                }
            }
            return found
        })

    /// In pieces, so that this file passes its own check.
    private static let foreign =
        ["work", "home", "root", "Users", "mnt"].map { "/" + $0 + "/" }
        + [
            "pypi" + ".org", "python" + "hosted", "npm" + "js", "proxy.golang" + ".org", "docker" + ".io",
            "ghcr" + ".io",
        ]
        + ["<<<<" + "<<<", ">>>>" + ">>>"]

    /// What is true on one machine only, and hosts that a package manager knows by itself.
    static let foreignWords = Rule(
        name: "foreign words", applies: { _ in true },
        check: { file in
            file.lines.enumerated().flatMap { index, line in
                foreign.filter { contains(line, $0) }.map {
                    file.violation(index + 1, "'\($0)' means nothing elsewhere")
                }
            }
        })

    /// A path counts only from its beginning: one below another directory is no machine's.
    private static func contains(_ line: String, _ word: String) -> Bool {
        guard word.hasPrefix("/") else { return line.contains(word) }
        var rest = line[...]
        while let range = rest.firstRange(of: word) {
            let before = range.lowerBound == line.startIndex ? nil : line[line.index(before: range.lowerBound)]
            if before.map({ !($0.isLetter || $0.isNumber || "./_-}*)".contains($0)) }) ?? true { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }

    private static func calls(_ name: String, _ code: String) -> Bool {
        var rest = code[...]
        while let range = rest.firstRange(of: name + "(") {
            let before = rest[..<range.lowerBound].last
            if before.map({ !($0.isLetter || $0.isNumber || "_.".contains($0)) }) ?? true { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }
}
