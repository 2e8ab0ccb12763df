/// Why records could not be decompressed.
package struct CompressionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of fault. Extensible: never switch exhaustively over it.
    package struct Code: Hashable, Sendable {
        /// Its name, for messages.
        package let name: String

        /// They would take more memory than the caller allows.
        package static let tooLarge = Code(name: "too large")
        /// The input ends before they do.
        package static let truncated = Code(name: "truncated")
        /// The input is no output of this codec, or was damaged.
        package static let corrupt = Code(name: "corrupt")
        /// There is no memory for the codec's state.
        package static let noMemory = Code(name: "no memory")
    }

    /// The kind of fault.
    package let code: Code
    /// For a person: what was found.
    package let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    /// What a library says of its input.
    static func corrupt(_ codec: String, _ why: UnsafePointer<CChar>?) -> CompressionError {
        let text = unsafe why.map { unsafe String(cString: $0) } ?? "not understood"
        return CompressionError(.corrupt, "the records are no valid \(codec): \(text)")
    }

    static func truncated(_ codec: String) -> CompressionError {
        CompressionError(.truncated, "the \(codec) records end too early")
    }

    static func noMemory(_ codec: String) -> CompressionError {
        CompressionError(.noMemory, "there is no memory for \(codec)")
    }
}
