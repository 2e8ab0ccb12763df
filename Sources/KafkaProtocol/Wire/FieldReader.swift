/// Reads a message's fields. Every length is checked against the frame's end before anything is made of it.
///
/// - Ownership: borrows the bytes, which must stay and not change while the reader is in use.
@safe package struct FieldReader: FieldCoder {
    private let frame: UnsafeRawBufferPointer
    /// Of the next byte to read, in the frame.
    package private(set) var position = 0
    /// Where the part that is being read ends: the frame, or a tagged field.
    private var end: Int
    private var elementsLeft = WireLimits.elementsMax
    /// The tag that ``WireStructure/taggedFields(_:)`` looks for, until it was found.
    private var wantedTag: UInt32?

    /// Nil while the header is read.
    package var api: ApiKey?
    package var version: Int16 = 0
    package var isFlexible = false
    package var fieldName: StaticString = "header"

    /// - Parameter frame: A frame without its length prefix.
    package init(_ frame: UnsafeRawBufferPointer) {
        unsafe self.frame = frame
        end = frame.count
    }

    package mutating func integer<T: FixedWidthInteger>(_ value: inout T) throws(WireError) {
        let size = T.bitWidth / 8
        let start = position
        try skip(size)
        value = unsafe T(bigEndian: frame.loadUnaligned(fromByteOffset: start, as: T.self))
    }

    @inline(never)
    package mutating func string(_ value: inout String?) throws(WireError) {
        guard let count = try length(of: Int16.self) else {
            value = nil
            return
        }
        guard count <= WireLimits.stringBytesMax else {
            throw error(.tooLong(count, max: WireLimits.stringBytesMax))
        }
        guard let text = unsafe String(validating: try run(count), as: UTF8.self) else { throw error(.notUTF8) }
        value = text
    }

    @inline(never)
    package mutating func bytes(_ value: inout [UInt8]?) throws(WireError) {
        guard let count = try length(of: Int32.self) else {
            value = nil
            return
        }
        value = unsafe Array(try run(count))
    }

    @inline(never)
    package mutating func records(_ value: inout Records?) throws(WireError) {
        guard let count = try length(of: Int32.self) else {
            value = nil
            return
        }
        value = Records(offset: position, count: count)
        try skip(count)
    }

    package mutating func array<Element: WireValue>(_ value: inout [Element]?) throws(WireError) {
        guard let count = try length(of: Int32.self) else {
            value = nil
            return
        }
        // An element has at least a byte.
        guard count <= end - position else { throw endsEarly(needing: count) }
        guard count <= elementsLeft else { throw error(.tooManyElements(count, max: elementsLeft)) }
        elementsLeft -= count
        var list: [Element] = []
        list.reserveCapacity(count)
        for _ in 0..<count {
            var element = Element()
            try element.code(&self)
            list.append(element)
        }
        value = list
    }

    package mutating func structure<S: WireStructure>(_ value: inout S) throws(WireError) {
        try value.fields(&self)
        if isFlexible { try tags(of: &value) }
    }

    package mutating func taggedValue<V: WireValue & Equatable>(
        _ tag: UInt32, _ value: inout V, default: V
    ) throws(WireError) {
        guard wantedTag == tag else { return }
        wantedTag = nil
        try value.code(&self)
    }

    /// Skips a section of tags, of which none is known.
    package mutating func unknownTags() throws(WireError) {
        var none = NoFields()
        try tags(of: &none)
    }

    /// Requires that nothing follows.
    package mutating func finish() throws(WireError) {
        fieldName = "end"
        guard position == end else { throw error(.trailingBytes(end - position)) }
    }

    @inline(never)
    package func error(_ problem: WireError.Problem) -> WireError {
        WireError(api: api, version: version, field: fieldName, problem: problem)
    }

    private mutating func tags<S: WireStructure>(of value: inout S) throws(WireError) {
        let outerTag = wantedTag
        let outerEnd = end
        for _ in 0..<(try varint()) {
            let tag = try varint()
            let size = Int(try varint())
            guard size <= end - position else { throw endsEarly(needing: size) }
            end = position + size
            wantedTag = tag
            try value.taggedFields(&self)
            if wantedTag == tag { position = end }
            guard position == end else { throw error(.tagOfOtherSize(tag: tag)) }
            end = outerEnd
        }
        wantedTag = outerTag
    }

    /// A length, nil for null: in flexible versions a varint that is one more, else an integer that is -1 for null.
    private mutating func length<T: FixedWidthInteger>(of: T.Type) throws(WireError) -> Int? {
        if isFlexible {
            let count = try varint()
            return count == 0 ? nil : Int(count) - 1
        }
        var count: T = 0
        try integer(&count)
        guard count >= -1 else { throw error(.negativeLength(Int(count))) }
        return count == -1 ? nil : Int(count)
    }

    @inline(never)
    private mutating func varint() throws(WireError) -> UInt32 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 35, by: 7) {
            var byte: UInt8 = 0
            try integer(&byte)
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 {
                guard let small = UInt32(exactly: value) else { break }
                return small
            }
        }
        throw error(.varintTooLong)
    }

    private mutating func run(_ count: Int) throws(WireError) -> UnsafeRawBufferPointer {
        let start = position
        try skip(count)
        return unsafe UnsafeRawBufferPointer(rebasing: frame[start..<position])
    }

    private mutating func skip(_ count: Int) throws(WireError) {
        guard count <= end - position else { throw endsEarly(needing: count) }
        position += count
    }

    @inline(never)
    private func endsEarly(needing count: Int) -> WireError { error(.endsEarly(missing: count - (end - position))) }

    private struct NoFields: WireStructure {
        func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {}
    }
}
