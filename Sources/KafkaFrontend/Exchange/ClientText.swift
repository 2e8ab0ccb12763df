// What clients call themselves and their things is theirs to choose.
extension String {
    /// For a line of the log: one line whatever it is, and not a long one.
    var logged: String {
        var text = ""
        for scalar in cut(toBytes: 256).unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// At most so many bytes: of a longer text the beginning and the end, which mostly says why.
    func cut(toBytes bytesMax: Int) -> String {
        guard utf8.count > bytesMax else { return self }
        let gap = " ... "
        let half = max(0, bytesMax - gap.utf8.count) / 2
        // Where a half ends inside a character, that is left out.
        var head = utf8.index(startIndex, offsetBy: half)
        while head.samePosition(in: unicodeScalars) == nil { head = utf8.index(before: head) }
        var tail = utf8.index(endIndex, offsetBy: -half)
        while tail.samePosition(in: unicodeScalars) == nil { tail = utf8.index(after: tail) }
        return "\(self[..<head])\(gap)\(self[tail...])"
    }
}
