/// A message that breaks the protocol, or cannot be said in the version that it is to be written in.
///
/// One pointer wide: it travels through every function that codes a field.
package struct WireError: Error, Equatable, CustomStringConvertible {
    private let details: Details

    /// Nil for what comes before the API is known.
    package var api: ApiKey? { details.api }
    package var version: Int16 { details.version }
    /// The name of the field, or of the part of the frame.
    package var field: String { "\(details.field)" }
    package var problem: Problem { details.problem }

    package init(api: ApiKey?, version: Int16, field: StaticString, problem: Problem) {
        details = Details(api: api, version: version, field: field, problem: problem)
    }

    package static func == (a: WireError, b: WireError) -> Bool {
        a.api == b.api && a.version == b.version && a.field == b.field && a.problem == b.problem
    }

    package var description: String {
        let message = api.map { "\($0.name) v\(version)" } ?? "request"
        return "\(message), \(field): \(problem)"
    }

    package enum Problem: Equatable, Sendable, CustomStringConvertible {
        case endsEarly(missing: Int)
        case trailingBytes(Int)
        case null
        case negativeLength(Int)
        case tooLong(Int, max: Int)
        case tooManyElements(Int, max: Int)
        case notUTF8
        case varintTooLong
        case tagOfOtherSize(tag: UInt32)
        case unsupportedVersion

        package var description: String {
            switch self {
            case .endsEarly(let missing): "the frame ends \(missing) bytes early"
            case .trailingBytes(let count): "\(count) bytes follow the end"
            case .null: "null is not allowed"
            case .negativeLength(let length): "a length of \(length)"
            case .tooLong(let count, let max): "\(count) bytes, at most \(max) are allowed"
            case .tooManyElements(let count, let max): "\(count) elements, at most \(max) are allowed"
            case .notUTF8: "not UTF-8"
            case .varintTooLong: "a variable-length integer of more than 32 bits"
            case .tagOfOtherSize(let tag): "tag \(tag) does not have the size that it announces"
            case .unsupportedVersion: "the version is not served"
            }
        }
    }

    private final class Details: Sendable {
        let api: ApiKey?
        let version: Int16
        let field: StaticString
        let problem: Problem

        init(api: ApiKey?, version: Int16, field: StaticString, problem: Problem) {
            self.api = api
            self.version = version
            self.field = field
            self.problem = problem
        }
    }
}
