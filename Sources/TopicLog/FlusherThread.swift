internal import Glibc
internal import Synchronization

/// What the flusher and its thread have in common.
final class FlusherThread: Sendable {
    struct Requests: Sendable {
        var waiting: [FlushRequest] = []
        var isStopping = false
    }

    let requests = Mutex(Requests())
    let results = Mutex<[FlushResult]>([])
    /// Blocking: the thread sleeps in a read of it.
    let requestEvent: LogFile
    let resultEvent: LogFile

    init(requestEvent: LogFile, resultEvent: LogFile) {
        self.requestEvent = requestEvent
        self.resultEvent = resultEvent
    }

    /// The thread's life.
    func run() {
        while true {
            Self.drain(requestEvent)
            let (batch, isStopping) = requests.withLock { requests in
                defer { requests.waiting = [] }
                return (requests.waiting, requests.isStopping)
            }
            perform(batch)
            if isStopping { return }
        }
    }

    private func perform(_ batch: [FlushRequest]) {
        // A file asked for twice is synced once: all of these bytes were written before we took the batch.
        var done: [ObjectIdentifier: Int32] = [:]
        for request in batch {
            var error: LogError?
            for file in request.ticket.files where error == nil {
                let status = done[ObjectIdentifier(file)] ?? file.storage.synchronize(file.descriptor)
                done[ObjectIdentifier(file)] = status
                if status != 0 { error = LogError(errno: -status, "syncing", file.path) }
            }
            let result = FlushResult(token: request.token, ticket: request.ticket, error: error)
            let wasEmpty = results.withLock { results in
                defer { results.append(result) }
                return results.isEmpty
            }
            if wasEmpty { Self.signal(resultEvent) }
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
