internal import Synchronization

/// Where the flusher's threads leave what they have done.
final class FlushResults: Sendable {
    /// Readable when there is something.
    let event: EventCounter
    private let waiting = Mutex<[FlushResult]>([])
    private let isAny = Atomic(false)

    init(event: EventCounter) { self.event = event }

    func add(_ results: [FlushResult]) {
        // Signalled and drained under the lock: an event that outlived its results would keep the reactor awake.
        waiting.withLock { waiting in
            let wasEmpty = waiting.isEmpty
            waiting += results
            isAny.store(true, ordering: .relaxed)
            if wasEmpty { event.signal() }
        }
    }

    func take() -> [FlushResult] {
        // Without a system call while there is nothing: asked each turn. Missed here, the event brings the next turn.
        guard isAny.load(ordering: .relaxed) else { return [] }
        return waiting.withLock { waiting in
            event.drain()
            isAny.store(false, ordering: .relaxed)
            defer { waiting = [] }
            return waiting
        }
    }
}
