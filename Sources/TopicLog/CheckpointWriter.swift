internal import Synchronization

/// A thread that stores recovery points, so that the reactor never waits for their sync.
///
/// Life cycle: `init` starts the thread; `submit`; `stop` joins. One that is dropped is stopped.
/// Threading: all calls from one thread, the reactor's.
package final class CheckpointWriter {
    private let shared: CheckpointThread
    private var thread: WorkerThread?

    /// Starts the thread.
    /// - Throws: when there are no more descriptors or threads.
    package init() throws(LogError) {
        let shared = CheckpointThread(requestEvent: try EventCounter(isBlocking: true))
        self.shared = shared
        thread = try WorkerThread("the checkpoint thread") { shared.run() }
    }

    deinit { stop() }

    /// Has points stored; returns at once. Those that still wait are replaced.
    package func submit(_ points: RecoveryPoints) { shared.submit(points) }

    /// Ends the thread after the write that runs; what waits is dropped. Later calls do nothing.
    package func stop() {
        guard let thread else { return }
        self.thread = nil
        shared.stop()
        thread.join()
    }
}

/// What the writer and its thread have in common.
final class CheckpointThread: Sendable {
    private struct State: Sendable {
        var points: RecoveryPoints?
        var isStopping = false
    }

    /// Blocking: the thread sleeps in a read of it.
    private let requestEvent: EventCounter
    private let state = Mutex(State())

    init(requestEvent: EventCounter) { self.requestEvent = requestEvent }

    /// The thread's life.
    func run() {
        while true {
            requestEvent.drain()
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
        requestEvent.signal()
    }

    func stop() {
        state.withLock { $0.isStopping = true }
        requestEvent.signal()
    }
}
