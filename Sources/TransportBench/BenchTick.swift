import Glibc

/// Interrupts this process's sleep ten times a second: who sleeps for completions looks then whether the peer is still
/// there. A second descriptor to watch would cost a system call for each message.
struct BenchTick: ~Copyable {
    init() {
        var handler = sigaction()
        // Nothing to do in it, and no SA_RESTART: that a system call ends is all that is wanted. It stays when the tick
        // ends, since a last signal may still be on its way.
        unsafe handler.__sigaction_handler.sa_handler = { _ in }
        unsafe sigaction(SIGALRM, &handler, nil)
        // Who started us may have it blocked. The kernel gives it to the first thread, which measures.
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGALRM)
        unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
        Self.start(microseconds: 100_000)
    }

    deinit { Self.start(microseconds: 0) }

    private static func start(microseconds: Int) {
        let period = timeval(tv_sec: 0, tv_usec: microseconds)
        var timer = itimerval(it_interval: period, it_value: period)
        unsafe setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
    }
}
