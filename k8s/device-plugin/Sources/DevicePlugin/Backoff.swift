/// Pauses between attempts: each twice the one before, with jitter, so that a fleet's plugins do not march in step.
struct Backoff: Sendable {
    static let first = Duration.milliseconds(200)
    static let last = Duration.seconds(30)
    private var next = first

    /// The pause before the next attempt: three quarters of the step to all of it, never below the first.
    mutating func pause(random: Double = .random(in: 0...1)) -> Duration {
        let step = next
        next = min(next * 2, Self.last)
        return max(step * (0.75 + 0.25 * random), Self.first)
    }

    mutating func reset() { next = Self.first }
}
