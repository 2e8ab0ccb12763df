package import RecordFormat

/// A range of a partition that was durable once and cannot be read any more.
///
/// What comes before it can be read, nothing can be appended, and the files stay as they were found.
package struct LogFence: Hashable, Sendable, CustomStringConvertible {
    /// The first offset that cannot be read.
    package let start: Offset
    /// The stored durable bound: everything below it had been acknowledged.
    package let end: Offset
    /// The segment file with the damage.
    package let path: String
    /// Where in it the damage begins, in bytes.
    package let filePosition: Int64
    /// What is wrong there.
    package let reason: String

    package var description: String {
        "\(path) is corrupt at byte \(filePosition): \(reason). Offsets \(start)..<\(end) had been acknowledged: the "
            + "partition is readable up to \(start) and takes no appends; restore the file from a copy, or give "
            + "the damaged records up: rdmad log repair"
    }
}

/// Damage in the middle of a log, found after it was opened: by a reader, or by ``PartitionLog/verify()``.
///
/// What follows it can be read, and appends go on.
package struct DamagedRange: Hashable, Sendable, CustomStringConvertible {
    /// The offsets that cannot be read: from the first bad batch to the next that is sound, or to the segment's end.
    package let offsets: Range<Offset>
    /// The segment file with the damage.
    package let path: String
    /// Where in it the damage begins, in bytes.
    package let filePosition: Int64
    /// What is wrong there.
    package let reason: String
    /// Where in the file the first sound batch behind it begins; nil when there is none.
    let resumePosition: Int64?

    package var description: String {
        "\(path) is corrupt at byte \(filePosition): \(reason). Offsets \(offsets.lowerBound)..<\(offsets.upperBound) "
            + "cannot be read, what follows can; restore the file from a copy"
    }
}
