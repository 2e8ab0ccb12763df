/// Memory that a codec writes into: grows as it must, up to a limit, and is kept for the next batch.
///
/// - Ownership: owns its bytes; what it hands out is good until it grows, is reset or goes.
@safe struct OutputMemory: ~Copyable {
    /// The most bytes that may be written.
    let bytesMax: Int
    /// Bytes written so far.
    private(set) var count = 0
    private var bytes = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// Empty; takes no memory yet.
    init(bytesMax: Int) { self.bytesMax = bytesMax }

    deinit { unsafe bytes.deallocate() }

    /// What was written.
    var written: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: bytes[..<count]) }
    /// Where to write next. One byte more than the limit fits, so that whoever has just reached it can find the end of
    /// its input.
    var free: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[count...]) }

    /// Bytes that it takes.
    var capacity: Int { unsafe bytes.count }

    /// Forgets what was written; the memory stays.
    mutating func reset() { count = 0 }

    /// So many bytes of ``free`` have been written.
    mutating func advance(by written: Int) {
        unsafe precondition(written >= 0 && written <= bytes.count - count, "the codec wrote beyond its memory")
        count += written
    }

    /// Makes ``free`` hold at least so many bytes.
    /// - Throws: `.tooLarge`, before any memory is taken, when that is beyond the limit.
    mutating func reserve(_ more: Int) throws(CompressionError) {
        guard more <= bytesMax - count else { throw tooLarge }
        guard unsafe count + more > bytes.count else { return }
        // At least doubled: records may come in many small blocks.
        unsafe resize(to: max(count + more, min(2 * bytes.count, bytesMax)))
    }

    /// Makes ``free`` larger, at least by doubling.
    mutating func grow() throws(CompressionError) {
        guard unsafe bytes.count <= bytesMax else { throw tooLarge }
        unsafe resize(to: min(max(2 * bytes.count, 16 << 10), bytesMax + 1))
    }

    /// - Throws: when more was written than the limit allows.
    func check() throws(CompressionError) {
        guard count <= bytesMax else { throw tooLarge }
    }

    private mutating func resize(to size: Int) {
        guard unsafe size > bytes.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        unsafe larger.copyMemory(from: written)
        unsafe bytes.deallocate()
        unsafe bytes = unsafe larger
    }

    private var tooLarge: CompressionError {
        CompressionError(.tooLarge, "the records take more than \(bytesMax) bytes decompressed")
    }
}
