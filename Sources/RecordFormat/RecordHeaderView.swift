/// One header of a record, read in place. Keeps nothing alive.
@safe  // As `RecordView`.
package struct RecordHeaderView {
    /// UTF-8 as the producer sent it: not checked.
    package let key: UnsafeRawBufferPointer
    /// nil when the header has no value.
    package let value: UnsafeRawBufferPointer?

    /// Parses one and moves `position` past it; nil when it is malformed.
    init?(_ bytes: UnsafeRawBufferPointer, at position: inout Int) {
        guard case .some(.some(let key)) = unsafe bytes.lengthPrefixed(at: &position),
            let value = unsafe bytes.lengthPrefixed(at: &position)
        else { return nil }
        unsafe self.key = key
        unsafe self.value = value
    }

    /// A copy that lives on its own; malformed UTF-8 in the key is repaired.
    package var copy: RecordHeader {
        unsafe RecordHeader(key: String(decoding: key, as: UTF8.self), value: value.map { unsafe [UInt8]($0) })
    }
}

extension UnsafeRawBufferPointer {
    /// Bytes behind their varint length; moves `position` past them.
    /// - Returns: nil when malformed, `.some(nil)` for length -1: null.
    func lengthPrefixed(at position: inout Int) -> UnsafeRawBufferPointer?? {
        guard let length = unsafe Varint.decode32(self, at: &position), length >= -1 else { return nil }
        guard length >= 0 else { return unsafe .some(nil) }
        guard Int(length) <= count - position else { return nil }
        defer { position += Int(length) }
        return unsafe .some(UnsafeRawBufferPointer(rebasing: self[position..<(position + Int(length))]))
    }
}
