internal import CCodecs

/// Snappy's blocks, by libsnappy, in the framing of xerial's snappy-java:
///
/// ```
/// 0x82 'SNAPPY' 0 | version i32 @8 | oldest compatible version i32 @12 | blocks: length i32, so many bytes
/// ```
/// Big-endian. A block holds up to 32 KiB. librdkafka writes one bare block instead: that is read, too.
enum Snappy {
    private static let magic: [UInt8] = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]
    private static let headerBytes = 16
    private static let blockBytes = 32 << 10

    static func compress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
        let blocks = (input.count + blockBytes - 1) / blockBytes
        try output.reserve(headerBytes + blocks * (4 + snappy_max_compressed_length(blockBytes)))
        unsafe output.free.copyBytes(from: magic + [0, 0, 0, 1, 0, 0, 0, 1])
        output.advance(by: headerBytes)
        var rest = unsafe input
        while unsafe !rest.isEmpty {
            let block = unsafe UnsafeRawBufferPointer(rebasing: rest.prefix(blockBytes))
            let free = unsafe output.free
            var size = free.count - 4
            let status = unsafe snappy_compress(
                block.baseAddress?.assumingMemoryBound(to: CChar.self), block.count,
                (free.baseAddress! + 4).assumingMemoryBound(to: CChar.self), &size)
            guard status == SNAPPY_OK else { throw unsafe .corrupt("snappy", nil) }
            unsafe free.storeBytes(of: UInt32(size).bigEndian, as: UInt32.self)
            output.advance(by: 4 + size)
            unsafe rest = unsafe UnsafeRawBufferPointer(rebasing: rest[block.count...])
        }
    }

    static func decompress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
        guard unsafe input.starts(with: magic) else { return unsafe try decompress(block: input, into: &output) }
        guard input.count >= headerBytes else { throw .truncated("snappy") }
        var rest = unsafe UnsafeRawBufferPointer(rebasing: input[headerBytes...])
        while unsafe !rest.isEmpty {
            guard rest.count >= 4 else { throw .truncated("snappy") }
            let size = unsafe Int(UInt32(bigEndian: rest.loadUnaligned(as: UInt32.self)))
            guard size <= rest.count - 4 else { throw .truncated("snappy") }
            unsafe try decompress(block: UnsafeRawBufferPointer(rebasing: rest[4..<4 + size]), into: &output)
            unsafe rest = unsafe UnsafeRawBufferPointer(rebasing: rest[(4 + size)...])
        }
    }

    private static func decompress(
        block: UnsafeRawBufferPointer, into output: inout OutputMemory
    ) throws(CompressionError) {
        let bytes = unsafe block.baseAddress?.assumingMemoryBound(to: CChar.self)
        var size = 0
        guard unsafe snappy_uncompressed_length(bytes, block.count, &size) == SNAPPY_OK else {
            throw unsafe .corrupt("snappy", nil)
        }
        try output.reserve(size)
        let free = unsafe output.free
        var written = free.count
        guard
            unsafe snappy_uncompress(
                bytes, block.count, free.baseAddress?.assumingMemoryBound(to: CChar.self), &written)
                == SNAPPY_OK
        else { throw unsafe .corrupt("snappy", nil) }
        output.advance(by: written)
    }
}
