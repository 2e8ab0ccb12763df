import ArgumentParser
import Glibc

/// Milliseconds since 1970 of a number of them, or of a time such as 2026-01-31T12:00:00.000Z (UTC, with or without Z).
func milliseconds(of text: String, option: String) throws -> Int64 {
    if let number = Int64(text), number >= 0 { return number }
    func wrong() -> ValidationError {
        ValidationError("\(option) is milliseconds since 1970 or a time such as 2026-01-31T12:00:00Z, not '\(text)'")
    }
    let halves = text.split(separator: "T")
    guard halves.count == 2 else { throw wrong() }
    let date = halves[0].split(separator: "-").map { Int32($0) }
    let clock = halves[1].prefix { $0 != "." && $0 != "Z" }.split(separator: ":").map { Int32($0) }
    let rest = halves[1].dropFirst(halves[1].prefix { $0 != "." && $0 != "Z" }.count)
    let fraction = rest.hasSuffix("Z") ? rest.dropLast() : rest
    let digits = fraction.dropFirst()
    let isPlain = date.count == 3 && clock.count == 3 && !date.contains(nil) && !clock.contains(nil)
    guard isPlain, (1...12).contains(date[1]!), (1...31).contains(date[2]!), (0..<24).contains(clock[0]!),
        (0..<60).contains(clock[1]!), (0...60).contains(clock[2]!), (1970...9999).contains(date[0]!),
        fraction.isEmpty || (1...3).contains(digits.count), fraction.isEmpty || digits.allSatisfy(\.isWholeNumber)
    else { throw wrong() }
    var time = unsafe tm()
    unsafe (time.tm_year, time.tm_mon, time.tm_mday) = (date[0]! - 1900, date[1]! - 1, date[2]!)
    unsafe (time.tm_hour, time.tm_min, time.tm_sec) = (clock[0]!, clock[1]!, clock[2]!)
    let milliseconds = Int64(digits + String(repeating: "0", count: 3 - digits.count)) ?? 0
    return Int64(unsafe timegm(&time)) * 1000 + milliseconds
}
