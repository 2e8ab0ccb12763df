import Logging
import Synchronization

/// Keeps what is logged.
final class LogLines: Sendable {
    private let lines = Mutex<[[String: String]]>([])

    /// Each line's metadata, and its `message`.
    var all: [[String: String]] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

    private struct Handler: LogHandler {
        let lines: LogLines
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var kept = (event.metadata ?? [:]).mapValues { "\($0)" }
            kept["message"] = "\(event.message)"
            lines.lines.withLock { $0.append(kept) }
        }
    }
}
