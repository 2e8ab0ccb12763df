internal import Synchronization

/// A thread on which a data directory waits for its disk, so that the reactor does not: it stores recovery points, and
/// does the work of a ``DirectoryChange``.
///
/// Life cycle: `init` starts the thread; `submit`; `stop` joins. One that is dropped is stopped.
/// Threading: all calls from one thread, the reactor's.
package final class DirectoryThread {
    private let shared: SharedWork
    private var thread: WorkerThread?

    /// Starts the thread.
    /// - Throws: when there are no more descriptors or threads.
    package init() throws(LogError) {
        let shared = SharedWork(
            requestEvent: try EventCounter(isBlocking: true), doneEvent: try EventCounter(isBlocking: false))
        self.shared = shared
        thread = try WorkerThread("the directory thread") { shared.run() }
    }

    deinit { stop() }

    /// Has points stored; returns at once. Those that still wait are replaced.
    package func submit(_ points: RecoveryPoints) { shared.submit { $0.points = points } }

    /// Has a change's work done; returns at once. No other may be submitted before ``takeOutcome()`` has its outcome.
    package func submit(_ work: @escaping @Sendable () -> DirectoryOutcome) { shared.submit { $0.work = work } }

    /// What the work has come to, once.
    package func takeOutcome() -> DirectoryOutcome? { shared.takeOutcome() }

    /// Readable when there is an outcome.
    package var wakeDescriptor: Int32 { shared.doneEvent.descriptor }

    /// Ends the thread after the work that was submitted; points that wait are dropped. Later calls do nothing.
    package func stop() {
        guard let thread else { return }
        self.thread = nil
        shared.submit { $0.isStopping = true }
        thread.join()
    }
}

/// What the owner and the thread have in common.
private final class SharedWork: Sendable {
    struct State: Sendable {
        var points: RecoveryPoints?
        var work: (@Sendable () -> DirectoryOutcome)?
        var outcome: DirectoryOutcome?
        var isStopping = false
    }

    /// Blocking: the thread sleeps in a read of it.
    private let requestEvent: EventCounter
    let doneEvent: EventCounter
    private let state = Mutex(State())
    private let isDone = Atomic(false)

    init(requestEvent: EventCounter, doneEvent: EventCounter) {
        self.requestEvent = requestEvent
        self.doneEvent = doneEvent
    }

    /// The thread's life.
    func run() {
        while true {
            requestEvent.drain()
            let (points, work, isStopping) = state.withLock { state in
                defer { (state.points, state.work) = (nil, nil) }
                return (state.points, state.work, state.isStopping)
            }
            if let work { leave(work()) }
            if isStopping { return }
            // Late points only make the next start read more: an error here is met again at the next ones.
            if let points { try? points.write() }
        }
    }

    func submit(_ change: (inout State) -> Void) {
        state.withLock { change(&$0) }
        requestEvent.signal()
    }

    private func leave(_ outcome: DirectoryOutcome) {
        // Signalled and drained under the lock: an event without an outcome would keep the reactor awake.
        state.withLock { state in
            state.outcome = outcome
            isDone.store(true, ordering: .relaxed)
            doneEvent.signal()
        }
    }

    func takeOutcome() -> DirectoryOutcome? {
        // Without a system call while there is none: asked each turn. Missed here, the event brings the next turn.
        guard isDone.load(ordering: .relaxed) else { return nil }
        return state.withLock { state in
            doneEvent.drain()
            isDone.store(false, ordering: .relaxed)
            defer { state.outcome = nil }
            return state.outcome
        }
    }
}
