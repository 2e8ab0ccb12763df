import Logging
import Reactor
import Synchronization
import Testing

@Suite struct LogThrottleTests {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
        func add(_ line: String) { all.withLock { $0.append(line) } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info
        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let more = event.metadata?["more"].map { " \($0) more" } ?? ""
            lines.add("\(event.message)\(more)")
        }
    }

    private let lines = Lines()
    private var logger: Logger { Logger(label: "test") { _ in Handler(lines: lines) } }

    @Test func saysHowManyItKeptBack() {
        let throttle = LogThrottle(linesMax: 2)
        let start: UInt64 = 1_000_000_000_000
        var made = 0
        func metadata() -> Logger.Metadata {
            made += 1
            return [:]
        }
        for number in 0..<5 as Range<UInt64> { throttle.log(logger, .warning, now: start + number, "a", metadata()) }
        // Others have lines of their own, and what is below the level counts for nothing.
        throttle.log(logger, .warning, now: start, "b", [:])
        for _ in 0..<5 { throttle.log(logger, .debug, now: start, "a", metadata()) }
        // A thread that read the clock before the window began.
        throttle.log(logger, .warning, now: start - 1, "a", metadata())
        #expect(made == 2)
        throttle.log(logger, .warning, now: start + 9_999_999_999, "a", metadata())
        throttle.log(logger, .warning, now: start + 10_000_000_000, "a", metadata())
        throttle.log(logger, .warning, now: start + 10_000_000_001, "a", metadata())
        #expect(lines.all.withLock { $0 } == ["a", "a", "b", "a 5 more", "a"])
    }
}
