/// What a partition's log has asked of the kernel since it was opened.
package struct LogStatistics: Sendable {
    /// `pwritev` calls, failed and repeated ones included.
    package internal(set) var writeCalls = 0
    /// `pread` calls made for readers; recovery's are not counted.
    package internal(set) var readCalls = 0
    /// Bytes appended.
    package internal(set) var bytesAppended = 0
    /// Segments begun after the first.
    package internal(set) var rolls = 0
}
