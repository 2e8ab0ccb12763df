package import RecordFormat

/// Looks at each record of batches, compressed ones too: whether they are what the format says, and as many as the
/// header says.
///
/// - Threading: one thread at a time.
package final class RecordInspector {
    /// Records that take more, decompressed, are refused: as much as consumers take if nothing else is said.
    package static let decompressedBytesMax = 64 << 20

    private let decompressor = Decompressor(bytesMax: decompressedBytesMax)

    package init() {}

    /// - Parameter batch: A whole batch, which ``RecordBatch/validate(_:bytesMax:isStored:)`` has passed.
    /// - Returns: The places in it, from 0, of records without a key.
    package func inspect(_ batch: UnsafeRawBufferPointer) throws(RecordBatchError) -> [Int32] {
        let header = unsafe try RecordReader.header(of: batch)
        guard header.isCompressed else { return unsafe try RecordBatch.keylessRecords(batch) }
        guard let type = header.compressionType else {
            throw RecordBatchError(.unsupportedCompression, "compression \(header.attributes & 7) is not known")
        }
        let compressed = unsafe UnsafeRawBufferPointer(
            rebasing: batch[RecordBatchHeader.byteCount..<header.sizeInBytes])
        let records: UnsafeRawBufferPointer
        do throws(CompressionError) {
            unsafe records = try decompressor.decompress(type, compressed)
        } catch {
            throw RecordBatchError(error.code == .tooLarge ? .tooLarge : .malformedRecord, error.description)
        }
        var reader = unsafe RecordReader(header, decompressed: records)
        return try reader.keylessRecords()
    }
}
