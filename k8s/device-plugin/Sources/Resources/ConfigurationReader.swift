/// Walks over a YAML or JSON text and collects what is wrong with it.
struct ConfigurationReader {
    private(set) var errors: [ConfigurationErrors.Entry] = []
    /// The whole document.
    let root: Value

    /// A value and where it is.
    struct Value {
        let node: YAML
        let path: String

        /// A scalar without quotes, which is the only one that can be more than text.
        var plain: String? {
            if case .scalar(let text, isPlain: true) = node.content { text } else { nil }
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
        let node: YAML?
        do { node = try YAML.document(text) } catch { throw fail(error.reason, error.line) }
        guard let node, case .mapping = node.content else { throw fail("is not a mapping: it has no fields") }
        root = Value(node: node, path: "")
    }

    /// Whether this is a file of Mellanox's plugin.
    var isMellanox: Bool {
        guard case .mapping(let members) = root.node.content else { return false }
        return members.contains { ["configlist", "periodicupdateinterval"].contains($0.key.lowercased()) }
    }

    /// Notes that a value is wrong.
    mutating func refuse(_ value: Value, _ reason: String) {
        errors.append(.init(field: value.path, reason: reason, line: value.node.line))
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
        guard case .mapping(let mapping) = value.node.content else {
            refuse(value, "must be a mapping, is \(Self.kind(value.node))")
            return nil
        }
        return mapping.map { name, member in
            (name, Value(node: member, path: value.path.isEmpty ? name : "\(value.path).\(name)"))
        }
    }

    /// The elements of a list, or a refusal and none.
    mutating func elements(_ value: Value) -> [Value] {
        guard case .sequence(let sequence) = value.node.content else {
            refuse(value, "must be a list, is \(Self.kind(value.node))")
            return []
        }
        return sequence.enumerated().map { Value(node: $1, path: "\(value.path)[\($0)]") }
    }

    /// Text, numbers as they are written, or a refusal and nil.
    mutating func string(_ value: Value) -> String? {
        guard case .scalar(let text, _) = value.node.content, !value.isNull else {
            refuse(value, "must be a string, is \(Self.kind(value.node))")
            return nil
        }
        return text
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
    private static func kind(_ node: YAML) -> String {
        switch node.content {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let text, _): Value(node: node, path: "").isNull ? "nothing" : "'\(text)'"
        }
    }
}
