internal import Synchronization

/// A thread for each volume that syncs its files, so that the reactor never waits for a disk, and no disk for another.
///
/// While a sync runs, what is submitted gathers; the next sync covers all of it, however many partitions it is.
///
/// Life cycle: `init` starts the threads; `submit`, poll `wakeDescriptor`, `takeResults`; `stop` finishes what was
/// submitted and joins. A flusher that is dropped is stopped.
/// Threading: `submit`, `takeResults` and `stop` from one thread, the reactor's. Results of a volume come in the order
/// of their requests.
package final class Flusher {
    /// Becomes readable when there are results; `takeResults` makes it unreadable again. Valid as long as the flusher.
    package var wakeDescriptor: Int32 { results.event.descriptor }

    private let results: FlushResults
    private var workers: [(volume: LogFile?, shared: FlusherThread, thread: WorkerThread)] = []

    /// Starts the threads: one for each volume, or a single one for all.
    /// - Throws: when there are no more descriptors or threads.
    package init(volumes: [LogVolume] = []) throws(LogError) {
        results = FlushResults(event: try EventCounter(isBlocking: false))
        if volumes.isEmpty { try start(nil) }
        for volume in volumes { try start(volume.directory) }
    }

    deinit {
        stop()
    }

    private func start(_ volume: LogFile?) throws(LogError) {
        let shared = FlusherThread(requestEvent: try EventCounter(isBlocking: true), results: results)
        workers.append((volume, shared, try WorkerThread("a flusher thread") { shared.run() }))
    }

    /// Hands over requests; returns at once.
    /// - Precondition: not stopped.
    package func submit(_ requests: [FlushRequest]) {
        precondition(!workers.isEmpty, "the flusher is stopped")
        for worker in workers {
            let own = worker.volume == nil ? requests : requests.filter { $0.ticket.volume === worker.volume }
            guard !own.isEmpty else { continue }
            worker.shared.requests.withLock { $0.waiting += own }
            worker.shared.requestEvent.signal()
        }
    }

    /// The results since the last call. Never blocks.
    package func takeResults() -> [FlushResult] { results.take() }

    /// Finishes what was submitted and ends the threads. Results can still be taken. Later calls do nothing.
    package func stop() {
        for worker in workers {
            worker.shared.requests.withLock { $0.isStopping = true }
            worker.shared.requestEvent.signal()
        }
        for worker in workers { worker.thread.join() }
        workers = []
    }
}
