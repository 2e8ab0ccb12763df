internal import Logging
internal import Synchronization

/// Lets a line through now and then: peers must not fill the log.
final class LogThrottle: Sendable {
    private let state = Mutex((windowStart: UInt64(0), said: 0, hushed: 0))
    private static let windowNanoseconds: UInt64 = 10_000_000_000
    private static let linesMax = 10

    /// Logs, at most ten times in ten seconds; says how many lines there were more.
    /// - Parameter now: Nanoseconds of the monotonic clock.
    func log(_ logger: Logger, now: UInt64, _ message: Logger.Message, _ metadata: Logger.Metadata) {
        let hushedBefore: Int? = state.withLock { state in
            var hushed = 0
            if now - state.windowStart >= Self.windowNanoseconds || state.said == 0 {
                hushed = state.hushed
                state = (now, 0, 0)
            }
            guard state.said < Self.linesMax else {
                state.hushed += 1
                return nil
            }
            state.said += 1
            return hushed
        }
        guard let hushedBefore else { return }
        var metadata = metadata
        if hushedBefore > 0 { metadata["more"] = "\(hushedBefore)" }
        logger.warning(message, metadata: metadata)
    }
}
