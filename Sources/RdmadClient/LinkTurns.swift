internal import Glibc
internal import Synchronization

/// A link, to who runs it: all with the turn.
protocol RunnableLink: AnyObject, Sendable {
    /// On its own thread, which has the turn at first; until the link ends.
    func run()
    /// One round; does not wait.
    /// - Parameter time: On the monotonic clock, in nanoseconds; nil: it is read.
    /// - Returns: the time it was.
    @discardableResult func round(at time: UInt64?) -> UInt64
    /// Rounds and sleeps, until `isDone`, the time limit, or the link's end.
    func run(until limit: inout TimeLimit, _ isDone: () -> Bool)
    /// It is connected, and nobody has closed it. Anything else is its own thread's.
    var servesCallers: Bool { get }
    /// Somebody waits for an answer or a record and does not run the link: its own thread has to.
    var hasWaiters: Bool { get }
}

/// A time on the monotonic clock, in nanoseconds, that may be given as a wait: the first who reads the clock fixes it.
enum TimeLimit {
    case at(UInt64)
    case after(UInt64)

    /// Whether it is reached.
    mutating func isReached(_ now: UInt64) -> Bool { now >= time(now) }

    /// The time it is, from now on.
    mutating func time(_ now: UInt64) -> UInt64 {
        switch self {
        case .at(let time): return time
        case .after(let wait):
            let (sum, overflow) = now.addingReportingOverflow(wait)
            self = .at(overflow ? .max : sum)
            return overflow ? .max : sum
        }
    }
}

// Whose turn it is to run the link.
//
// A link has a thread, so that heartbeats, acknowledgements and what is lingering do not depend on the application. But
// a caller that would wake that thread, or wait for it, gets there sooner without it: on another processor a wake-up
// costs microseconds, on the same one a switch there and back. So there is a turn, that one thread has at a time. The
// link's thread keeps it, and sleeps with it, as long as nobody asks. A caller that finds it taken is served by the
// link's thread, which then stands by: from then on callers take the turn themselves, and the link's thread only looks
// now and then whether they still come. When they do not, or one needs it (`wake()`), it takes the turn again.
//
// No code of the application's runs within a caller's turn: it could want a lock that the caller holds.
extension LinkHandle {
    /// How long a link may be left alone between callers' turns, in milliseconds.
    static var standbyMillisecondsMin: Int32 { 5 }

    private func tryTurn() -> Bool {
        !isTaken.load(ordering: .relaxed)
            && isTaken.compareExchange(expected: false, desired: true, ordering: .sequentiallyConsistent).exchanged
    }

    /// Gives the turn back. Who called meanwhile relied on its owner.
    func endTurn() {
        let isNeeded = link.map { $0.hasWaiters || !$0.servesCallers } ?? false
        isTaken.store(false, ordering: .sequentiallyConsistent)
        if isNeeded || hasNews { endStandby() }
    }

    /// Has the link's thread take the turn again.
    func endStandby() {
        isWanted.store(false, ordering: .relaxed)
        if isStandingBy.exchange(false, ordering: .sequentiallyConsistent) { Self.signal(standbyDescriptor) }
    }

    /// Has somebody run the link until the caller, which is about to sleep, is served.
    func ensureRun() {
        // Who has the turn looks at this, or at the waiters, when it gives it back.
        isWoken.store(true, ordering: .sequentiallyConsistent)
        if !isTaken.load(ordering: .sequentiallyConsistent) { endStandby() }
    }

    /// Runs the link on this thread, waiting for events, until `isDone` or the time limit.
    /// - Returns: False when its thread has the turn; next time it will not.
    func run(until limit: inout TimeLimit, _ isDone: () -> Bool) -> Bool {
        guard tryTurn() else {
            isWanted.store(true, ordering: .relaxed)
            return false
        }
        defer { endTurn() }
        guard let link, link.servesCallers else { return false }
        callersTurns.add(1, ordering: .relaxed)
        link.run(until: &limit) { isDone() || !link.servesCallers }
        return true
    }

    /// The same, for who has something for the first round.
    func runNow(until limit: inout TimeLimit, _ isDone: () -> Bool) -> Bool {
        isWoken.store(true, ordering: .sequentiallyConsistent)
        return run(until: &limit, isDone)
    }

    /// Runs a round on this thread, or has the link's thread run it.
    /// - Parameters:
    ///   - wants: The caller will come again soon: the link's thread should leave the turn to it.
    ///   - now: The time on the monotonic clock, for who has just read it.
    func attend(wants: Bool, now: UInt64? = nil) {
        isWoken.store(true, ordering: .sequentiallyConsistent)
        guard tryTurn() else {
            if wants { isWanted.store(true, ordering: .relaxed) }
            return wake()
        }
        if let link, link.servesCallers {
            callersTurns.add(1, ordering: .relaxed)
            link.round(at: now)
        }
        endTurn()
    }

    /// For the link's thread, which gave the turn to callers: returns with it once none come any more, somebody needs
    /// this thread, or the link ends.
    func waitForTurn() {
        var milliseconds = Self.standbyMillisecondsMin
        var (isCalled, isBusy) = (false, false)
        var seen = callersTurns.load(ordering: .relaxed)
        while true {
            isStandingBy.store(true, ordering: .sequentiallyConsistent)
            isCalled = isCalled || hasNews
            if !isCalled || isBusy, waitForCall(milliseconds) { isCalled = true }
            let turns = callersTurns.load(ordering: .relaxed)
            let isLeft = turns == seen
            seen = turns
            guard tryTurn() else {
                // A caller has it, perhaps asleep: who needs the link wakes that one.
                // One that was busy for a moment only is tried again at once.
                isCalled = isCalled && !isBusy
                milliseconds = isCalled ? 1 : min(milliseconds * 2, standbyMillisecondsMax)
                isBusy = true
                continue
            }
            if isCalled || isLeft || link?.servesCallers != true { break }
            // As if called: the round is to look at everything.
            isWoken.store(true, ordering: .sequentiallyConsistent)
            link?.round(at: nil)
            endTurn()
            milliseconds = Self.standbyMillisecondsMin
            isBusy = false
        }
        isStandingBy.store(false, ordering: .sequentiallyConsistent)
    }

    private func waitForCall(_ milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: standbyDescriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&entry, 1, milliseconds) > 0 else { return false }
        Self.takeSignal(standbyDescriptor)
        return true
    }
}
