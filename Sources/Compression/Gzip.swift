internal import CCodecs

/// RFC 1952, by zlib: what Java's GZIPOutputStream writes.
enum Gzip {
    /// zlib's largest window, and 16 for gzip's header and trailer.
    static let windowBits: Int32 = 15 + 16

    @safe final class Compressor {
        private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

        /// - Parameter level: 1…9; nil is zlib's default.
        init(level: Int?) throws(CompressionError) {
            unsafe stream.initialize(to: z_stream())
            guard unsafe ccodecs_deflate_init(stream, Int32(level ?? Int(Z_DEFAULT_COMPRESSION)), windowBits) == Z_OK
            else {
                unsafe stream.deallocate()
                throw .noMemory("gzip")
            }
        }

        deinit {
            _ = unsafe deflateEnd(stream)
            unsafe stream.deallocate()
        }

        func compress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
            _ = unsafe deflateReset(stream)
            try output.reserve(unsafe Int(deflateBound(stream, UInt(input.count))))
            let free = unsafe output.free
            unsafe stream.pointee.setInput(input)
            unsafe stream.pointee.setOutput(free)
            guard unsafe deflate(stream, Z_FINISH) == Z_STREAM_END else {
                throw unsafe .corrupt("gzip", stream.pointee.msg)
            }
            output.advance(by: unsafe free.count - Int(stream.pointee.avail_out))
        }
    }

    @safe final class Decompressor {
        private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

        init() throws(CompressionError) {
            unsafe stream.initialize(to: z_stream())
            guard unsafe ccodecs_inflate_init(stream, windowBits) == Z_OK else {
                unsafe stream.deallocate()
                throw .noMemory("gzip")
            }
        }

        deinit {
            _ = unsafe inflateEnd(stream)
            unsafe stream.deallocate()
        }

        func decompress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
            _ = unsafe inflateReset(stream)
            unsafe stream.pointee.setInput(input)
            while true {
                if unsafe output.free.isEmpty { try output.grow() }
                let free = unsafe output.free
                unsafe stream.pointee.setOutput(free)
                let status = unsafe inflate(stream, Z_NO_FLUSH)
                output.advance(by: unsafe min(free.count, Int(UInt32.max)) - Int(stream.pointee.avail_out))
                switch status {
                case Z_OK: continue
                case Z_STREAM_END:
                    guard unsafe stream.pointee.avail_in > 0 else { return }
                    // Members may follow each other.
                    _ = unsafe inflateReset(stream)
                case Z_BUF_ERROR:
                    guard unsafe output.free.isEmpty else { throw .truncated("gzip") }
                default: throw unsafe .corrupt("gzip", stream.pointee.msg)
                }
            }
        }
    }
}

extension z_stream {
    /// A batch is far smaller than what a 32-bit count can say.
    fileprivate mutating func setInput(_ input: UnsafeRawBufferPointer) {
        // zlib's declaration lacks the const; it only reads.
        unsafe next_in = unsafe UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        unsafe avail_in = UInt32(input.count)
    }

    fileprivate mutating func setOutput(_ output: UnsafeMutableRawBufferPointer) {
        unsafe next_out = unsafe output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe avail_out = UInt32(clamping: output.count)
    }
}
