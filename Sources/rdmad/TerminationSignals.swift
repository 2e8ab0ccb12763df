import Glibc

/// SIGTERM and SIGINT as a call on a thread of their own, where anything may be done. Make it before other threads:
/// they inherit the blocked signals.
final class TerminationSignals: Sendable {
    init() {
        signal(SIGPIPE, SIG_IGN)
        var set = Self.set
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `body` with the first signal's number; a second signal ends the process at once.
    func onTermination(_ body: @escaping @Sendable (Int32) -> Void) {
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(Body(body))
        unsafe pthread_create(
            &thread, nil,
            { context in
                let body = unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue()
                var set = TerminationSignals.set
                var number: Int32 = 0
                unsafe sigwait(&set, &number)
                body.call(number)
                unsafe sigwait(&set, &number)
                _exit(128 + number)
            }, context.toOpaque())
        pthread_detach(thread)
    }

    private final class Body: Sendable {
        let call: @Sendable (Int32) -> Void
        init(_ call: @escaping @Sendable (Int32) -> Void) { self.call = call }
    }

    private static var set: sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGTERM)
        unsafe sigaddset(&set, SIGINT)
        return set
    }
}

/// An error for the person at the terminal.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
