/// Reasons and descriptions that must stand beside the code.
enum DocumentationRules {
    private static let modules: Set = ["RDMATransport", "RdmadClient"]
    /// Requirements of the standard library's protocols: described there.
    private static let standardWitnesses: Set = [
        "==", "<", "hash", "encode", "makeAsyncIterator", "next", "AsyncIterator",
    ]

    /// Types and functions that others see, and all that applications see, have a `///`.
    /// - Parameter witnessed: Names of requirements of our own protocols, with the file that declares them.
    static func comments(witnessed: [String: String]) -> Rule {
        Rule(
            name: "doc comments", applies: { $0.hasPrefix("Sources/") && $0.hasSuffix(".swift") },
            check: { file in
                guard modules.contains(file.module ?? "") else { return [] }
                return file.code.indices.compactMap { index in
                    guard let declaration = Declaration(file.code[index]), declaration.isVisible,
                        declaration.isType || declaration.keyword == "func" || declaration.isMember,
                        !isDocumented(file, index),
                        !standardWitnesses.contains(declaration.name)
                    else { return nil }
                    if let protocolFile = witnessed[declaration.name], protocolFile != file.path { return nil }
                    return file.violation(index + 1, "\(declaration.keyword) \(declaration.name) has no doc comment")
                }
            })
    }

    /// Names of the functions that protocols of these files require, with the file.
    static func requirements(_ files: [SourceFile]) -> [String: String] {
        var found: [String: String] = [:]
        for file in files {
            var depth: Int?
            for line in file.code {
                if depth == nil, Declaration(line)?.keyword == "protocol" { depth = 0 }
                guard let open = depth else { continue }
                if open == 1, let declaration = Declaration(line), declaration.keyword == "func" {
                    found[declaration.name] = file.path
                }
                let now = open + line.count { $0 == "{" } - line.count { $0 == "}" }
                depth = now == 0 && line.contains("}") ? nil : now
            }
        }
        return found
    }

    private static func isDocumented(_ file: SourceFile, _ index: Int) -> Bool {
        var above = index - 1
        while above >= 0 {
            let line = file.lines[above].drop { $0 == " " }
            if line.hasPrefix("///") { return true }
            guard line.hasPrefix("@") else { return false }
            above -= 1
        }
        return false
    }

    /// A promise to the compiler is explained within a few lines of where it is made.
    static let unchecked = Rule(
        name: "@unchecked Sendable", applies: { $0.hasPrefix("Sources/") && $0.hasSuffix(".swift") },
        check: { file in
            file.code.indices.compactMap { index in
                guard file.code[index].contains("@unchecked Sendable") else { return nil }
                let near = file.lines[max(index - 8, 0)...min(index + 4, file.lines.count - 1)]
                let reasons = ["Unchecked:", "Threading:", "lock"]
                let hasReason = near.contains { line in
                    line.drop { $0 == " " }.hasPrefix("//") && reasons.contains { line.contains($0) }
                }
                return hasReason ? nil : file.violation(index + 1, "@unchecked Sendable without a reason beside it")
            }
        })

    /// A shim is there because Swift cannot do it: each says why, or stands in a paragraph that does.
    static let shims = Rule(
        name: "shim reasons", applies: { $0.hasPrefix("Sources/C") && $0.hasSuffix(".h") },
        check: { file in
            var hasReason = false
            var found: [Violation] = []
            for (index, line) in file.lines.enumerated() {
                if line.allSatisfy({ $0 == " " }) { hasReason = false }
                if line.hasPrefix("//") { hasReason = true }
                let isShim =
                    !line.hasPrefix("//") && !line.hasPrefix(" ") && line.contains("static ") && line.contains("(")
                if isShim, !hasReason { found.append(file.violation(index + 1, "a shim without its reason")) }
            }
            return found
        })

    /// Relative links of Markdown files lead to files that exist.
    static func links(exists: @escaping @Sendable (String) -> Bool) -> Rule {
        Rule(
            name: "links", applies: { $0.hasSuffix(".md") },
            check: { file in
                let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
                return file.lines.enumerated().flatMap { index, line in
                    targets(line).compactMap { target in
                        guard !target.contains("://"), !target.hasPrefix("#") else { return nil }
                        let path = normal(folder + "/" + target.prefix { $0 != "#" })
                        return exists(path) ? nil : file.violation(index + 1, "the link to \(target) leads nowhere")
                    }
                }
            })
    }

    private static func targets(_ line: String) -> [String] {
        line.split(separator: "](", omittingEmptySubsequences: false).dropFirst().map { part in
            String(part.prefix { $0 != ")" })
        }
    }

    private static func normal(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }
}
