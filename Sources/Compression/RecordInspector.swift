package import RecordFormat

/// Looks at each record of batches, compressed ones too: whether they are what the format says, and as many as the
/// header says.
///
/// It keeps its memory: what the largest batch took, decompressed.
/// - Threading: one thread at a time.
package final class RecordInspector {
    /// A batch whose records take more, decompressed, is refused.
    package static let batchBytesMax = 16 << 20
    /// So are the batches of a request from the one on with which they take more together.
    package static let requestBytesMax = 128 << 20

    private let decompressor = Decompressor(bytesMax: batchBytesMax)
    private var requestBytes = 0

    package init() {}

    /// What follows belongs to another request.
    package func beginRequest() { requestBytes = 0 }

    /// - Parameter batch: A whole batch, which ``RecordBatch/validate(_:bytesMax:isStored:)`` has passed.
    /// - Returns: The places in it, from 0, of the first records without a key.
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
            throw RecordBatchError(Self.code(of: error), error.description)
        }
        requestBytes += records.count
        guard requestBytes <= Self.requestBytesMax else {
            throw RecordBatchError(
                .tooLarge, "the request's records take more than \(Self.requestBytesMax) bytes decompressed")
        }
        var reader = unsafe RecordReader(header, decompressed: records)
        return try reader.keylessRecords()
    }

    private static func code(of error: CompressionError) -> RecordBatchError.Code {
        switch error.code {
        case .tooLarge: .tooLarge
        case .noMemory: .noMemory
        default: .malformedRecord
        }
    }
}
