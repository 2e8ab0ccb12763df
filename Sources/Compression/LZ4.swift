internal import CCodecs

/// LZ4's frame format, by liblz4: blocks of 64 KiB that do not depend on each other (Kafka's Java reader takes no
/// others).
enum LZ4 {
    /// - Parameter level: 1…12; from 3 on, slower and smaller; nil is the fast default.
    static func compress(
        _ input: UnsafeRawBufferPointer, level: Int?, into output: inout OutputMemory
    ) throws(CompressionError) {
        var preferences = LZ4F_preferences_t()
        preferences.frameInfo.blockSizeID = LZ4F_max64KB
        preferences.frameInfo.blockMode = LZ4F_blockIndependent
        preferences.compressionLevel = Int32(level ?? 0)
        try output.reserve(unsafe LZ4F_compressFrameBound(input.count, &preferences))
        let free = unsafe output.free
        let size = unsafe LZ4F_compressFrame(free.baseAddress, free.count, input.baseAddress, input.count, &preferences)
        guard LZ4F_isError(size) == 0 else { throw unsafe .corrupt("lz4", LZ4F_getErrorName(size)) }
        output.advance(by: size)
    }

    @safe final class Decompressor {
        private let context: OpaquePointer

        init() throws(CompressionError) {
            var made: OpaquePointer?
            guard unsafe LZ4F_isError(LZ4F_createDecompressionContext(&made, UInt32(LZ4F_VERSION))) == 0,
                let made = unsafe made
            else { throw .noMemory("lz4") }
            unsafe context = unsafe made
        }

        deinit { _ = unsafe LZ4F_freeDecompressionContext(context) }

        func decompress(_ input: UnsafeRawBufferPointer, into output: inout OutputMemory) throws(CompressionError) {
            unsafe LZ4F_resetDecompressionContext(context)
            var rest = unsafe input
            while true {
                if unsafe output.free.isEmpty { try output.grow() }
                let free = unsafe output.free
                var (written, consumed) = (free.count, rest.count)
                let wanted = unsafe LZ4F_decompress(
                    context, free.baseAddress, &written, rest.baseAddress, &consumed, nil)
                guard LZ4F_isError(wanted) == 0 else { throw unsafe .corrupt("lz4", LZ4F_getErrorName(wanted)) }
                output.advance(by: written)
                unsafe rest = unsafe UnsafeRawBufferPointer(rebasing: rest[consumed...])
                // Frames may follow each other.
                if wanted == 0, unsafe rest.isEmpty { return }
                guard consumed > 0 || written > 0 else { throw .truncated("lz4") }
            }
        }
    }
}
