internal import CLinux
internal import Glibc
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
    private let requestEvent: Int32
    /// Readable when there are outcomes.
    let wakeDescriptor = clinux_eventfd()

    init(domain: ProtectionDomain?) {
        self.domain = domain
        requestEvent = eventfd(0, Int32(EFD_CLOEXEC))
    }

    deinit {
        close(requestEvent)
        close(wakeDescriptor)
    }

    /// Starts the thread, which keeps the object until ``stop(_:)``. Nil when there are no threads or descriptors left.
    func start() -> pthread_t? {
        guard requestEvent >= 0, wakeDescriptor >= 0 else { return nil }
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(self)
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                unsafe Unmanaged<WindowThread>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result != 0 else { return thread }
        unsafe context.release()
        return nil
    }

    func prepare(_ request: Request) { submit(.prepare(request)) }

    func drop(_ file: PinnedFile, _ pin: FilePin) { submit(.drop(file, pin)) }

    private func submit(_ work: Work) {
        state.withLock { $0.work.append(work) }
        Self.signal(requestEvent)
    }

    /// What is done since the last call. Never blocks.
    func takeOutcomes() -> [Outcome] {
        // Without the lock while there is nothing: asked each turn.
        guard hasOutcomes.load(ordering: .acquiring) else { return [] }
        Self.drain(wakeDescriptor)
        return state.withLock { state in
            hasOutcomes.store(false, ordering: .relaxed)
            defer { state.outcomes = [] }
            return state.outcomes
        }
    }

    /// Ends the thread; what waits is dropped.
    func stop(_ thread: pthread_t) {
        state.withLock { $0.isStopping = true }
        Self.signal(requestEvent)
        pthread_join(thread, nil)
    }

    private func run() {
        while true {
            Self.drain(requestEvent)
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
                }
                Self.signal(wakeDescriptor)
            }
            if state.withLock({ $0.isStopping }) { return }
        }
    }

    private static func signal(_ event: Int32) {
        var one: UInt64 = 1
        _ = unsafe write(event, &one, 8)
    }

    private static func drain(_ event: Int32) {
        var count: UInt64 = 0
        _ = unsafe read(event, &count, 8)
    }
}
