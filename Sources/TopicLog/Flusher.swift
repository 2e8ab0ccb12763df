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

    private let shared: FlusherThread
    private var thread: pthread_t?

    /// Starts the thread.
    /// - Throws: when there are no more descriptors or threads.
    package init() throws(LogError) {
        shared = FlusherThread(
            requestEvent: try Self.event(Int32(EFD_CLOEXEC)),
            resultEvent: try Self.event(Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)))
        var started = pthread_t()
        // The thread owns a reference of its own, so it never depends on the flusher's life.
        let context = unsafe Unmanaged.passRetained(shared)
        let result = unsafe pthread_create(
            &started, nil,
            { context in
                unsafe Unmanaged<FlusherThread>.fromOpaque(context!).takeRetainedValue().run()
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
        FlusherThread.signal(shared.requestEvent)
    }

    /// The results since the last call, in the order of their requests. Never blocks.
    package func takeResults() -> [FlushResult] {
        // The counter first: a result that comes in between sets it again.
        FlusherThread.drain(shared.resultEvent)
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
        FlusherThread.signal(shared.requestEvent)
        pthread_join(running, nil)
    }

    private static func event(_ flags: Int32) throws(LogError) -> LogFile {
        let descriptor = eventfd(0, flags)
        guard descriptor >= 0 else { throw LogError(errno: errno, "creating", "an eventfd") }
        return LogFile(descriptor: descriptor, path: "eventfd", storage: SystemStorage())
    }
}
