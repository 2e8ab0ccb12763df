import Glibc
import Synchronization
import Testing

@testable import RDMATransport
@testable import RdmadClient

/// Whose turn it is to run a link: one thread at a time, nothing forgotten, and never for long nobody's.
@Suite(.timeLimit(.minutes(1))) struct LinkTurnsTests {
    @Test func turnsNeverOverlapAndNothingIsForgotten() {
        let link = CountingLink()
        link.handle.start(link)
        let callers = 3
        let rounds = 20_000
        let finished = Counter()
        for number in 0..<callers {
            startThread {
                for step in 0..<rounds {
                    link.posted.add(1, ordering: .sequentiallyConsistent)
                    switch (number + step) % 5 {
                    case 0: link.handle.wake()
                    case 1: link.handle.attend(wants: false)
                    case 2:
                        var limit = TimeLimit.after(1_000)
                        _ = link.handle.run(until: &limit) { link.isCaughtUp }
                    default: link.handle.attend(wants: true)
                    }
                    // Now and then all callers rest, so that the link's thread comes back.
                    if step % 4000 == 0 { usleep(12_000) }
                }
                finished.value.add(1, ordering: .sequentiallyConsistent)
            }
        }
        #expect(eventually { finished.value.load(ordering: .sequentiallyConsistent) == callers })
        // What was posted last is seen to by whoever has the turn then.
        #expect(eventually { link.isCaughtUp })
        #expect(link.overlaps.load(ordering: .relaxed) == 0)
        #expect(link.callersRounds.load(ordering: .relaxed) > 0)
        link.end()
    }

    @Test func theLinksThreadComesBackWhenCallersDoNot() {
        let link = CountingLink()
        link.handle.start(link)
        // The first finds it taken; then it is left to callers.
        #expect(eventually { link.isRunHere { true } })
        #expect(eventually { link.isAsleepOnItsThread.load(ordering: .sequentiallyConsistent) })
        // And what comes then wakes it up.
        link.posted.add(1, ordering: .sequentiallyConsistent)
        link.handle.wake()
        #expect(eventually { link.isCaughtUp })
        link.end()
    }

    @Test func aCallerThatSleepsInItsTurnIsWokenByOthers() {
        let link = CountingLink()
        link.handle.start(link)
        #expect(eventually { link.isRunHere { true } })
        let back = Counter()
        startThread {
            var limit = TimeLimit.after(20_000_000_000)
            while !link.handle.run(until: &limit, { link.posted.load(ordering: .sequentiallyConsistent) > 0 }) {}
            back.value.add(1, ordering: .sequentiallyConsistent)
        }
        usleep(20_000)
        #expect(back.value.load(ordering: .sequentiallyConsistent) == 0)
        link.posted.add(1, ordering: .sequentiallyConsistent)
        link.handle.wake()
        #expect(eventually { back.value.load(ordering: .sequentiallyConsistent) == 1 })
        link.end()
    }

    @Test func aLinkThatIsNotConnectedIsItsThreadsAlone() {
        let link = CountingLink(serves: false)
        link.handle.start(link)
        for _ in 0..<100 {
            #expect(!link.isRunHere { true })
            link.handle.attend(wants: true)
            usleep(200)
        }
        #expect(link.callersRounds.load(ordering: .relaxed) == 0)
        link.end()
    }

    /// True once `condition` is, within some seconds.
    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<10_000 {
            if condition() { return true }
            usleep(1_000)
        }
        return false
    }
}

private final class Counter: Sendable {
    let value = Atomic(0)
}

/// A link whose rounds only count, with the same way of sleeping.
private final class CountingLink: RunnableLink {
    let handle = LinkHandle()
    /// What callers want to be seen to, and how much of it was.
    let posted = Atomic(0)
    let seen = Atomic(0)
    let overlaps = Atomic(0)
    let callersRounds = Atomic(0)
    let isAsleepOnItsThread = Atomic(false)
    private let isInside = Atomic(false)
    private let hasEnded = Atomic(false)
    private let thread = Atomic<UInt>(0)
    private let serves: Bool

    init(serves: Bool = true) { self.serves = serves }

    var isCaughtUp: Bool {
        seen.load(ordering: .sequentiallyConsistent) == posted.load(ordering: .sequentiallyConsistent)
    }
    var hasWaiters: Bool { false }
    var servesCallers: Bool { serves && !hasEnded.load(ordering: .sequentiallyConsistent) }

    func end() {
        hasEnded.store(true, ordering: .sequentiallyConsistent)
        handle.close()
    }

    func run() {
        thread.store(pthread_self(), ordering: .relaxed)
        while true {
            var never = TimeLimit.at(.max)
            run(until: &never) { handle.isWanted.exchange(false, ordering: .relaxed) }
            if hasEnded.load(ordering: .sequentiallyConsistent) { break }
            handle.endTurn()
            handle.waitForTurn()
        }
        handle.link = nil
        handle.endTurn()
    }

    /// Whether a caller may run it now.
    func isRunHere(_ isDone: () -> Bool) -> Bool {
        var limit = TimeLimit.at(0)
        return handle.run(until: &limit, isDone)
    }

    @discardableResult func round(at time: UInt64?) -> UInt64 {
        let wasInside = isInside.exchange(true, ordering: .sequentiallyConsistent)
        if wasInside { overlaps.add(1, ordering: .relaxed) }
        _ = handle.takeNews()
        seen.store(posted.load(ordering: .sequentiallyConsistent), ordering: .sequentiallyConsistent)
        if thread.load(ordering: .relaxed) != pthread_self() { callersRounds.add(1, ordering: .relaxed) }
        isInside.store(false, ordering: .sequentiallyConsistent)
        return time ?? monotonicNanoseconds()
    }

    func run(until limit: inout TimeLimit, _ isDone: () -> Bool) {
        while !hasEnded.load(ordering: .sequentiallyConsistent) {
            let now = round(at: nil)
            let end = limit.time(now)
            if isDone() || now >= end { return }
            handle.sleeps.store(true, ordering: .sequentiallyConsistent)
            if !handle.hasNews {
                let isOwn = thread.load(ordering: .relaxed) == pthread_self()
                if isOwn { isAsleepOnItsThread.store(true, ordering: .sequentiallyConsistent) }
                var entry = pollfd(fd: handle.wakeDescriptor, events: Int16(POLLIN), revents: 0)
                let milliseconds = end == .max ? 1000 : Int32(clamping: (end - now) / 1_000_000 + 1)
                if unsafe poll(&entry, 1, milliseconds) > 0 { LinkHandle.takeSignal(handle.wakeDescriptor) }
                if isOwn { isAsleepOnItsThread.store(false, ordering: .sequentiallyConsistent) }
            }
            handle.sleeps.store(false, ordering: .sequentiallyConsistent)
        }
    }
}
