package import RecordFormat

/// Decompresses the records of one batch after the other, of any codec, keeping states and memory between them.
///
/// The input is not trusted: whatever it says of itself, no more than `bytesMax` bytes are taken for its contents.
/// - Threading: one thread at a time.
@safe package final class Decompressor {
    private var gzip: Gzip.Decompressor?
    private var lz4: LZ4.Decompressor?
    private var zstd: Zstandard.Decompressor?
    private var output: OutputMemory

    /// - Parameter bytesMax: The largest records of a batch that are read; more are an error.
    package init(bytesMax: Int) { output = OutputMemory(bytesMax: bytesMax) }

    /// Decompresses `records`.
    /// - Returns: Memory of this object, valid until the next call.
    /// - Throws: `.tooLarge` beyond the limit; `.truncated`, `.corrupt` when the input is not what it should be.
    package func decompress(
        _ type: CompressionType, _ records: UnsafeRawBufferPointer
    ) throws(CompressionError) -> UnsafeRawBufferPointer {
        output.reset()
        switch type {
        case .none: return unsafe records
        case .gzip: unsafe try state(&gzip, Gzip.Decompressor.init).decompress(records, into: &output)
        case .snappy: unsafe try Snappy.decompress(records, into: &output)
        case .lz4: unsafe try state(&lz4, LZ4.Decompressor.init).decompress(records, into: &output)
        case .zstd: unsafe try state(&zstd, Zstandard.Decompressor.init).decompress(records, into: &output)
        }
        try output.check()
        return unsafe output.written
    }

    /// What it has taken for records so far.
    var memoryBytes: Int { output.capacity }

    /// A codec's state, made when it is needed first.
    private func state<State>(
        _ kept: inout State?, _ make: () throws(CompressionError) -> State
    ) throws(CompressionError) -> State {
        if let kept { return kept }
        let made = try make()
        kept = made
        return made
    }
}
