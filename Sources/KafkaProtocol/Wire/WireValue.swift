/// What a field can hold.
package protocol WireValue: Sendable {
    init()
    mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError)
}

/// A value that a field can hold or lack.
package protocol NullableWireValue: WireValue {
    static func code<C: FieldCoder>(nullable value: inout Self?, _ c: inout C) throws(WireError)
}

extension NullableWireValue {
    package mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError) {
        var value: Self? = self
        try Self.code(nullable: &value, &c)
        guard let value else { throw c.error(.null) }
        self = value
    }
}

extension Optional: WireValue where Wrapped: NullableWireValue {
    package init() { self = nil }

    package mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try Wrapped.code(nullable: &self, &c)
    }
}

extension WireValue where Self: FixedWidthInteger {
    package mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError) { try c.integer(&self) }
}

extension Int8: WireValue {}
extension Int16: WireValue {}
extension Int32: WireValue {}
extension Int64: WireValue {}

extension Bool: WireValue {
    package mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError) {
        var byte: Int8 = self ? 1 : 0
        try c.integer(&byte)
        self = byte != 0
    }
}

extension String: NullableWireValue {
    package static func code<C: FieldCoder>(nullable value: inout String?, _ c: inout C) throws(WireError) {
        try c.string(&value)
    }
}

extension Array: WireValue, NullableWireValue where Element: WireValue {
    package static func code<C: FieldCoder>(nullable value: inout [Element]?, _ c: inout C) throws(WireError) {
        try c.array(&value)
    }
}
