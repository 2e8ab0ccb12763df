internal import CLinux
internal import Glibc
internal import Synchronization

/// One thread that syncs files, so that the reactor never waits for a disk.
///
/// Life cycle: `init` starts the thread; `submit`, poll `wakeDescriptor`, `takeResults`; `stop` finishes what was
/// submitted and joins. A flusher that is dropped is stopped.
/// Threading: `submit`, `takeResults` and `stop` from one thread, the reactor's. Results come in the order of requests.
package final class Flusher {
    /// Becomes readable when there are results; `takeResults` makes it unreadable again. Valid as long as the flusher.
    package var wakeDescriptor: Int32 { shared.resultEvent.descriptor }

    private let shared: Shared
    private var thread: pthread_t?

    /// - Parameter synchronize: What syncs a descriptor: 0 or -errno. For tests; the default is `fdatasync`.
    /// - Throws: when there are no more descriptors or threads.
    package init(
        synchronize: @escaping @Sendable (Int32) -> Int32 = LogStorage.system.synchronize
    ) throws(LogError) {
        shared = Shared(
            requestEvent: try Self.event(Int32(EFD_CLOEXEC)),
            resultEvent: try Self.event(Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)),
            synchronize: synchronize)
        var started = pthread_t()
        // The thread owns a reference of its own, so it never depends on the flusher's life.
        let context = unsafe Unmanaged.passRetained(shared)
        let result = unsafe pthread_create(&started, nil, { context in
            unsafe Unmanaged<Shared>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw LogError(errno: result, "starting", "the flusher thread")
        }
        thread = started
    }

    deinit {
        stop()
    }

    /// Hands over requests; returns at once.
    /// - Precondition: not stopped.
    package func submit(_ requests: [FlushRequest]) {
        precondition(thread != nil, "the flusher is stopped")
        guard !requests.isEmpty else { return }
        shared.requests.withLock { $0.waiting += requests }
        Shared.signal(shared.requestEvent)
    }

    /// The results since the last call, in the order of their requests. Never blocks.
    package func takeResults() -> [FlushResult] {
        // The counter first: a result that comes in between sets it again.
        Shared.drain(shared.resultEvent)
        return shared.results.withLock { results in
            defer { results = [] }
            return results
        }
    }

    /// Finishes what was submitted and ends the thread. Results can still be taken. Later calls do nothing.
    package func stop() {
        guard let running = thread else { return }
        thread = nil
        shared.requests.withLock { $0.isStopping = true }
        Shared.signal(shared.requestEvent)
        pthread_join(running, nil)
    }

    private static func event(_ flags: Int32) throws(LogError) -> LogFile {
        let descriptor = eventfd(0, flags)
        guard descriptor >= 0 else { throw LogError(errno: errno, "creating", "an eventfd") }
        return LogFile(descriptor: descriptor, path: "eventfd")
    }
}

/// What the flusher and its thread have in common.
private final class Shared: Sendable {
    struct Requests: Sendable {
        var waiting: [FlushRequest] = []
        var isStopping = false
    }

    let requests = Mutex(Requests())
    let results = Mutex<[FlushResult]>([])
    /// Blocking: the thread sleeps in a read of it.
    let requestEvent: LogFile
    let resultEvent: LogFile
    private let synchronize: @Sendable (Int32) -> Int32

    init(requestEvent: LogFile, resultEvent: LogFile, synchronize: @escaping @Sendable (Int32) -> Int32) {
        self.requestEvent = requestEvent
        self.resultEvent = resultEvent
        self.synchronize = synchronize
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
                let status = done[ObjectIdentifier(file)] ?? synchronize(file.descriptor)
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
