/// Why a listener did not start, for a person.
package struct NetworkError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
