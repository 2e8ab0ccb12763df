import Glibc

/// Interrupts this process's sleep ten times a second: who sleeps for completions looks then whether the peer is still
/// there. A second descriptor to watch would cost a system call for each message.
struct BenchTick: ~Copyable {
    private let handler: sigaction

    init() {
        var own = sigaction()
        // Nothing to do in it, and no SA_RESTART: that a system call ends is all that is wanted.
        unsafe own.__sigaction_handler.sa_handler = { _ in }
        var before = sigaction()
        unsafe sigaction(SIGALRM, &own, &before)
        handler = before
        Self.start(microseconds: 100_000)
    }

    deinit {
        Self.start(microseconds: 0)
        var before = handler
        unsafe sigaction(SIGALRM, &before, nil)
    }

    private static func start(microseconds: Int) {
        let period = timeval(tv_sec: 0, tv_usec: microseconds)
        var timer = itimerval(it_interval: period, it_value: period)
        unsafe setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
    }
}
