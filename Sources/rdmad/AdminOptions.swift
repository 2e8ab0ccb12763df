import ArgumentParser

/// What commands that look after a broker have in common: where it is, and how to print.
struct AdminOptions: ParsableArguments {
    @OptionGroup var broker: BrokerOptions
    @Flag(help: "Results as JSON, on one line each.") var json = false

    /// Says that something was done.
    func say(_ text: String, _ fields: [(String, JSON)]) { print(json ? "\(JSON.object(fields))" : text) }

    /// Shows a table, or the same as JSON.
    func table(_ header: [String], _ rows: [[String]], _ value: JSON) {
        if json { print("\(value)") } else { printTable([header] + rows) }
    }
}

/// A JSON value, to be printed.
enum JSON: CustomStringConvertible {
    case text(String)
    case number(Int64)
    case truth(Bool)
    case null
    case list([JSON])
    case object([(String, JSON)])

    /// A number, or null.
    static func number(_ number: Int64?) -> JSON { number.map { .number($0) } ?? .null }
    /// A text, or null.
    static func text(_ text: String?) -> JSON { text.map { .text($0) } ?? .null }

    /// On one line.
    var description: String {
        switch self {
        case .text(let text): Self.quoted(text)
        case .number(let number): "\(number)"
        case .truth(let truth): "\(truth)"
        case .null: "null"
        case .list(let items): "[\(items.map(\.description).joined(separator: ","))]"
        case .object(let fields):
            "{\(fields.map { "\(Self.quoted($0.0)):\($0.1)" }.joined(separator: ","))}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\n": quoted += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

/// Left-aligned columns, two spaces apart.
func printTable(_ rows: [[String]]) {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
    for row in rows {
        let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
        var line = cells.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        print(line)
    }
}
