internal import Glibc
internal import RecordFormat

/// Reads the batches of a segment one after another, each checked against its checksum.
///
/// Owns its buffer, which grows to the largest batch: `deallocate` it.
@safe  // What is handed out lies inside `buffer`, which `fill` has filled with that part of the file.
struct BatchReader {
    private var buffer: UnsafeMutableRawBufferPointer
    private var file: LogFile?
    private var sizeInBytes: Int64 = 0
    private var loaded: Range<Int64> = 0..<0
    /// Where the next batch begins.
    private(set) var position: Int64 = 0

    /// Whether the batch last read was the segment's last.
    var isAtEnd: Bool { position == sizeInBytes }

    init(bufferBytes: Int) {
        unsafe buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 16)
    }

    func deallocate() {
        unsafe buffer.deallocate()
    }

    /// Goes to a segment's beginning.
    mutating func begin(_ file: LogFile, sizeInBytes: Int64) {
        self.file = file
        self.sizeInBytes = sizeInBytes
        loaded = 0..<0
        position = 0
    }

    /// The next batch, valid until the next call; nil at the end.
    /// - Throws: when it cannot be read, or is damaged.
    mutating func next() throws(LogError) -> UnsafeRawBufferPointer? {
        guard let file, position < sizeInBytes else { return nil }
        let headerBytes = RecordBatchHeader.byteCount
        guard sizeInBytes - position >= Int64(headerBytes) else { throw damage(file, "its end is cut") }
        let header = unsafe RecordBatchHeader(parsing: try fill(file, headerBytes))
        guard header.sizeInBytes >= headerBytes, Int64(header.sizeInBytes) <= sizeInBytes - position else {
            throw damage(file, "a batch of \(header.sizeInBytes) bytes at \(position)")
        }
        let batch = unsafe try fill(file, header.sizeInBytes)
        do throws(RecordBatchError) {
            _ = unsafe try RecordBatch.validate(batch, bytesMax: batch.count, isStored: true)
        } catch {
            throw damage(file, "the batch at \(position): \(error)")
        }
        position += Int64(batch.count)
        return unsafe batch
    }

    /// The next `count` bytes of the file, which has them.
    private mutating func fill(_ file: LogFile, _ count: Int) throws(LogError) -> UnsafeRawBufferPointer {
        if position + Int64(count) > loaded.upperBound {
            if unsafe count > buffer.count {
                unsafe buffer.deallocate()
                unsafe buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
            }
            let wanted = unsafe Int(min(Int64(buffer.count), sizeInBytes - position))
            let got = unsafe try file.read(into: .init(rebasing: buffer[..<wanted]), at: position)
            loaded = position..<(position + Int64(got))
            guard got >= count else { throw damage(file, "it shrank") }
        }
        let start = Int(position - loaded.lowerBound)
        return unsafe UnsafeRawBufferPointer(rebasing: buffer[start..<(start + count)])
    }

    private func damage(_ file: LogFile, _ what: String) -> LogError {
        LogError(
            .corrupt, operation: "compacting", path: file.path,
            advice: "\(file.path) is corrupt: \(what); the partition is not compacted any further")
    }
}
