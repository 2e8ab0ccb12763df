package import RecordFormat

/// The outcome of a read.
package enum LogRead: Equatable, Sendable {
    /// The buffer begins with whole batches.
    /// - `firstBase`: the base offset of the first; may be below the offset asked for, the reader skips those records;
    ///   or above, when compaction has removed those between.
    /// - `nextOffset`: where the cursor is now.
    case batches(byteCount: Int, firstBase: Offset, nextOffset: Offset)
    /// The next batch is this large; the buffer is smaller. Nothing moved.
    case needs(bytes: Int)
    /// Nothing below the bound yet.
    case end
    /// The data at the cursor is damaged; the fence, if there is one, begins at the offset.
    case corrupt(at: Offset)
    /// The cursor is outside the log.
    case outOfRange
}
