/// Reads a frame's fields in order. Little-endian; every read is checked against the frame's end.
///
/// - Ownership: borrows the bytes, which must be private to this process (a peer could change shared ones between
///   a check and a use).
@safe package struct FrameReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    package init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    /// Bytes not read yet.
    package var remaining: Int { unsafe bytes.count - position }

    package mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(FrameError) -> T {
        let size = T.bitWidth / 8
        guard remaining >= size else { throw FrameError("the frame ends \(size - remaining) bytes early") }
        defer { position += size }
        return unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    /// A string of at most `bytesMax` bytes behind its 16-bit length.
    package mutating func string(bytesMax: Int) throws(FrameError) -> String {
        let count = Int(try integer(UInt16.self))
        guard count <= bytesMax else { throw FrameError("a string of \(count) bytes, at most \(bytesMax) are allowed") }
        let run = unsafe try self.run(count)
        guard let text = unsafe String(validating: run, as: UTF8.self) else {
            throw FrameError("a string that is not UTF-8")
        }
        return text
    }

    /// The next `count` bytes, in place.
    package mutating func run(_ count: Int) throws(FrameError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else {
            throw FrameError("the frame announces \(count) bytes and carries \(remaining)")
        }
        defer { position += count }
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    /// A run of bytes behind its 32-bit length, copied.
    package mutating func countedBytes() throws(FrameError) -> [UInt8] {
        let count = Int(try integer(UInt32.self))
        return unsafe Array(try run(count))
    }

    /// As many of something as a 16-bit count says. What a false count makes us do ends with the frame.
    package mutating func list<T>(
        _ element: (inout FrameReader) throws(FrameError) -> T
    ) throws(FrameError) -> [T] {
        let count = try integer(UInt16.self)
        var list: [T] = []
        for _ in 0..<count { list.append(try element(&self)) }
        return list
    }

    /// Requires that nothing follows.
    package func end() throws(FrameError) {
        guard remaining == 0 else { throw FrameError("\(remaining) bytes follow the frame's end") }
    }
}

/// Writes a frame's fields in order, little-endian, into memory that must be large enough (a programmer's duty:
/// every frame's size is bounded by ``FrameLimits``), unless the writer is one that may overflow.
@safe package struct FrameWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    private let mayOverflow: Bool
    /// Bytes written.
    package private(set) var count = 0
    /// Something did not fit: what was written is of no use.
    package private(set) var hasOverflowed = false

    package init(_ bytes: UnsafeMutableRawBufferPointer, mayOverflow: Bool = false) {
        unsafe self.bytes = bytes
        self.mayOverflow = mayOverflow
    }

    /// Bytes that still fit.
    package var room: Int { unsafe bytes.count - count }

    package mutating func integer<T: FixedWidthInteger>(_ value: T) {
        guard fits(T.bitWidth / 8) else { return }
        unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: count, as: T.self)
        count += T.bitWidth / 8
    }

    package mutating func string(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            guard fits(utf8.count <= Int(UInt16.max) ? 2 + utf8.count : .max) else { return }
            integer(UInt16(utf8.count))
            unsafe run(UnsafeRawBufferPointer(utf8))
        }
    }

    package mutating func run(_ source: UnsafeRawBufferPointer) {
        guard fits(source.count) else { return }
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(from: source)
        count += source.count
    }

    /// A run of bytes behind its 32-bit length.
    package mutating func countedBytes(_ run: [UInt8]) {
        integer(UInt32(run.count))
        unsafe run.withUnsafeBytes { unsafe self.run($0) }
    }

    /// Elements behind their 16-bit count.
    package mutating func list<T>(_ list: [T], _ element: (inout FrameWriter, T) -> Void) {
        guard fits(list.count <= Int(UInt16.max) ? 2 : .max) else { return }
        integer(UInt16(list.count))
        for value in list { element(&self, value) }
    }

    private mutating func fits(_ byteCount: Int) -> Bool {
        if room >= byteCount { return true }
        precondition(mayOverflow, "frame overflow")
        hasOverflowed = true
        return false
    }
}

/// A frame that breaks the protocol. The connection it came on is closed: nothing after it can be trusted.
package struct FrameError: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Limits of the protocol itself.
package enum FrameLimits {
    /// Longest topic name, in bytes (Kafka's limit).
    package static let topicNameBytesMax = 249
    /// Most configs of a topic in one frame, and the longest value of one, in bytes.
    package static let topicConfigsMax = 16
    package static let topicConfigBytesMax = 200
    /// Longest error text in a response, in bytes.
    package static let errorTextBytesMax = 512
    /// Longest string that has no closer limit (Kafka's), in bytes.
    package static let stringBytesMax = 32_767
    /// Longest message put together from fragments, header included, in bytes.
    package static let messageBytesMax = 1 << 20
    /// Fixed part of a PRODUCE_EAGER frame, in bytes.
    package static let eagerHeaderBytes = 20
}
