package import RecordFormat

/// Compresses the records of one batch after the other, keeping the codec's state and memory between them.
///
/// - Threading: one thread at a time.
@safe package final class Compressor {
    /// What it makes.
    package let type: CompressionType
    private let level: Int?
    private let gzip: Gzip.Compressor?
    private let zstd: Zstandard.Compressor?
    /// A batch's bound of 2³¹ bytes and what a codec may add to it.
    private var output = OutputMemory(bytesMax: 4 << 30)

    /// The levels that a codec knows; nil when it has none.
    package static func levels(of type: CompressionType) -> ClosedRange<Int>? {
        switch type {
        case .gzip: 1...9
        case .lz4: 1...12
        case .zstd: -131_072...22
        case .none, .snappy: nil
        }
    }

    /// - Parameter level: One of ``levels(of:)`` (programmer error otherwise); nil is the codec's default.
    package init(_ type: CompressionType, level: Int? = nil) throws(CompressionError) {
        precondition(level.map { Self.levels(of: type)?.contains($0) ?? false } ?? true, "no level of \(type)")
        self.type = type
        self.level = level
        gzip = type == .gzip ? try Gzip.Compressor(level: level) : nil
        zstd = type == .zstd ? try Zstandard.Compressor(level: level) : nil
    }

    /// Compresses `records`.
    /// - Returns: Memory of this object, valid until the next call.
    package func compress(_ records: UnsafeRawBufferPointer) throws(CompressionError) -> UnsafeRawBufferPointer {
        output.reset()
        switch type {
        case .none: return unsafe records
        case .gzip: unsafe try gzip!.compress(records, into: &output)
        case .snappy: unsafe try Snappy.compress(records, into: &output)
        case .lz4: unsafe try LZ4.compress(records, level: level, into: &output)
        case .zstd: unsafe try zstd!.compress(records, into: &output)
        }
        return unsafe output.written
    }
}
