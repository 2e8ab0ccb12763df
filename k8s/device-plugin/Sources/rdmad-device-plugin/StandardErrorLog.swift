import ArgumentParser
import Glibc
import Logging
import Resources

/// How log lines look.
enum LogFormat: String, ExpressibleByArgument, CaseIterable {
    /// For people.
    case text
    /// An object a line.
    case json
}

/// Log lines on standard error, each in one write.
struct StandardErrorLog: LogHandler {
    let format: LogFormat
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        switch format {
        case .text:
            let fields = all.map { " \($0.key)=\($0.value)" }.joined()
            writeToStandardError("\(Self.now()) \(event.level) \(event.message)\(fields)\n")
        case .json:
            let fields =
                [
                    ("time", JSON.string(Self.now())), ("level", .string("\(event.level)")),
                    ("message", .string("\(event.message)")),
                ] + all.map { ($0.key, JSON.string("\($0.value)")) }
            writeToStandardError(JSON.object(fields).text + "\n")
        }
    }

    /// UTC, as RFC 3339 writes it.
    private static func now() -> String {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        var parts = unsafe tm()
        unsafe gmtime_r(&time.tv_sec, &parts)
        let two = { (number: Int32) in number < 10 ? "0\(number)" : "\(number)" }
        let milliseconds = String(1000 + time.tv_nsec / 1_000_000).dropFirst()
        return unsafe "\(1900 + parts.tm_year)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
    }
}
