import Glibc

/// Lines of a file, read in large pieces. The newline is not part of a line; a last line without one counts.
struct LineReader: ~Copyable {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// Bytes read so far.
    private(set) var byteCount = 0
    /// The file's size in bytes; nil for a pipe.
    let size: Int?
    private static let pieceBytes = 1 << 20

    /// `-` is standard input.
    init(path: String) throws {
        descriptor = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("cannot read \(path): \(unsafe String(cString: strerror(errno)))") }
        var status = stat()
        let isFile = unsafe fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        size = isFile ? Int(status.st_size) : nil
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    mutating func next() throws -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                defer { start = end + 1 }
                return Array(buffer[start..<end])
            }
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                return Array(buffer[start...])
            }
            buffer.removeFirst(start)
            searched = buffer.count
            start = 0
            try fill()
        }
    }

    private mutating func fill() throws {
        let old = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: Self.pieceBytes))
        var count: Int
        repeat {
            count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress! + old, Self.pieceBytes) }
        } while count < 0 && errno == EINTR
        guard count >= 0 else { throw Failure("reading failed: \(unsafe String(cString: strerror(errno)))") }
        buffer.removeLast(Self.pieceBytes - count)
        byteCount += count
        isAtEnd = count == 0
    }
}
