/// Walks over a message's fields in their order on the wire: a reader fills them, a writer takes from them.
///
/// So each message is described once, for both directions and all versions (``WireStructure/fields(_:)``).
package protocol FieldCoder {
    /// The version of the API that the message is of.
    var version: Int16 { get }
    /// The field that is being coded: errors name it.
    var fieldName: StaticString { get set }

    mutating func integer<T: FixedWidthInteger>(_ value: inout T) throws(WireError)
    mutating func string(_ value: inout String?) throws(WireError)
    mutating func bytes(_ value: inout [UInt8]?) throws(WireError)
    mutating func records(_ value: inout Records?) throws(WireError)
    mutating func array<Element: WireValue>(_ value: inout [Element]?) throws(WireError)
    mutating func structure<S: WireStructure>(_ value: inout S) throws(WireError)
    /// A field of ``WireStructure/taggedFields(_:)``, if the version has it.
    mutating func taggedValue<V: WireValue & Equatable>(_ tag: UInt32, _ value: inout V, default: V) throws(WireError)
    /// An error about the field that is being coded.
    func error(_ problem: WireError.Problem) -> WireError
}

extension FieldCoder {
    /// A field of the versions from `since` to `until`. Of an optional value null is nil.
    package mutating func field<V: WireValue>(
        _ name: StaticString, _ value: inout V, since: Int16 = 0, until: Int16 = .max
    ) throws(WireError) {
        guard version >= since, version <= until else { return }
        fieldName = name
        try value.code(&self)
    }

    /// A field that may be null from version `nullableSince` on, and must not be before.
    package mutating func field<V: NullableWireValue>(
        _ name: StaticString, _ value: inout V?, since: Int16 = 0, until: Int16 = .max, nullableSince: Int16
    ) throws(WireError) {
        guard version >= since, version <= until else { return }
        fieldName = name
        try V.code(nullable: &value, &self)
        guard value != nil || version >= nullableSince else { throw error(.null) }
    }

    /// A run of bytes, which is copied; records are not (``Records``).
    package mutating func field(
        _ name: StaticString, _ value: inout [UInt8], since: Int16 = 0, until: Int16 = .max
    ) throws(WireError) {
        guard version >= since, version <= until else { return }
        fieldName = name
        var run: [UInt8]? = value
        try bytes(&run)
        guard let run else { throw error(.null) }
        value = run
    }

    /// A field with a tag, of flexible versions from `since` on. It is not written when it holds its default.
    package mutating func tagged<V: WireValue & Equatable>(
        _ tag: UInt32, _ name: StaticString, _ value: inout V, default: V = V(), since: Int16
    ) throws(WireError) {
        guard version >= since else { return }
        fieldName = name
        try taggedValue(tag, &value, default: `default`)
    }
}
