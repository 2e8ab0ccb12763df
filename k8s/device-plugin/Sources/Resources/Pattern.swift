/// One value of a selector: `mlx5_0`, a glob (`mlx5_*`, `eth?`, `mlx5_[0-3]`), or `~` and a regular expression. All of
/// the text must match; a glob has no escape character.
package struct Pattern: Sendable, Equatable {
    /// As it was written.
    package let source: String
    private let kind: Kind

    private enum Kind: Sendable, Equatable {
        case literal
        case glob([Piece])
        case expression(String)
    }

    private enum Piece: Sendable, Equatable {
        case character(Character)
        case anyOne
        case anyMany
        case set([ClosedRange<Character>], isNegated: Bool)
    }

    /// Reads a pattern.
    /// - Throws: ``Reason``, why it is none.
    package init(_ source: String) throws(Reason) {
        self.source = source
        if source.isEmpty { throw Reason("is empty") }
        if source.hasPrefix("~") {
            let expression = String(source.dropFirst())
            do { _ = try Regex(expression) } catch {
                throw Reason("'\(expression)' is not a regular expression: \(error)")
            }
            kind = .expression(expression)
        } else if source.contains(where: "*?[".contains) {
            kind = .glob(try Self.pieces(source))
        } else {
            kind = .literal
        }
    }

    /// Text that matches nothing but itself.
    package init(literal: String) {
        source = literal
        kind = .literal
    }

    /// Whether it is one value and no more.
    package var isLiteral: Bool { kind == .literal }

    /// Whether all of `text` matches.
    package func matches(_ text: String) -> Bool {
        switch kind {
        case .literal: text == source
        case .glob(let pieces): Self.matches(pieces[...], Array(text)[...])
        // Compiled for each look: a Regex may not be shared between tasks, and looks are seconds apart.
        case .expression(let expression): (try? Regex(expression).wholeMatch(in: text)) != nil
        }
    }

    private static func pieces(_ source: String) throws(Reason) -> [Piece] {
        var pieces: [Piece] = []
        var rest = source[...]
        while let character = rest.popFirst() {
            switch character {
            case "*": if pieces.last != .anyMany { pieces.append(.anyMany) }
            case "?": pieces.append(.anyOne)
            case "[": pieces.append(try set(&rest, in: source))
            default: pieces.append(.character(character))
            }
        }
        return pieces
    }

    private static func set(_ rest: inout Substring, in source: String) throws(Reason) -> Piece {
        let isNegated = rest.first == "!" || rest.first == "^"
        if isNegated { rest.removeFirst() }
        var ranges: [ClosedRange<Character>] = []
        while let low = rest.popFirst() {
            if low == "]", !ranges.isEmpty { return .set(ranges, isNegated: isNegated) }
            var high = low
            if rest.first == "-", let end = rest.dropFirst().first, end != "]" {
                high = end
                rest.removeFirst(2)
            }
            guard low <= high else { throw Reason("'\(source)' has the range \(low)-\(high)") }
            ranges.append(low...high)
        }
        throw Reason("'\(source)' has a [ without its ]")
    }

    private static func matches(_ pieces: ArraySlice<Piece>, _ text: ArraySlice<Character>) -> Bool {
        var pieces = pieces
        var text = text
        // Where to go on when what follows the last `*` does not match: `*` takes one character more.
        var retry: (pieces: ArraySlice<Piece>, text: ArraySlice<Character>)?
        while true {
            if pieces.first == .anyMany {
                pieces.removeFirst()
                retry = (pieces, text)
            } else if let piece = pieces.first, let character = text.first, matches(piece, character) {
                pieces.removeFirst()
                text.removeFirst()
            } else if pieces.isEmpty, text.isEmpty {
                return true
            } else if let again = retry, !again.text.isEmpty {
                pieces = again.pieces
                text = again.text.dropFirst()
                retry = (pieces, text)
            } else {
                return false
            }
        }
    }

    private static func matches(_ piece: Piece, _ character: Character) -> Bool {
        switch piece {
        case .character(let expected): expected == character
        case .anyOne: true
        case .anyMany: false
        case .set(let ranges, let isNegated): ranges.contains { $0.contains(character) } != isNegated
        }
    }
}

/// Why something is refused, in words that follow the name of the field.
package struct Reason: Error, Equatable, CustomStringConvertible {
    /// The words.
    package let description: String
    /// A reason in these words.
    package init(_ description: String) { self.description = description }
}
