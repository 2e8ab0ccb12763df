/// Writes a message's fields. Of records it writes the length only and remembers the gap.
package struct FieldWriter: FieldCoder {
    package private(set) var bytes: [UInt8] = []
    package private(set) var gaps: [EncodedFrame.Gap] = []
    /// What ``taggedValue(_:_:default:)`` does with a tag that has a value.
    private var tagPass = TagPass.counting
    private var tagCount: UInt32 = 0

    package let api: ApiKey
    package let version: Int16
    package let isFlexible: Bool
    package var fieldName: StaticString = "header"

    package init(_ api: ApiKey, version: Int16) {
        self.api = api
        self.version = version
        isFlexible = api.isFlexible(version)
        bytes.reserveCapacity(256)
    }

    package mutating func integer<T: FixedWidthInteger>(_ value: inout T) throws(WireError) { append(value) }

    @inline(never)
    package mutating func string(_ value: inout String?) throws(WireError) {
        guard var text = value else { return length(nil, as: Int16.self) }
        let count = text.utf8.count
        guard count <= WireLimits.stringBytesMax else {
            throw error(.tooLong(count, max: WireLimits.stringBytesMax))
        }
        length(count, as: Int16.self)
        text.withUTF8 { unsafe bytes.append(contentsOf: $0) }
    }

    @inline(never)
    package mutating func bytes(_ value: inout [UInt8]?) throws(WireError) {
        length(value?.count, as: Int32.self)
        if let value { bytes.append(contentsOf: value) }
    }

    @inline(never)
    package mutating func records(_ value: inout Records?) throws(WireError) {
        length(value?.count, as: Int32.self)
        if let count = value?.count, count > 0 { gaps.append(EncodedFrame.Gap(position: bytes.count, count: count)) }
    }

    package mutating func array<Element: WireValue>(_ value: inout [Element]?) throws(WireError) {
        length(value?.count, as: Int32.self)
        // A copy of each element, so that the array is not copied as one that changes would be.
        for var element in value ?? [] { try element.code(&self) }
    }

    package mutating func structure<S: WireStructure>(_ value: inout S) throws(WireError) {
        try value.fields(&self)
        guard isFlexible else { return }
        let outer = (tagPass, tagCount)
        (tagPass, tagCount) = (.counting, 0)
        try value.taggedFields(&self)
        varint(tagCount)
        tagPass = .writing
        if tagCount > 0 { try value.taggedFields(&self) }
        (tagPass, tagCount) = outer
    }

    package mutating func taggedValue<V: WireValue & Equatable>(
        _ tag: UInt32, _ value: inout V, default: V
    ) throws(WireError) {
        guard value != `default` else { return }
        guard tagPass == .writing else {
            tagCount += 1
            return
        }
        varint(tag)
        let start = bytes.count
        try value.code(&self)
        // The size stands before what it is the size of.
        let content = Array(bytes[start...])
        bytes.removeSubrange(start...)
        varint(UInt32(content.count))
        bytes += content
    }

    @inline(never)
    package func error(_ problem: WireError.Problem) -> WireError {
        WireError(api: api, version: version, field: fieldName, problem: problem)
    }

    package mutating func append<T: FixedWidthInteger>(_ value: T) {
        unsafe withUnsafeBytes(of: value.bigEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    @inline(never)
    package mutating func varint(_ value: UInt32) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// The frame that was written behind four bytes for its length, which is filled in.
    package mutating func frame() throws(WireError) -> EncodedFrame {
        let count = bytes.count + gaps.reduce(0) { $0 + $1.count } - FrameLength.bytesCount
        fieldName = "frame length"
        guard let prefix = Int32(exactly: count) else { throw error(.tooLong(count, max: Int(Int32.max))) }
        for index in 0..<FrameLength.bytesCount {
            bytes[index] = UInt8(truncatingIfNeeded: prefix >> Int32(24 - 8 * index))
        }
        return EncodedFrame(bytes: bytes, gaps: gaps)
    }

    private mutating func length<T: FixedWidthInteger>(_ count: Int?, as: T.Type) {
        if isFlexible {
            varint(count.map { UInt32($0) + 1 } ?? 0)
        } else {
            append(count.map { T($0) } ?? -1)
        }
    }

    private enum TagPass { case counting, writing }
}
