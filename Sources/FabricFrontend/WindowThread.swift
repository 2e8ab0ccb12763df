internal import RDMATransport
internal import Synchronization
internal import TopicLog

/// Pins and unpins windows, away from the reactor: pages are fetched from the disk, pinned and given back here.
final class WindowThread: Sendable {
    /// A range of a file that shall become a window.
    struct Request: Sendable {
        let key: WindowKey
        let pin: FilePin
        let range: Range<Int64>
    }

    /// What came of a request.
    struct Outcome: Sendable {
        let request: Request
        let result: Result<PinnedFile, FabricError>
    }

    private enum Work: Sendable {
        case prepare(Request)
        case drop(PinnedFile, FilePin)
    }

    private struct State: Sendable {
        var work: [Work] = []
        var outcomes: [Outcome] = []
        var isStopping = false
    }

    private let state = Mutex(State())
    private let hasOutcomes = Atomic(false)
    private let domain: ProtectionDomain?
    /// The thread sleeps in a read of it.
    private let requestEvent = try? EventCounter(isBlocking: true)
    private let outcomeEvent = try? EventCounter(isBlocking: false)
    /// Readable when there are outcomes.
    var wakeDescriptor: Int32 { outcomeEvent?.descriptor ?? -1 }

    init(domain: ProtectionDomain?) {
        self.domain = domain
    }

    /// Starts the thread, which keeps the object until ``stop(_:)``. Nil when there are no threads or descriptors left.
    func start() -> WorkerThread? {
        guard let requestEvent, let outcomeEvent else { return nil }
        return try? WorkerThread("the window thread") { self.run(requestEvent, outcomeEvent) }
    }

    func prepare(_ request: Request) { submit(.prepare(request)) }

    func drop(_ file: PinnedFile, _ pin: FilePin) { submit(.drop(file, pin)) }

    private func submit(_ work: Work) {
        state.withLock { $0.work.append(work) }
        requestEvent?.signal()
    }

    /// What is done since the last call. Never blocks.
    func takeOutcomes() -> [Outcome] {
        // Without the lock while there is nothing: asked each turn.
        guard hasOutcomes.load(ordering: .acquiring) else { return [] }
        // Drained and signalled under the lock: an event that outlived its outcome would keep the reactor awake.
        return state.withLock { state in
            outcomeEvent?.drain()
            hasOutcomes.store(false, ordering: .relaxed)
            defer { state.outcomes = [] }
            return state.outcomes
        }
    }

    /// Ends the thread; what waits is dropped.
    func stop(_ thread: WorkerThread) {
        state.withLock { $0.isStopping = true }
        requestEvent?.signal()
        thread.join()
    }

    private func run(_ requestEvent: EventCounter, _ outcomeEvent: EventCounter) {
        while true {
            requestEvent.drain()
            while let work = state.withLock({ $0.work.isEmpty || $0.isStopping ? nil : $0.work.removeFirst() }) {
                guard case .prepare(let request) = work else { continue }
                let result = Result { () throws(FabricError) in
                    try PinnedFile(
                        descriptor: request.pin.file.descriptor, position: request.range.lowerBound,
                        byteCount: request.range.count, domain: domain)
                }
                state.withLock {
                    $0.outcomes.append(Outcome(request: request, result: result))
                    hasOutcomes.store(true, ordering: .releasing)
                    outcomeEvent.signal()
                }
            }
            if state.withLock({ $0.isStopping }) { return }
        }
    }
}
