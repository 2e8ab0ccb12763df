import Glibc

/// Lines of a file, read in large pieces. The newline is not part of a line; a last line without one counts.
struct LineReader: ~Copyable {
    private let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: pieceBytes)
    /// The unread bytes are `buffer[start..<filled]`.
    private var start = 0
    private var filled = 0
    private var isAtEnd = false
    /// Bytes read so far.
    private(set) var byteCount = 0
    /// The file's size in bytes; nil for a pipe.
    let size: Int?
    private static let pieceBytes = 256 << 10

    /// `-` is standard input.
    init(path: String) throws {
        descriptor = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("cannot read \(path): \(unsafe String(cString: strerror(errno)))") }
        var status = stat()
        let isFile = unsafe fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        size = isFile ? Int(status.st_size) : nil
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// Calls `body` with the next line, which is valid during the call. Returns false at the end.
    mutating func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        var searched = start
        while true {
            if let end = newline(from: searched) {
                defer { start = end + 1 }
                unsafe try give(start..<end, body)
                return true
            }
            if isAtEnd {
                guard start < filled else { return false }
                defer { start = filled }
                unsafe try give(start..<filled, body)
                return true
            }
            searched = filled - start
            try fill()
        }
    }

    private func give(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        unsafe try buffer.withUnsafeBytes { unsafe try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private func newline(from position: Int) -> Int? {
        unsafe buffer.withUnsafeBytes { bytes in
            guard let found = unsafe memchr(bytes.baseAddress! + position, 0x0a, filled - position) else { return nil }
            return unsafe bytes.baseAddress!.distance(to: found)
        }
    }

    /// Moves what is left to the front and reads more behind it. The buffer grows only for a line that fills it.
    private mutating func fill() throws {
        let left = filled - start
        if left > buffer.count / 2 { buffer.append(contentsOf: repeatElement(0, count: buffer.count)) }
        let (start, room) = (start, buffer.count - left)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe memmove(bytes.baseAddress!, bytes.baseAddress! + start, left)
            var count: Int
            repeat {
                count = unsafe read(descriptor, bytes.baseAddress! + left, room)
            } while count < 0 && errno == EINTR
            return count
        }
        guard count >= 0 else { throw Failure("reading failed: \(unsafe String(cString: strerror(errno)))") }
        self.start = 0
        filled = left + count
        byteCount += count
        isAtEnd = count == 0
    }
}
