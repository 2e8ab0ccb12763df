package import RecordFormat

/// Where a reader is: an offset, and the byte it was last found at. Cheap; one per reader; for one partition only.
package struct LogCursor: Sendable {
    /// The offset to be read next.
    package internal(set) var offset: Offset
    /// The segment and position of the batch that begins at `offset`, once known.
    var place: (segment: Offset, generation: Int, position: Int64)?

    /// A reader that begins at `offset`: the batch that holds it comes first.
    package init(_ offset: Offset) {
        self.offset = offset
    }
}
