/// Fields one after the other, and in flexible versions tagged ones behind them: a message, or an element of one.
package protocol WireStructure: NullableWireValue {
    /// The fields in their order on the wire.
    mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError)
    /// The fields with tags, by ascending tag. The coder takes care of the section and of unknown tags.
    mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError)
}

extension WireStructure {
    package mutating func taggedFields<C: FieldCoder>(_ c: inout C) throws(WireError) {}

    package mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError) { try c.structure(&self) }

    /// A structure that may be null has a byte before it: 1, or -1 for null.
    package static func code<C: FieldCoder>(nullable value: inout Self?, _ c: inout C) throws(WireError) {
        var presence: Int8 = value == nil ? -1 : 1
        try c.integer(&presence)
        guard presence >= 0 else {
            value = nil
            return
        }
        var structure = value ?? Self()
        try c.structure(&structure)
        value = structure
    }

    /// A structure with some of its fields set.
    package static func with(_ set: (inout Self) -> Void) -> Self {
        var structure = Self()
        set(&structure)
        return structure
    }
}
