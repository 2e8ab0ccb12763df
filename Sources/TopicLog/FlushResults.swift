internal import Glibc
internal import Synchronization

/// Where the flusher's threads leave what they have done.
final class FlushResults: Sendable {
    /// Readable when there is something.
    let event: LogFile
    private let waiting = Mutex<[FlushResult]>([])

    init(event: LogFile) { self.event = event }

    func add(_ results: [FlushResult]) {
        let wasEmpty = waiting.withLock { waiting in
            defer { waiting += results }
            return waiting.isEmpty
        }
        if wasEmpty { Self.signal(event) }
    }

    func take() -> [FlushResult] {
        // The counter first: a result that comes in between sets it again.
        Self.drain(event)
        return waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }

    /// Adds one to an eventfd. It cannot fail: the counter never nears its limit.
    static func signal(_ event: LogFile) {
        var one: UInt64 = 1
        _ = unsafe write(event.descriptor, &one, 8)
    }

    /// Reads an eventfd to zero; blocks until it is above when it is a blocking one.
    static func drain(_ event: LogFile) {
        var count: UInt64 = 0
        while unsafe read(event.descriptor, &count, 8) < 0 && errno == EINTR {}
    }
}
