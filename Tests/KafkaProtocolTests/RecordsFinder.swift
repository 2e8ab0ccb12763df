import KafkaProtocol

/// Collects a message's records, in order, without null and empty ones: what the gaps of its frame are for.
struct RecordsFinder: FieldCoder {
    let version: Int16
    var fieldName: StaticString = ""
    private var found: [Records] = []

    static func records<S: WireStructure>(of value: S, version: Int16) throws(WireError) -> [Records] {
        var finder = RecordsFinder(version: version)
        var value = value
        try value.code(&finder)
        return finder.found
    }

    private init(version: Int16) { self.version = version }

    mutating func integer<T: FixedWidthInteger>(_ value: inout T) {}
    mutating func string(_ value: inout String?) {}
    mutating func bytes(_ value: inout [UInt8]?) {}

    mutating func records(_ value: inout Records?) {
        if let records = value, records.count > 0 { found.append(records) }
    }

    mutating func array<Element: WireValue>(_ value: inout [Element]?) throws(WireError) {
        for var element in value ?? [] { try element.code(&self) }
    }

    mutating func structure<S: WireStructure>(_ value: inout S) throws(WireError) { try value.fields(&self) }
    mutating func taggedValue<V: WireValue & Equatable>(_ tag: UInt32, _ value: inout V, default: V) {}

    func error(_ problem: WireError.Problem) -> WireError {
        WireError(api: nil, version: version, field: fieldName, problem: problem)
    }
}
