/// A regular expression for whole names of topics, in time that grows with pattern and name only: there is no pattern
/// that keeps the broker busy.
///
/// What RE2 and Java's expressions have in common: literals, `.`, classes, `\d \w \s` and their opposites, groups, `|`,
/// `* + ? {n,m}`, `^`, `$`. Names of topics are ASCII, so a set of characters is 128 bits.
struct TopicPattern {
    /// Longest pattern, in bytes, and what it may come to: so many steps are made for each character of a name.
    static let bytesMax = 1_024, instructionsMax = 256
    private static let nodesMax = 16 * instructionsMax

    private enum Instruction {
        case character(UInt128)
        case split(Int, Int)
        case jump(Int)
        case start, end, match
    }

    private var program: [Instruction] = []
    /// Parts of the pattern that were looked at while it was made.
    private var emitted = 0

    /// - Throws: what is wrong with it.
    init(_ text: String) throws(TopicPatternError) {
        guard text.utf8.count <= Self.bytesMax else {
            throw TopicPatternError("it has \(text.utf8.count) bytes, at most \(Self.bytesMax) are allowed")
        }
        var parser = PatternParser(text)
        try emit(try parser.parse())
        try append(.match)
    }

    private mutating func append(_ instruction: Instruction) throws(TopicPatternError) {
        guard program.count < Self.instructionsMax else { throw TopicPatternError("it is too large") }
        program.append(instruction)
    }

    private mutating func emit(_ node: PatternNode) throws(TopicPatternError) {
        // What comes to nothing is made again by its repetition, and that by the next: it counts, too.
        emitted += 1
        guard emitted <= Self.nodesMax else { throw TopicPatternError("it is too large") }
        switch node {
        case .set(let characters): try append(.character(characters))
        case .start: try append(.start)
        case .end: try append(.end)
        case .sequence(let nodes): for node in nodes { try emit(node) }
        case .either(let nodes):
            var jumps: [Int] = []
            for node in nodes.dropLast() {
                let split = program.count
                try append(.split(split + 1, 0))
                try emit(node)
                jumps.append(program.count)
                try append(.jump(0))
                program[split] = .split(split + 1, program.count)
            }
            try emit(nodes.last!)
            for jump in jumps { program[jump] = .jump(program.count) }
        case .repeated(let node, let least, let most):
            for _ in 0..<least { try emit(node) }
            guard let most else {
                let split = program.count
                try append(.split(split + 1, 0))
                try emit(node)
                try append(.jump(split))
                program[split] = .split(split + 1, program.count)
                return
            }
            var splits: [Int] = []
            for _ in least..<most {
                splits.append(program.count)
                try append(.split(program.count + 1, 0))
                try emit(node)
            }
            for split in splits { program[split] = .split(split + 1, program.count) }
        }
    }

    func matches(_ name: String) -> Bool {
        var steps = Int.max
        return matches(name, &steps)
    }

    /// - Parameter stepsLeft: Less each step that it took.
    func matches(_ name: String, _ stepsLeft: inout Int) -> Bool {
        let bytes = Array(name.utf8)
        var current: [Int] = []
        var seen = [Int](repeating: -1, count: program.count)
        var steps = program.count
        defer { stepsLeft -= steps }
        follow(0, 0, bytes.count, &current, &seen, &steps)
        for (place, byte) in bytes.enumerated() {
            guard byte < 128 else { return false }
            var next: [Int] = []
            steps += current.count
            for index in current {
                if case .character(let characters) = program[index], characters >> UInt128(byte) & 1 == 1 {
                    follow(index + 1, place + 1, bytes.count, &next, &seen, &steps)
                }
            }
            if next.isEmpty { return false }
            current = next
        }
        return current.contains { if case .match = program[$0] { true } else { false } }
    }

    /// Goes on to where a character is wanted; each instruction once for each place in the name.
    private func follow(
        _ index: Int, _ place: Int, _ end: Int, _ list: inout [Int], _ seen: inout [Int], _ steps: inout Int
    ) {
        steps += 1
        guard seen[index] != place else { return }
        seen[index] = place
        switch program[index] {
        case .jump(let target): follow(target, place, end, &list, &seen, &steps)
        case .split(let one, let other):
            follow(one, place, end, &list, &seen, &steps)
            follow(other, place, end, &list, &seen, &steps)
        case .start: if place == 0 { follow(index + 1, place, end, &list, &seen, &steps) }
        case .end: if place == end { follow(index + 1, place, end, &list, &seen, &steps) }
        case .character, .match: list.append(index)
        }
    }
}

/// Why a pattern is none.
struct TopicPatternError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

private indirect enum PatternNode {
    case set(UInt128)
    case start, end
    case sequence([PatternNode])
    case either([PatternNode])
    /// No upper bound: any number.
    case repeated(PatternNode, Int, Int?)
}

/// Reads a pattern from left to right.
private struct PatternParser {
    private let text: [UInt8]
    private var position = 0
    private var depth = 0

    init(_ text: String) { self.text = Array(text.utf8) }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    private mutating func take(_ wanted: Character) -> Bool {
        guard next == wanted.asciiValue else { return false }
        position += 1
        return true
    }

    mutating func parse() throws(TopicPatternError) -> PatternNode {
        let node = try alternatives()
        guard position == text.count else { throw TopicPatternError("')' at \(position) closes nothing") }
        return node
    }

    private mutating func alternatives() throws(TopicPatternError) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 50 else { throw TopicPatternError("its groups are nested too deep") }
        var nodes = [try sequence()]
        while take("|") { nodes.append(try sequence()) }
        return nodes.count == 1 ? nodes[0] : .either(nodes)
    }

    private mutating func sequence() throws(TopicPatternError) -> PatternNode {
        var nodes: [PatternNode] = []
        while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            nodes.append(try repetition(of: try atom()))
        }
        return .sequence(nodes)
    }

    private mutating func repetition(of atom: PatternNode) throws(TopicPatternError) -> PatternNode {
        var node = atom
        while true {
            if take("*") {
                node = .repeated(node, 0, nil)
            } else if take("+") {
                node = .repeated(node, 1, nil)
            } else if take("?") {
                node = .repeated(node, 0, 1)
            } else if take("{") {
                node = try counted(node)
            } else {
                return node
            }
            // A whole name matches or not, whoever takes more.
            _ = take("?")
        }
    }

    private mutating func counted(_ node: PatternNode) throws(TopicPatternError) -> PatternNode {
        guard let least = number() else { throw TopicPatternError("'{' at \(position - 1) wants a number") }
        var most: Int? = least
        if take(",") { most = number() }
        guard take("}"), most ?? least >= least else { throw TopicPatternError("the count at \(position) is wrong") }
        return .repeated(node, least, most)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            value = min((value ?? 0) * 10 + Int(byte - UInt8(ascii: "0")), TopicPattern.instructionsMax)
            position += 1
        }
        return value
    }

    private mutating func atom() throws(TopicPatternError) -> PatternNode {
        let byte = next!
        position += 1
        switch Character(Unicode.Scalar(byte)) {
        case "(":
            if take("?"), !take(":") { throw TopicPatternError("'(?' at \(position) is not supported") }
            let inner = try alternatives()
            guard take(")") else { throw TopicPatternError("a ')' is missing") }
            return inner
        case "[": return .set(try characterClass())
        case ".": return .set(.max)
        case "^": return .start
        case "$": return .end
        case "*", "+", "?", "{": throw TopicPatternError("nothing is repeated at \(position - 1)")
        case "\\": return .set(try escape())
        default: return .set(try Self.one(byte))
        }
    }

    private static func one(_ byte: UInt8) throws(TopicPatternError) -> UInt128 {
        guard byte < 128 else { throw TopicPatternError("names of topics are ASCII") }
        return 1 << UInt128(byte)
    }

    private static func range(_ first: Unicode.Scalar, _ last: Unicode.Scalar) -> UInt128 {
        (first.value...last.value).reduce(0) { $0 | 1 << UInt128($1) }
    }

    private mutating func escape() throws(TopicPatternError) -> UInt128 {
        guard let byte = next else { throw TopicPatternError("it ends with a backslash") }
        position += 1
        let digits = Self.range("0", "9")
        let word = digits | Self.range("a", "z") | Self.range("A", "Z") | 1 << UInt128(UInt8(ascii: "_"))
        let space = Self.range("\t", "\r") | 1 << UInt128(UInt8(ascii: " "))
        switch Character(Unicode.Scalar(byte)) {
        case "d": return digits
        case "D": return ~digits
        case "w": return word
        case "W": return ~word
        case "s": return space
        case "S": return ~space
        default:
            let character = try Self.one(byte)
            guard character & word == 0 || byte == UInt8(ascii: "_") else {
                throw TopicPatternError("'\\\(Character(Unicode.Scalar(byte)))' is not supported")
            }
            return character
        }
    }

    private mutating func characterClass() throws(TopicPatternError) -> UInt128 {
        let isNegated = take("^")
        var set: UInt128 = 0
        var isFirst = true
        while isFirst || next != UInt8(ascii: "]") {
            guard let first = next else { throw TopicPatternError("a ']' is missing") }
            isFirst = false
            position += 1
            guard first != UInt8(ascii: "\\") else {
                set |= try escape()
                continue
            }
            guard next == UInt8(ascii: "-"), position + 1 < text.count, text[position + 1] != UInt8(ascii: "]") else {
                set |= try Self.one(first)
                continue
            }
            let last = text[position + 1]
            position += 2
            guard first <= last, last < 128, last != UInt8(ascii: "\\") else {
                throw TopicPatternError("the range before \(position) is wrong")
            }
            set |= Self.range(Unicode.Scalar(first), Unicode.Scalar(last))
        }
        position += 1
        return isNegated ? ~set : set
    }
}
