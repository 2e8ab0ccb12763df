internal import Synchronization

/// Where the flusher's threads leave what they have done.
final class FlushResults: Sendable {
    /// Readable when there is something.
    let event: EventCounter
    private let waiting = Mutex<[FlushResult]>([])
    private let isAny = Atomic(false)

    init(event: EventCounter) { self.event = event }

    func add(_ results: [FlushResult]) {
        let wasEmpty = waiting.withLock { waiting in
            defer { waiting += results }
            isAny.store(true, ordering: .relaxed)
            return waiting.isEmpty
        }
        if wasEmpty { event.signal() }
    }

    func take() -> [FlushResult] {
        // Without a system call while there is nothing: asked each turn. Missed here, the event brings the next turn.
        guard isAny.load(ordering: .relaxed) else { return [] }
        // The counter first: a result that comes in between sets it again.
        event.drain()
        return waiting.withLock { waiting in
            isAny.store(false, ordering: .relaxed)
            defer { waiting = [] }
            return waiting
        }
    }
}
