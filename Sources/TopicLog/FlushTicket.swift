package import RecordFormat

/// What must be synced for a partition to be durable up to `end`.
///
/// Keeps the files' descriptors open as long as it lives, so that it may outlast the log.
package struct FlushTicket: Sendable {
    /// Segments with bytes that may not be on the disk: rolled ones first, the active one last.
    package let files: [LogFile]
    /// The directory of the volume that they are on.
    let volume: LogFile
    /// Everything below is durable after the sync.
    package let end: Offset
    /// Where that is.
    let mark: LogMark
}
