/// One record, read in place.
///
/// Keeps nothing alive: the pointers are good as long as the batch's memory is.
@safe  // Every range was checked against the batch by `RecordReader`; the memory's life is the caller's promise.
package struct RecordView {
    /// The record's place in its partition (meaningless before a broker has assigned the batch's).
    package let offset: Offset
    /// Since 1970.
    package let timestampMilliseconds: Int64
    /// nil when the record has no key.
    package let key: UnsafeRawBufferPointer?
    /// nil for a tombstone.
    package let value: UnsafeRawBufferPointer?
    /// In the producer's order.
    package let headers: RecordHeaderViews
}
