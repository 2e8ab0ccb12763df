import ArgumentParser
import Glibc

/// As ``milliseconds(of:)``; any other text is wrong usage of the option.
func milliseconds(of text: String, option: String) throws -> Int64 {
    guard let result = milliseconds(of: text) else {
        throw ValidationError(
            "\(option) is milliseconds since 1970 or a time such as 2026-01-31T12:00:00Z, not '\(text)'")
    }
    return result
}

/// Milliseconds since 1970 of a number of them, or of a time such as 2026-01-31T12:00:00.000Z (UTC, with or without Z
/// and fraction); nil for anything else, such as a day that does not exist.
func milliseconds(of text: String) -> Int64? {
    if let number = Int64(text), number >= 0 { return number }
    let halves = (text.hasSuffix("Z") ? text.dropLast() : text[...]).split(
        separator: "T", omittingEmptySubsequences: false)
    guard halves.count == 2 else { return nil }
    let parts = halves[1].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? parts[1] : "0"
    guard let date = numbers(halves[0], separator: "-"), let clock = numbers(parts[0], separator: ":"),
        (1970...9999).contains(date[0]), (0..<24).contains(clock[0]), (0..<60).contains(clock[1]),
        (0...60).contains(clock[2]), (1...3).contains(fraction.count), let thousandths = number(fraction)
    else { return nil }
    var day = unsafe tm()
    unsafe (day.tm_year, day.tm_mon, day.tm_mday) = (date[0] - 1900, date[1] - 1, date[2])
    let start = Int64(unsafe timegm(&day))
    // Days that do not exist have become others.
    guard unsafe (day.tm_mon, day.tm_mday) == (date[1] - 1, date[2]) else { return nil }
    let seconds = start + Int64((clock[0] * 60 + clock[1]) * 60 + clock[2])
    return seconds * 1000 + Int64(thousandths) * [100, 10, 1][fraction.count - 1]
}

/// Three numbers; nil when they are not.
private func numbers(_ text: Substring, separator: Character) -> [Int32]? {
    let numbers = text.split(separator: separator, omittingEmptySubsequences: false).map(number)
    return numbers.count == 3 && !numbers.contains(nil) ? numbers.compactMap { $0 } : nil
}

/// Of digits alone.
private func number(_ text: Substring) -> Int32? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int32(text) : nil
}
