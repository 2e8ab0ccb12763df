internal import CLinux
internal import Glibc
internal import RDMATransport
internal import Synchronization

/// Told that there is memory for records, or that there will be none for now.
final class SpaceWaiter: Sendable {
    enum Outcome: Sendable {
        /// There may be memory, or an error that says why there never will be.
        case retry
        /// It has waited for long, and there is no connection that could give memory back.
        case noConnection(ClientError?)
        /// Its task was cancelled.
        case cancelled
    }

    /// When it has waited for long, on the monotonic clock.
    let tiredAt: UInt64
    private let signal: @Sendable (Outcome) -> Void

    init(tiredAt: UInt64 = .max, _ signal: @escaping @Sendable (Outcome) -> Void) {
        self.tiredAt = tiredAt
        self.signal = signal
    }

    func resume(_ outcome: Outcome = .retry) { signal(outcome) }
}

// Callers that wait: for memory, and for what was added before.
extension ProducerAgent {
    /// Sends what is open and answers when all that was added before has met its fate, with the first error.
    /// - Throws: `CancellationError` when the task is cancelled. What has failed by then is left to the next one.
    func flush() async throws -> ClientError? {
        let (flush, isDone) = state.withLock { state -> (ProducerFlush, Bool) in
            for index in state.partitions.indices { seal(index, &state) }
            let batches = state.unconcluded
            let flush = ProducerFlush(
                remaining: batches.count, error: state.firstError ?? (batches.isEmpty ? state.failure : nil))
            state.firstError = nil
            for batch in batches { batch.flushes.append(flush) }
            state.awaited += batches.count
            return (flush, batches.isEmpty)
        }
        if isDone { return flush.error }
        callLink()
        if let error = await flush.answer.value(ifCancelled: nil) { return error }
        state.withLock { state in
            state.firstError = state.firstError ?? flush.error
            for batch in state.unconcluded {
                let count = batch.flushes.count
                batch.flushes.removeAll { $0 === flush }
                state.awaited -= count - batch.flushes.count
            }
        }
        throw CancellationError()
    }

    /// Returns when it is worth another try.
    /// - Throws: `CancellationError` when the task is cancelled; ``ClientError`` when the broker has been away for the
    ///   delivery time-out, and what it was told of fills the memory.
    func waitForSpace() async throws {
        let answer = Answer<SpaceWaiter.Outcome>()
        let waiter = SpaceWaiter(tiredAt: monotonicNanoseconds() + deliveryNanoseconds) { answer.give($0) }
        guard enqueue(waiter) else { return }
        switch await answer.value(ifCancelled: .cancelled) {
        case .retry: return
        case .cancelled:
            state.withLock { state in state.spaceWaiters.removeAll { $0 === waiter } }
            throw CancellationError()
        case .noConnection(let trouble):
            let cause = trouble.map { ": \($0)" } ?? ""
            throw ClientError(
                .timeout,
                "no memory for a record in \(deliveryTimeout), all of it (buffer.memory) waits for the broker\(cause)")
        }
    }

    /// Takes out who has waited for long while there is no connection. One that stands gives memory back, be it slowly.
    func takeTiredWaiters(_ now: UInt64, _ state: inout State) -> [SpaceWaiter] {
        guard !state.spaceWaiters.isEmpty, state.topicID == nil else { return [] }
        let tired = state.spaceWaiters.filter { now >= $0.tiredAt }
        state.spaceWaiters.removeAll { now >= $0.tiredAt }
        for waiter in state.spaceWaiters { nextTurn = min(nextTurn, waiter.tiredAt) }
        return tired
    }

    /// False: there is memory already.
    private func enqueue(_ waiter: SpaceWaiter) -> Bool {
        let waits = state.withLock { state in
            guard state.freeSlots.isEmpty, state.failure == nil else { return false }
            state.spaceWaiters.append(waiter)
            state.isStarved = true
            return true
        }
        if waits { callLink() }
        return waits
    }

    /// The same on the caller's thread, which runs the link meanwhile if it may.
    /// - Returns: False when the time is over.
    func waitForSpace(timeoutMilliseconds: Int) -> Bool {
        var limit = TimeLimit.after(LinkPatience.nanoseconds(Double(timeoutMilliseconds) / 1000))
        let hasSpace = state.withLock { state in
            if !state.freeSlots.isEmpty || state.failure != nil { return true }
            state.blocked += 1
            state.isStarved = true
            return false
        }
        if hasSpace { return true }
        defer { state.withLock { $0.blocked -= 1 } }
        while true {
            hasNews.store(true, ordering: .sequentiallyConsistent)
            let didRun = letsCallersRun && link.runNow(until: &limit) { state.withLock { hasRoom($0) } }
            if state.withLock({ !$0.freeSlots.isEmpty || $0.failure != nil }) { return true }
            let now = monotonicNanoseconds()
            if limit.isReached(now) { return false }
            if !didRun { sleep(until: limit.time(now), now) }
        }
    }

    /// Until the link's thread has memory for this one.
    private func sleep(until end: UInt64, _ now: UInt64) {
        let event = WaitEvent()
        let waiter = SpaceWaiter { _ in LinkHandle.signal(event.descriptor) }
        guard enqueue(waiter) else { return }
        var entry = pollfd(fd: event.descriptor, events: Int16(POLLIN), revents: 0)
        // Without a descriptor nobody can tell: it looks again soon.
        let milliseconds = event.descriptor < 0 ? 5 : (end - now) / 1_000_000 + 1
        _ = unsafe poll(&entry, 1, Int32(clamping: milliseconds))
        state.withLock { state in state.spaceWaiters.removeAll { $0 === waiter } }
    }

    /// An eventfd that lives as long as somebody may write to it.
    private final class WaitEvent: Sendable {
        let descriptor = clinux_eventfd()
        deinit { close(descriptor) }
    }

    /// Who waits for room fills half of it at once, instead of being woken for every batch; less when nothing is left
    /// that could be answered.
    private func hasRoom(_ state: State) -> Bool {
        if state.failure != nil { return true }
        let hasMore =
            !state.byRequest.isEmpty
            || state.topicID != nil && state.partitions.contains { $0.refused.isEmpty && !$0.sealed.isEmpty }
        return state.freeSlots.count >= (hasMore ? max(slotCount / 2, 1) : 1)
    }

    func takeSpaceWaiters(_ state: inout State) -> [SpaceWaiter] {
        guard hasRoom(state) else { return [] }
        defer { state.spaceWaiters = [] }
        return state.spaceWaiters
    }
}
