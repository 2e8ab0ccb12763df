internal import CLinux
internal import Glibc
internal import Synchronization

/// Commands on their way from the event loops to the reactor.
///
/// Event loops add those of a read burst together; the descriptor is written only when the reactor may sleep.
/// - Threading: any thread adds; the reactor takes.
final class CommandQueue: Sendable {
    /// Readable while something was added since ``prepareToSleep()``.
    let descriptor = clinux_eventfd()
    private let state = Mutex(State())
    /// Whether connections are read that have sent something.
    private let requests: RequestAccount?

    private struct State {
        var commands: [KafkaCommand] = []
        /// The reactor is about to sleep, or sleeps.
        var isSleeping = false
    }

    init(_ requests: RequestAccount? = nil) { self.requests = requests }

    deinit { close(descriptor) }

    /// Hands commands over, in order.
    func add(_ commands: [KafkaCommand]) {
        let mustWake = state.withLock { state in
            state.commands += commands
            defer { state.isSleeping = false }
            return state.isSleeping
        }
        guard mustWake else { return }
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, 8)
    }

    /// Takes all there are; `commands` must be empty, its memory is used again.
    func take(into commands: inout [KafkaCommand]) {
        state.withLock { swap(&$0.commands, &commands) }
    }

    /// All that clients had sent by then was handed over, when ``take(into:)`` took all there was at `takenAt`.
    func heardUntil(takenAt: UInt64) -> UInt64 { requests?.heardUntil(now: takenAt) ?? takenAt }

    /// Whether there is nothing: then the next ``add(_:)`` makes the descriptor readable.
    func prepareToSleep() -> Bool {
        var count: UInt64 = 0
        _ = unsafe read(descriptor, &count, 8)
        return state.withLock { state in
            state.isSleeping = state.commands.isEmpty
            return state.isSleeping
        }
    }
}
