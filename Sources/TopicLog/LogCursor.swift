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

    /// Moves past whole batches that the reader had from elsewhere: they begin at the cursor.
    package mutating func skip(_ byteCount: Int, to next: Offset) {
        offset = next
        // Where the segment ends with them, the place is of no use, and not used: the next segment has another base.
        if let place { self.place = (place.segment, place.generation, place.position + Int64(byteCount)) }
    }
}
