import CNetlink
import Dispatch
import Glibc

/// Written by the signal handler: set before the handler is, and constant until the process ends.
nonisolated(unsafe) private var signalEvent: Int32 = -1

/// SIGTERM and SIGINT as a call on a thread of their own.
///
/// A handler and not a signal mask: the runtime's main thread sleeps with every signal unblocked, also where whoever
/// started us had blocked them.
enum TerminationSignals {
    /// Calls `body` with the first signal; a second one ends the process at once. Once per process.
    static func onTermination(_ body: @escaping @Sendable () -> Void) {
        signal(SIGPIPE, SIG_IGN)
        unsafe signalEvent = cnetlink_eventfd()
        DispatchQueue(label: "signals").async {
            _ = wait()
            body()
            _exit(128 + wait())
        }
        for number in [SIGTERM, SIGINT] {
            signal(number) { number in
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
