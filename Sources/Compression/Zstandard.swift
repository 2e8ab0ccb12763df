internal import CCodecs

/// RFC 8878, by libzstd.
enum Zstandard {
    @safe final class Compressor {
        private let context: OpaquePointer
        private let level: Int32

        /// - Parameter level: −131072…22; nil is the library's default, 3.
        init(level: Int?) throws(CompressionError) {
            guard let made = unsafe ZSTD_createCCtx() else { throw .noMemory("zstd") }
            unsafe context = unsafe made
            self.level = level.map { Int32($0) } ?? ZSTD_defaultCLevel()
        }

        deinit { _ = unsafe ZSTD_freeCCtx(context) }

        func compress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
            try output.reserve(ZSTD_compressBound(input.count))
            let free = unsafe output.free
            let size = unsafe ZSTD_compressCCtx(
                context, free.baseAddress, free.count, input.baseAddress, input.count, level)
            guard ZSTD_isError(size) == 0 else { throw unsafe .corrupt("zstd", ZSTD_getErrorName(size)) }
            output.advance(by: size)
        }
    }

    @safe final class Decompressor {
        /// What `ZSTD_getFrameContentSize` answers besides sizes: macros whose arithmetic Swift does not import.
        private static let contentSizeUnknown = UInt64.max
        private static let contentSizeError = UInt64.max - 1
        private let context: OpaquePointer

        init() throws(CompressionError) {
            guard let made = unsafe ZSTD_createDCtx() else { throw .noMemory("zstd") }
            unsafe context = unsafe made
        }

        deinit { _ = unsafe ZSTD_freeDCtx(context) }

        /// All in one call, so that no window is needed, whose size the input would choose. A frame that does not say
        /// how large its contents are is read again into more memory.
        func decompress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
            // No frame at all would be no error.
            guard input.count > 0 else { throw .truncated("zstd") }
            let size = unsafe ZSTD_getFrameContentSize(input.baseAddress, input.count)
            switch size {
            case Self.contentSizeUnknown: try output.reserve(min(4 * input.count, output.bytesMax))
            case Self.contentSizeError: break  // the call below says why
            default: try output.reserve(Int(clamping: size))
            }
            while true {
                let free = unsafe output.free
                let written = unsafe ZSTD_decompressDCtx(
                    context, free.baseAddress, free.count, input.baseAddress, input.count)
                if ZSTD_isError(written) == 0 { return output.advance(by: written) }
                switch ZSTD_getErrorCode(written) {
                case ZSTD_error_dstSize_tooSmall: try output.grow()
                case ZSTD_error_srcSize_wrong: throw .truncated("zstd")
                default: throw unsafe .corrupt("zstd", ZSTD_getErrorName(written))
                }
            }
        }
    }
}
