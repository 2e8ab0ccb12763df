import KafkaProtocol

/// Says what a message holds, as `golden/generate.py` does.
struct DumpCoder: FieldCoder {
    let version: Int16
    var fieldName: StaticString = "" { didSet { isNamed = true } }
    private(set) var text = ""
    private var isNamed = false

    init(version: Int16) { self.version = version }

    static func dump<S: WireStructure>(_ value: S, version: Int16) throws(WireError) -> String {
        var coder = DumpCoder(version: version)
        var value = value
        try value.code(&coder)
        return coder.text
    }

    mutating func integer<T: FixedWidthInteger>(_ value: inout T) { emit("\(value)") }

    mutating func string(_ value: inout String?) { emit(value.map { "\"\($0)\"" } ?? "null") }

    mutating func bytes(_ value: inout [UInt8]?) {
        emit(value.map { "x" + $0.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() } ?? "null")
    }

    mutating func records(_ value: inout Records?) { emit(value.map { "\($0.count) bytes" } ?? "null") }

    mutating func array<Element: WireValue>(_ value: inout [Element]?) throws(WireError) {
        guard let list = value else { return emit("null") }
        emit("[")
        for var element in list { try element.code(&self) }
        text += "]"
    }

    mutating func structure<S: WireStructure>(_ value: inout S) throws(WireError) {
        emit("{")
        try value.fields(&self)
        try value.taggedFields(&self)
        isNamed = false
        text += "}"
    }

    mutating func taggedValue<V: WireValue & Equatable>(_ tag: UInt32, _ value: inout V, default: V) throws(WireError) {
        if value != `default` { try value.code(&self) }
    }

    func error(_ problem: WireError.Problem) -> WireError {
        WireError(api: nil, version: version, field: fieldName, problem: problem)
    }

    private mutating func emit(_ value: String) {
        if let last = text.last, last != "{", last != "[" { text += " " }
        if isNamed { text += "\(fieldName)=" }
        isNamed = false
        text += value
    }
}
