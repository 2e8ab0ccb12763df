import KafkaProtocol

/// Fills a message with values from a seed. What another version has keeps its default.
struct RandomCoder: FieldCoder {
    let version: Int16
    var fieldName: StaticString = ""
    private var numbers: SplitMix

    init(version: Int16, seed: UInt64) {
        self.version = version
        numbers = SplitMix(seed: seed)
    }

    mutating func integer<T: FixedWidthInteger>(_ value: inout T) {
        let number = numbers.next()
        // Small ones are error codes and flags.
        value = number % 3 == 0 ? T(truncatingIfNeeded: numbers.next()) : T(numbers.next() % 100)
    }

    mutating func string(_ value: inout String?) {
        guard !mayBeNull(value == nil) else { return }
        value = String((0..<numbers.next() % 12).map { _ in "aü€😀-_.9Z".randomElement(using: &numbers) ?? "a" })
    }

    mutating func bytes(_ value: inout [UInt8]?) {
        value = (0..<numbers.next() % 200).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
    }

    mutating func records(_ value: inout Records?) {
        value = mayBeNull(value == nil) ? nil : Records(count: Int(numbers.next() % 300))
    }

    mutating func array<Element: WireValue>(_ value: inout [Element]?) throws(WireError) {
        guard !mayBeNull(value == nil) else { return }
        var list: [Element] = []
        for _ in 0..<numbers.next() % 4 {
            var element = Element()
            try element.code(&self)
            list.append(element)
        }
        value = list
    }

    mutating func structure<S: WireStructure>(_ value: inout S) throws(WireError) {
        try value.fields(&self)
        try value.taggedFields(&self)
    }

    mutating func taggedValue<V: WireValue & Equatable>(_ tag: UInt32, _ value: inout V, default: V) throws(WireError) {
        if numbers.next() % 2 == 0 { try value.code(&self) }
    }

    func error(_ problem: WireError.Problem) -> WireError {
        WireError(api: nil, version: version, field: fieldName, problem: problem)
    }

    /// What is null by default may be; of what is not, null is not allowed in every version.
    private mutating func mayBeNull(_ isNull: Bool) -> Bool { isNull && numbers.next() % 3 == 0 }
}

/// Sebastiano Vigna's SplitMix64: the same numbers for a seed, everywhere.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
