package import Logging
internal import Synchronization

/// Lets a line through now and then: peers must not fill the log.
package final class LogThrottle: Sendable {
    private struct Window {
        var start: UInt64
        var said = 0
        var hushed = 0
    }
    /// By the line's message: of those there are as many as the sources have.
    private let windows = Mutex<[String: Window]>([:])
    private static let windowNanoseconds: UInt64 = 10_000_000_000
    private let linesMax: Int

    /// - Parameter linesMax: Of one message in ten seconds.
    package init(linesMax: Int = 10) { self.linesMax = linesMax }

    /// Logs, or counts: the next line with that message says how many there were more.
    /// - Parameters:
    ///   - now: Nanoseconds of the monotonic clock.
    ///   - message: A constant; what changes is metadata.
    ///   - metadata: Made when the line is written.
    package func log(
        _ logger: Logger, _ level: Logger.Level, now: UInt64, _ message: Logger.Message,
        _ metadata: @autoclosure () -> Logger.Metadata
    ) {
        guard logger.logLevel <= level else { return }
        let hushedBefore: Int? = windows.withLock { windows in
            var window = windows[message.description] ?? Window(start: now)
            defer { windows[message.description] = window }
            var hushed = 0
            // Threads read the clock one after another, and come here in any order.
            if now >= window.start + Self.windowNanoseconds {
                hushed = window.hushed
                window = Window(start: now)
            }
            guard window.said < linesMax else {
                window.hushed += 1
                return nil
            }
            window.said += 1
            return hushed
        }
        guard let hushedBefore else { return }
        var metadata = metadata()
        if hushedBefore > 0 { metadata["more"] = "\(hushedBefore)" }
        logger.log(level: level, message, metadata: metadata)
    }
}
