internal import Glibc
internal import KafkaProtocol
internal import NIOCore
internal import TopicLog

/// Sends answers: bytes, and ranges of files between them, by `sendfile` or through memory.
///
/// No more than SwiftNIO's high watermark and one piece are handed to it at a time: what is read from files does not
/// pile up in memory before a client that reads slowly.
/// - Threading: the connection's event loop.
final class AnswerWriter {
    let isZeroCopy: Bool
    let counters: NetworkCounters
    private var pieces: CircularBuffer<Piece> = []
    /// Answers without ranges are gathered: one write for those of a turn.
    private var gathered = ByteBuffer()
    /// Of the pieces that are bytes.
    private var pieceBytes = 0
    /// Bytes that SwiftNIO was given since it took any.
    private(set) var handedBytes = 0
    /// The last ``write(to:)`` handed over a range of a file.
    private(set) var hasWrittenRange = false

    private enum Piece {
        case bytes(ByteBuffer)
        /// Of a file, from a position on so many bytes.
        case range(LogFile, Int64, Int)
    }

    /// The most that is read from a file at once, in bytes.
    private static let readBytesMax = 65_536

    init(isZeroCopy: Bool, counters: NetworkCounters) {
        self.isZeroCopy = isZeroCopy
        self.counters = counters
    }

    var isEmpty: Bool { pieces.isEmpty && gathered.readableBytes == 0 }

    /// Of what waits to be written, without what is in files.
    var byteCount: Int { gathered.readableBytes + pieceBytes }

    /// Whether enough waits to be written.
    var isFull: Bool { gathered.readableBytes >= Self.readBytesMax || pieces.count >= 16 }

    /// Adds a frame whose gaps are filled by `ranges`, one for one.
    func add(_ frame: EncodedFrame, ranges: [FileRange]) {
        precondition(frame.gaps.count == ranges.count, "a range for each gap")
        var start = 0
        gathered.reserveCapacity(minimumWritableBytes: frame.gaps.first?.position ?? frame.bytes.count)
        for (gap, range) in zip(frame.gaps, ranges) {
            precondition(gap.count == range.count, "the range is as long as the gap")
            gathered.writeBytes(frame.bytes[start..<gap.position])
            start = gap.position
            endGathering()
            pieces.append(.range(range.file, range.position, range.count))
        }
        // Even of no bytes a buffer would be made.
        if start < frame.bytes.count { gathered.writeBytes(frame.bytes[start...]) }
    }

    func add(_ frame: [UInt8]) { gathered.writeBytes(frame) }

    /// Hands pieces to the channel while it takes them.
    /// - Returns: Whether something was written, and is to be flushed.
    func write(to context: ChannelHandlerContext) throws -> Bool {
        endGathering()
        var hasWritten = false
        hasWrittenRange = false
        if context.channel.isWritable { handedBytes = 0 }
        while context.channel.isWritable, let piece = pieces.popFirst() {
            switch piece {
            case .bytes(let bytes):
                pieceBytes -= bytes.readableBytes
                handedBytes += bytes.readableBytes
                context.write(NIOAny(IOData.byteBuffer(bytes)), promise: nil)
            case .range(let file, let position, let count):
                if isZeroCopy {
                    hasWrittenRange = true
                    send(file, position, count, context)
                } else {
                    try copy(file, position, count, context)
                }
            }
            hasWritten = true
        }
        return hasWritten
    }

    private func endGathering() {
        guard gathered.readableBytes > 0 else { return }
        pieces.append(.bytes(gathered))
        pieceBytes += gathered.readableBytes
        gathered = ByteBuffer()
    }

    private func send(_ file: LogFile, _ position: Int64, _ count: Int, _ context: ChannelHandlerContext) {
        let lease = FileLease(file)
        let region = FileRegion(
            fileHandle: lease.handle, readerIndex: Int(position), endIndex: Int(position) + count)
        let written = context.eventLoop.makePromise(of: Void.self)
        // The lease ends with the write, however that ends.
        written.futureResult.whenComplete { [counters] result in
            lease.end()
            if case .success = result { counters.sendfileBytes.count(count) }
        }
        context.write(NIOAny(IOData.fileRegion(region)), promise: written)
    }

    private func copy(
        _ file: LogFile, _ position: Int64, _ count: Int, _ context: ChannelHandlerContext
    ) throws {
        let pieceBytes = min(count, Self.readBytesMax)
        var buffer = context.channel.allocator.buffer(capacity: pieceBytes)
        let got = unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: pieceBytes) { memory in
            unsafe max(0, pread(file.descriptor, memory.baseAddress, pieceBytes, off_t(position)))
        }
        guard got > 0 else { throw NetworkError("cannot read \(file.path) at \(position): errno \(errno)") }
        counters.copiedToSendBytes.count(got)
        handedBytes += got
        if got < count { pieces.prepend(.range(file, position + Int64(got), count - got)) }
        // At once: TLS does not say before how much waits.
        context.writeAndFlush(NIOAny(IOData.byteBuffer(buffer)), promise: nil)
    }
}

/// Lends a log's descriptor to SwiftNIO for one write: it wants a handle of its own, which would close the file.
final class FileLease: Sendable {
    let handle: NIOFileHandle
    private let file: LogFile

    init(_ file: LogFile) {
        self.file = file
        handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: file.descriptor)
    }

    /// Takes the descriptor back, without closing it.
    func end() {
        // It fails only while a write uses the handle; there is none any more.
        _ = try? handle.takeDescriptorOwnership()
    }
}
