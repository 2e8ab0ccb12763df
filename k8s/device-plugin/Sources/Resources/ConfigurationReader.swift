internal import Yams

/// Walks over a YAML or JSON text and collects what is wrong with it.
struct ConfigurationReader {
    private(set) var errors: [ConfigurationErrors.Entry] = []
    /// The whole document.
    let root: Value

    /// A value and where it is.
    struct Value {
        let node: Node
        let path: String

        /// A scalar without quotes, which is the only one that can be more than text.
        var plain: String? {
            guard case .scalar(let scalar) = node, scalar.style == .plain else { return nil }
            return scalar.string
        }

        /// Whether nothing is given.
        var isNull: Bool { plain.map { ["", "~", "null", "Null", "NULL"].contains($0) } ?? false }
    }

    /// Parses the text; the document must be a mapping.
    init(_ text: String, file: String) throws(ConfigurationErrors) {
        func fail(_ reason: String, _ line: Int? = nil) -> ConfigurationErrors {
            ConfigurationErrors(file: file, errors: [.init(field: "", reason: reason, line: line)])
        }
        guard text.utf8.count <= Configuration.bytesMax else {
            throw fail("has \(text.utf8.count) bytes, \(Configuration.bytesMax) is the limit")
        }
        let node: Node?
        // Without Yams' resolver, which compiles regular expressions for types that are not asked for here.
        do { node = try Parser(yaml: text, resolver: .basic).singleRoot() } catch {
            throw fail(Self.reason(error), Self.line(error))
        }
        guard let node, case .mapping = node else { throw fail("is not a mapping: it has no fields") }
        root = Value(node: node, path: "")
    }

    /// Whether this is a file of Mellanox's plugin.
    var isMellanox: Bool {
        (root.node.mapping?.keys.compactMap(\.scalar?.string) ?? []).contains {
            ["configlist", "periodicupdateinterval"].contains($0.lowercased())
        }
    }

    /// Notes that a value is wrong.
    mutating func refuse(_ value: Value, _ reason: String) {
        errors.append(.init(field: value.path, reason: reason, line: value.node.mark?.line))
    }

    /// The fields of a mapping by name; refuses names that are not `known`.
    mutating func fields(_ value: Value, known: [String]) -> [String: Value] {
        guard let members = members(value) else { return [:] }
        var found: [String: Value] = [:]
        for (name, member) in members {
            if known.contains(name) {
                found[name] = member
            } else {
                refuse(member, "is no field here, these are: \(known.joined(separator: ", "))")
            }
        }
        return found
    }

    /// The members of a mapping in order, or a refusal and nil.
    mutating func members(_ value: Value) -> [(name: String, value: Value)]? {
        guard case .mapping(let mapping) = value.node else {
            refuse(value, "must be a mapping, is \(Self.kind(value.node))")
            return nil
        }
        return mapping.map { key, member in
            let name = key.scalar?.string ?? "?"
            return (name, Value(node: member, path: value.path.isEmpty ? name : "\(value.path).\(name)"))
        }
    }

    /// The elements of a list, or a refusal and none.
    mutating func elements(_ value: Value) -> [Value] {
        guard case .sequence(let sequence) = value.node else {
            refuse(value, "must be a list, is \(Self.kind(value.node))")
            return []
        }
        return sequence.enumerated().map { Value(node: $1, path: "\(value.path)[\($0)]") }
    }

    /// Text, numbers as they are written, or a refusal and nil.
    mutating func string(_ value: Value) -> String? {
        guard case .scalar(let scalar) = value.node, !value.isNull else {
            refuse(value, "must be a string, is \(Self.kind(value.node))")
            return nil
        }
        return scalar.string
    }

    /// A whole number in a range, or a refusal and nil.
    mutating func integer(_ value: Value, in range: ClosedRange<Int>) -> Int? {
        guard let number = value.plain.flatMap({ Int($0) }) else {
            refuse(value, "must be a whole number, is \(Self.kind(value.node))")
            return nil
        }
        guard range.contains(number) else {
            refuse(value, "must be \(range.lowerBound) to \(range.upperBound), is \(number)")
            return nil
        }
        return number
    }

    /// `true` or `false`, or a refusal and nil.
    mutating func bool(_ value: Value) -> Bool? {
        guard let bool = value.plain.flatMap({ Bool($0) }) else {
            refuse(value, "must be true or false, is \(Self.kind(value.node))")
            return nil
        }
        return bool
    }

    /// One of a few words, or a refusal and nil.
    mutating func word<Word: RawRepresentable<String> & CaseIterable>(_ value: Value, of: Word.Type) -> Word? {
        guard let text = string(value) else { return nil }
        if let word = Word(rawValue: text) { return word }
        refuse(value, "must be \(Word.allCases.map(\.rawValue).joined(separator: " or ")), is '\(text)'")
        return nil
    }

    /// What a value is, in a refusal.
    private static func kind(_ node: Node) -> String {
        switch node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        case .scalar(let scalar): Value(node: node, path: "").isNull ? "nothing" : "'\(scalar.string)'"
        }
    }

    private static func line(_ error: any Error) -> Int? {
        switch error as? YamlError {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        case .duplicatedKeysInMapping(_, let context): context.mark.line
        default: nil
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error as? YamlError {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _):
            "is neither YAML nor JSON: \(problem)"
        case .duplicatedKeysInMapping(let duplicates, _):
            "has the field \(duplicates.map { "'\($0)'" }.sorted().joined(separator: ", ")) twice"
        default: "is neither YAML nor JSON: \(error)"
        }
    }
}
