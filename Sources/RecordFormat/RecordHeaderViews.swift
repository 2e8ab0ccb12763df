/// A record's headers, parsed as they are iterated; `RecordReader` has checked them already.
@safe  // As `RecordView`.
package struct RecordHeaderViews: Sequence, IteratorProtocol {
    /// Headers not yet iterated.
    package private(set) var count: Int
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(count: Int, bytes: UnsafeRawBufferPointer) {
        self.count = count
        unsafe self.bytes = bytes
    }

    package var underestimatedCount: Int { count }

    /// The next header, or nil after the last.
    package mutating func next() -> RecordHeaderView? {
        guard count > 0 else { return nil }
        count -= 1
        guard let header = unsafe RecordHeaderView(bytes, at: &position) else {
            preconditionFailure("the batch's memory changed while it was read")
        }
        return header
    }
}
