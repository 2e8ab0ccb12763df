/// Why a batch was refused.
package struct RecordBatchError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of fault. Extensible: never switch exhaustively over it.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        /// Its name, for messages.
        package let description: String

        /// Fewer bytes than the header, or than the header announces, or more.
        package static let wrongLength = Code(description: "wrong length")
        /// Larger than the limit.
        package static let tooLarge = Code(description: "too large")
        /// Not format v2.
        package static let unsupportedMagic = Code(description: "unsupported magic")
        /// No codec that there is.
        package static let unsupportedCompression = Code(description: "unsupported compression")
        /// The record count is not positive, or does not match the last offset delta.
        package static let wrongRecordCount = Code(description: "wrong record count")
        /// The CRC-32C does not match: the bytes were damaged on their way.
        package static let checksumMismatch = Code(description: "checksum mismatch")
        /// A record inside does not parse.
        package static let malformedRecord = Code(description: "malformed record")
        /// There is no memory to look into it.
        package static let noMemory = Code(description: "no memory")
        /// A record has no key, and the topic keeps the last one of each key.
        package static let missingKey = Code(description: "missing key")
        /// The records are compressed and cannot be read in place.
        package static let compressed = Code(description: "compressed")
    }

    /// The kind of fault.
    package let code: Code
    /// What was found and what was expected, for a person.
    package let message: String

    /// An error with a message that says what was found and what was expected.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "record batch refused, \(code): \(message)" }
}
