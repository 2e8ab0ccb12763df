/// What a line declares, read without a parser: enough for code that is laid out as ours is.
struct Declaration {
    /// `func`, `struct`, `init`…
    let keyword: String
    /// Empty for `init` and `deinit`.
    let name: String
    let modifiers: Set<String>

    var isType: Bool { Self.types.contains(keyword) }
    /// Part of what applications see, beside types and functions.
    var isMember: Bool { modifiers.contains("public") && ["var", "let", "init", "subscript"].contains(keyword) }
    var isVisible: Bool { !modifiers.isDisjoint(with: ["public", "package", "open"]) }

    private static let types: Set = ["struct", "class", "enum", "protocol", "actor", "typealias"]
    private static let keywords = types.union(["func", "init", "deinit", "subscript", "var", "let", "extension"])
    private static let modifierWords: Set = [
        "public", "package", "internal", "private", "fileprivate", "open", "static", "final", "mutating", "nonmutating",
        "consuming", "borrowing", "convenience", "override", "required", "nonisolated", "isolated", "indirect", "lazy",
        "weak", "unowned", "prefix", "postfix", "infix", "class",
    ]

    /// - Parameter line: Code, without comments.
    init?(_ line: String) {
        var words = Self.words(line)[...]
        var modifiers: Set<String> = []
        while let word = words.first {
            if word.hasPrefix("@") {
                words.removeFirst()
                continue
            }
            let isClassModifier = word == "class" && ["func", "var", "subscript"].contains(words.dropFirst().first)
            guard Self.modifierWords.contains(word), word != "class" || isClassModifier else { break }
            modifiers.insert(word)
            words.removeFirst()
        }
        guard let keyword = words.first, Self.keywords.contains(keyword) else { return nil }
        self.keyword = keyword
        self.modifiers = modifiers
        name = words.dropFirst().first ?? ""
    }

    /// Identifiers and attributes in front of the first other thing; `(set)` and an attribute's arguments are skipped.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var rest = line[...]
        while words.count < 12 {
            rest = rest.drop { $0 == " " }
            let word = rest.prefix { $0.isLetter || $0.isNumber || "_@`".contains($0) }
            if word.isEmpty {
                // An operator's name.
                if words.last == "func" { words.append(String(rest.prefix { !" (<".contains($0) })) }
                break
            }
            words.append(String(word))
            rest = rest.dropFirst(word.count)
            let takesArguments = word.hasPrefix("@") || modifierWords.contains(String(word))
            if takesArguments, rest.first == "(", let end = rest.firstIndex(of: ")") {
                rest = rest[rest.index(after: end)...]
            }
        }
        return words
    }
}
