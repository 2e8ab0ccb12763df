/// A message that breaks the protocol, or cannot be said in the version that it is to be written in.
package struct WireError: Error, Equatable, CustomStringConvertible {
    /// Nil for what comes before the API is known.
    package let api: ApiKey?
    package let version: Int16
    /// The name of the field, or of the part of the frame.
    package let field: String
    package let problem: Problem

    package init(api: ApiKey?, version: Int16, field: String, problem: Problem) {
        self.api = api
        self.version = version
        self.field = field
        self.problem = problem
    }

    package var description: String {
        let message = api.map { "\($0.name) v\(version)" } ?? "request"
        return "\(message), \(field): \(problem)"
    }

    package enum Problem: Equatable, CustomStringConvertible {
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
}
