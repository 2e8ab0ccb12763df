internal import Synchronization

/// Where the flusher's threads leave what they have done.
final class FlushResults: Sendable {
    /// Readable when there is something.
    let event: EventCounter
    private let waiting = Mutex<[FlushResult]>([])

    init(event: EventCounter) { self.event = event }

    func add(_ results: [FlushResult]) {
        let wasEmpty = waiting.withLock { waiting in
            defer { waiting += results }
            return waiting.isEmpty
        }
        if wasEmpty { event.signal() }
    }

    func take() -> [FlushResult] {
        // The counter first: a result that comes in between sets it again.
        event.drain()
        return waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
