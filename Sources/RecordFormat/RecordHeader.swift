/// A header a producer attaches to a record: a name and some bytes, or none.
public struct RecordHeader: Hashable, Sendable {
    /// UTF-8 on the wire; may be empty, may repeat.
    public var key: String
    /// nil is not the same as empty.
    public var value: [UInt8]?

    /// A header to be written; both parts are copied when it is.
    public init(key: String, value: [UInt8]?) {
        self.key = key
        self.value = value
    }

    /// The bytes it takes inside a record.
    var sizeInBytes: Int {
        let name = key.utf8.count
        let bytes = value?.count
        return Varint.byteCount(Int64(name)) + name + Varint.byteCount(Int64(bytes ?? -1)) + (bytes ?? 0)
    }

    /// Writes it at `position`, which moves past it.
    func write(to buffer: UnsafeMutableRawBufferPointer, at position: inout Int) {
        var name = key
        name.withUTF8 { utf8 in
            unsafe Varint.encode(Int64(utf8.count), into: buffer, at: &position)
            unsafe buffer.copy(UnsafeRawBufferPointer(utf8), to: &position)
        }
        guard let value else {
            unsafe Varint.encode(-1, into: buffer, at: &position)
            return
        }
        unsafe Varint.encode(Int64(value.count), into: buffer, at: &position)
        unsafe value.withUnsafeBytes { unsafe buffer.copy($0, to: &position) }
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Copies `bytes` to `position`, which moves past them. The caller has checked that they fit.
    func copy(_ bytes: UnsafeRawBufferPointer, to position: inout Int) {
        precondition(position + bytes.count <= count, "the bytes do not fit")
        guard bytes.count > 0 else { return }
        unsafe UnsafeMutableRawBufferPointer(rebasing: self[position...]).copyMemory(from: bytes)
        position += bytes.count
    }
}
