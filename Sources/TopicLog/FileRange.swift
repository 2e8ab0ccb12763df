/// Committed bytes of a segment file: they never change.
package struct FileRange: Sendable {
    /// Keeps the file open, even when it is removed meanwhile.
    package let file: LogFile
    package let position: Int64
    /// In bytes.
    package let count: Int
}
