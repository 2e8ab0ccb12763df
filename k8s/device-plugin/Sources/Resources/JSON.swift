/// A JSON value to write. Members stay in the order given, so that equal values have equal text.
package enum JSON: Sendable, Equatable {
    /// A string.
    case string(String)
    /// A whole number.
    case number(Int)
    /// A list.
    case array([JSON])
    /// Members by name.
    case object([(String, JSON)])
    /// Nothing.
    case null

    /// The value in one line.
    package var text: String {
        switch self {
        case .string(let value): Self.quoted(value)
        case .number(let value): "\(value)"
        case .array(let values): "[\(values.map(\.text).joined(separator: ","))]"
        case .object(let members):
            "{\(members.map { "\(Self.quoted($0.0)):\($0.1.text)" }.joined(separator: ","))}"
        case .null: "null"
        }
    }

    /// An object without its members that are null.
    package static func compact(_ members: [(String, JSON)]) -> JSON {
        .object(members.filter { $0.1 != .null })
    }

    /// A string, or null.
    package static func optional(_ value: String?) -> JSON { value.map(JSON.string) ?? .null }

    /// A list of strings.
    package static func strings(_ values: [String]) -> JSON { .array(values.map(JSON.string)) }

    /// Whether two values are written the same way.
    package static func == (left: JSON, right: JSON) -> Bool { left.text == right.text }

    private static func quoted(_ value: String) -> String {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
