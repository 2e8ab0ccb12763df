internal import CLinux
internal import Glibc
internal import Synchronization

/// A thread that stores recovery points, so that the reactor never waits for their sync.
///
/// Life cycle: `init` starts the thread; `submit`; `stop` joins. One that is dropped is stopped.
/// Threading: all calls from one thread, the reactor's.
package final class CheckpointWriter {
    private let shared: CheckpointThread
    private var thread: pthread_t?

    /// Starts the thread.
    /// - Throws: when there are no more descriptors or threads.
    package init() throws(LogError) {
        shared = CheckpointThread(requestEvent: try Flusher.event(Int32(EFD_CLOEXEC)))
        var started = pthread_t()
        // The thread owns a reference of its own, so it never depends on the writer's life.
        let context = unsafe Unmanaged.passRetained(shared)
        let result = unsafe pthread_create(
            &started, nil,
            { context in
                unsafe Unmanaged<CheckpointThread>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw LogError(errno: result, "starting", "the checkpoint thread")
        }
        thread = started
    }

    deinit { stop() }

    /// Has points stored; returns at once. Those that still wait are replaced.
    package func submit(_ points: RecoveryPoints) { shared.submit(points) }

    /// Ends the thread after the write that runs; what waits is dropped. Later calls do nothing.
    package func stop() {
        guard let thread else { return }
        self.thread = nil
        shared.stop()
        pthread_join(thread, nil)
    }
}

/// What the writer and its thread have in common.
final class CheckpointThread: Sendable {
    private struct State: Sendable {
        var points: RecoveryPoints?
        var isStopping = false
    }

    /// Blocking: the thread sleeps in a read of it.
    private let requestEvent: LogFile
    private let state = Mutex(State())

    init(requestEvent: LogFile) { self.requestEvent = requestEvent }

    /// The thread's life.
    func run() {
        while true {
            FlushResults.drain(requestEvent)
            let (points, isStopping) = state.withLock { state in
                defer { state.points = nil }
                return (state.points, state.isStopping)
            }
            if isStopping { return }
            // Late points only make the next start read more: an error here is met again at the next ones.
            if let points { try? points.write() }
        }
    }

    func submit(_ points: RecoveryPoints) {
        state.withLock { $0.points = points }
        FlushResults.signal(requestEvent)
    }

    func stop() {
        state.withLock { $0.isStopping = true }
        FlushResults.signal(requestEvent)
    }
}
