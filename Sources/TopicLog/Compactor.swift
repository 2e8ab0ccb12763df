internal import Synchronization

/// A thread that compacts, so that the reactor never waits for a pass, and lets go of deleted files.
///
/// Life cycle: `init` starts the thread; `submit`, poll `wakeDescriptor`, `takeEvents`; `stop` joins. A compactor that
/// is dropped is stopped. Whoever stops it cancels the pass that is out first (``PartitionLog/cancelCompaction()``), or
/// waits for its end.
/// Threading: all calls from one thread, the reactor's.
package final class Compactor {
    /// What a pass has brought, in order.
    package enum Event: Sendable {
        /// To be installed.
        case segment(CompactedSegment)
        /// The pass is over, with an error or without.
        case finished(LogError?)
    }

    /// Becomes readable when there are events. Valid as long as the compactor.
    package var wakeDescriptor: Int32 { shared.wake.descriptor }

    private let shared: CompactorThread
    private var thread: WorkerThread?

    /// Starts the thread.
    /// - Throws: when there are no more descriptors or threads.
    package init() throws(LogError) {
        shared = CompactorThread(
            requestEvent: try EventCounter(isBlocking: true), wake: try EventCounter(isBlocking: false))
        thread = try WorkerThread("the compactor thread") { [shared] in shared.run() }
    }

    deinit { stop() }

    /// Runs a pass; returns at once.
    package func submit(_ compaction: Compaction) { shared.add(compaction, []) }

    /// Drops files that were deleted: the last one to let go frees their space, which takes time.
    package func release(_ files: [LogFile]) {
        if !files.isEmpty { shared.add(nil, files) }
    }

    /// What has come since the last call. Never blocks; no system call when there is nothing.
    package func takeEvents() -> [Event] { shared.takeEvents() }

    /// Ends the thread after the pass that runs. Later calls do nothing.
    package func stop() {
        guard let thread else { return }
        self.thread = nil
        shared.stop()
        thread.join()
    }
}

/// What the compactor and its thread have in common.
final class CompactorThread: Sendable {
    private struct State: Sendable {
        var passes: [Compaction] = []
        var files: [LogFile] = []
        var events: [Compactor.Event] = []
        var isStopping = false
    }

    /// Blocking: the thread sleeps in a read of it.
    private let requestEvent: EventCounter
    let wake: EventCounter
    private let state = Mutex(State())

    init(requestEvent: EventCounter, wake: EventCounter) {
        self.requestEvent = requestEvent
        self.wake = wake
    }

    /// The thread's life.
    func run() {
        while true {
            requestEvent.drain()
            let (passes, isStopping) = state.withLock { state in
                defer {
                    state.passes = []
                    state.files = []
                }
                return (state.isStopping ? [] : state.passes, state.isStopping)
            }
            for pass in passes {
                do throws(LogError) {
                    try pass.run { report(.segment($0)) }
                    report(.finished(nil))
                } catch {
                    report(.finished(error))
                }
            }
            if isStopping { return }
        }
    }

    func add(_ compaction: Compaction?, _ files: [LogFile]) {
        state.withLock { state in
            if let compaction { state.passes.append(compaction) }
            state.files += files
        }
        requestEvent.signal()
    }

    func stop() {
        state.withLock { $0.isStopping = true }
        requestEvent.signal()
    }

    func takeEvents() -> [Compactor.Event] {
        let events = state.withLock { state in
            defer { state.events = [] }
            return state.events
        }
        if !events.isEmpty { wake.drain() }
        return events
    }

    private func report(_ event: Compactor.Event) {
        state.withLock { $0.events.append(event) }
        wake.signal()
    }
}
