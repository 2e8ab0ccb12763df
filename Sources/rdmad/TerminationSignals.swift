internal import CLinux
import Glibc
internal import TopicLog

/// Written by the signal handler: set before the handler is, and constant until the process ends.
nonisolated(unsafe) private var signalEvent: Int32 = -1

/// SIGTERM and SIGINT as a call on a thread of their own, where anything may be done.
///
/// A handler and not a signal mask: the runtime's main thread sleeps with every signal unblocked. A handler also counts
/// where the shell started us in the background, with SIGINT ignored.
enum TerminationSignals {
    /// Calls `body` with the first signal's number; a second one ends the process at once. Once per process.
    static func onTermination(_ body: @escaping @Sendable (Int32) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        unsafe signalEvent = clinux_eventfd()
        _ = try? WorkerThread("the signal thread") {
            body(wait())
            _exit(128 + wait())
        }
        // Whoever started us may have blocked them, and a child inherits that.
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGTERM)
        unsafe sigaddset(&set, SIGINT)
        unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
        for number in [SIGTERM, SIGINT] {
            signal(number) { number in
                // An eventfd adds up: one signal at a time is what counts, and write is safe here.
                var value = UInt64(number)
                _ = unsafe write(signalEvent, &value, 8)
            }
        }
    }

    private static func wait() -> Int32 {
        var entry = unsafe pollfd(fd: signalEvent, events: Int16(POLLIN), revents: 0)
        while unsafe poll(&entry, 1, -1) != 1 {}
        var value: UInt64 = 0
        _ = unsafe read(signalEvent, &value, 8)
        return Int32(truncatingIfNeeded: value)
    }
}

/// An error for the person at the terminal.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
