import Glibc

/// Counts records and bytes over time, and says so.
struct Meter {
    private(set) var records = 0
    private(set) var bytes = 0
    private let start = Meter.now()
    private var nextBar: UInt64 = 0
    /// Draws a progress bar on a terminal.
    private let showsBar: Bool

    init(showsBar: Bool) { self.showsBar = showsBar && isatty(STDERR_FILENO) == 1 }

    static func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    mutating func count(bytes count: Int) {
        records += 1
        bytes += count
    }

    var seconds: Double { Double(Self.now() - start) / 1e9 }

    /// `336776 records, 31398254 bytes in 1.23 s: 273802 records/s, 25.4 MB/s`. MB are 10⁶ bytes.
    var summary: String {
        let seconds = max(seconds, 1e-9)
        let megabytes = Double(bytes) / 1e6
        return "\(records) records, \(bytes) bytes in \(fixed(seconds, 3)) s: "
            + "\(Int(Double(records) / seconds)) records/s, \(fixed(megabytes / seconds, 1)) MB/s"
    }

    /// The same as an object of JSON, with members of the caller's in front.
    func json(_ more: KeyValuePairs<String, String>) -> String {
        let seconds = max(seconds, 1e-9)
        let figures: KeyValuePairs = [
            "records": "\(records)", "bytes": "\(bytes)", "seconds": fixed(seconds, 6),
            "recordsPerSecond": "\(Int(Double(records) / seconds))",
            "megabytesPerSecond": fixed(Double(bytes) / 1e6 / seconds, 3),
        ]
        return "{" + (Array(more) + Array(figures)).map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    /// At most ten times a second.
    mutating func drawBar(done: Int, of total: Int?) {
        guard showsBar, let total, total > 0, Self.now() >= nextBar else { return }
        nextBar = Self.now() + 100_000_000
        let share = min(Double(done) / Double(total), 1)
        let filled = Int(share * 40)
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 40 - filled)
        let rate = fixed(Double(bytes) / 1e6 / max(seconds, 1e-9), 1)
        writeToStandardError("\r[\(bar)] \(Int(share * 100))%  \(records) records  \(rate) MB/s ")
    }

    func clearBar() { if showsBar { writeToStandardError("\r\u{1b}[K") } }
}

/// A number with so many decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((value * scale).rounded())
    guard decimals > 0 else { return "\(scaled)" }
    let (whole, rest) = abs(scaled).quotientAndRemainder(dividingBy: Int(scale))
    let digits = "\(rest)"
    return (scaled < 0 ? "-" : "") + "\(whole)." + String(repeating: "0", count: decimals - digits.count) + digits
}
