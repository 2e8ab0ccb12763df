internal import CLinux
internal import Glibc
internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// The way from any thread to a link: requests, a wake-up, the end; and whose turn it is to run it (`LinkTurns.swift`).
final class LinkHandle: @unchecked Sendable {
    // Unchecked: all constant, atomic or locked, but for `link`, which belongs to who has the turn.

    // Unchecked: a queued request never carries a batch, the one kind that borrows memory.
    struct Call: @unchecked Sendable {
        let request: Request
        let answer: @Sendable (Result<[UInt8], ClientError>) -> Void
        let deadline: UInt64
    }
    struct Inbox {
        var calls: [Call] = []
        var isClosed = false
        /// The connection is to be given up.
        var isCut = false
        /// Why nothing will be answered any more.
        var failure: ClientError?
    }

    let inbox = Mutex(Inbox())
    let wakeDescriptor = clinux_eventfd()
    /// Set by who runs the link while it may sleep: only then is waking it worth a system call.
    let sleeps = Atomic(false)
    /// Something changed since the link's last round.
    let isWoken = Atomic(false)
    /// Somebody has the turn: nobody else may touch the link.
    let isTaken = Atomic(false)
    /// A caller would have run the link itself, had its thread not had the turn.
    let isWanted = Atomic(false)
    /// The link's thread leaves the turn to callers.
    let isStandingBy = Atomic(false)
    let standbyDescriptor = clinux_eventfd()
    /// Counts the turns of callers.
    let callersTurns = Atomic(0)
    /// Set before the link's thread starts. Afterwards for who has the turn; nil once the link has ended.
    var link: (any RunnableLink)?
    /// How long the link may be left alone while callers run it, and sleep in their turns.
    let standbyMillisecondsMax: Int32
    private let thread = Mutex(pthread_t())
    private let isJoined = Atomic(false)

    init(standbyMillisecondsMax: Int32 = 100) { self.standbyMillisecondsMax = standbyMillisecondsMax }

    deinit {
        Glibc.close(wakeDescriptor)
        Glibc.close(standbyDescriptor)
    }

    /// Has the link run a round, and its own thread look after it from then on.
    func wake() {
        isWoken.store(true, ordering: .sequentiallyConsistent)
        if sleeps.exchange(false, ordering: .sequentiallyConsistent) {
            Self.signal(wakeDescriptor)
        } else if !isTaken.load(ordering: .sequentiallyConsistent) {
            endStandby()
        }
    }

    static func signal(_ descriptor: Int32) {
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, 8)
    }

    /// Whether ``wake()`` was called since the last time: asked in each round of a spinning link, without a lock that
    /// would be in the callers' way.
    func takeNews() -> Bool {
        isWoken.load(ordering: .sequentiallyConsistent) && isWoken.exchange(false, ordering: .sequentiallyConsistent)
    }

    var hasNews: Bool { isWoken.load(ordering: .sequentiallyConsistent) }

    /// Makes a descriptor unreadable again.
    static func takeSignal(_ descriptor: Int32) {
        var count: UInt64 = 0
        _ = unsafe read(descriptor, &count, 8)
    }

    /// Asks the broker and waits for the answer's body.
    func request(_ request: Request) async throws(ClientError) -> [UInt8] {
        let deadline = monotonicNanoseconds() + LinkPatience.answerNanoseconds
        let result: Result<[UInt8], ClientError> = await withCheckedContinuation { continuation in
            let call = Call(request: request, answer: { continuation.resume(returning: $0) }, deadline: deadline)
            let refusal = inbox.withLock { inbox -> ClientError? in
                if let failure = inbox.failure ?? (inbox.isClosed ? .closed : nil) { return failure }
                inbox.calls.append(call)
                return nil
            }
            if let refusal { continuation.resume(returning: .failure(refusal)) } else { wake() }
        }
        return try result.get()
    }

    /// Has the link's thread give its connection up, as if it had been lost.
    func cut() {
        inbox.withLock { $0.isCut = true }
        wake()
    }

    /// Starts the link's thread, with the turn.
    func start(_ link: any RunnableLink) {
        self.link = link
        isTaken.store(true, ordering: .relaxed)
        final class Body: Sendable {
            let link: any RunnableLink
            init(_ link: any RunnableLink) { self.link = link }
        }
        var started = pthread_t()
        let context = unsafe Unmanaged.passRetained(Body(link))
        let result = unsafe pthread_create(
            &started, nil,
            { context in
                unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().link.run()
                return nil
            }, context.toOpaque())
        precondition(result == 0, "cannot start a thread: \(errorText(result))")
        thread.withLock { $0 = started }
    }

    /// Ends the link: its thread finishes, and everything that waits is answered with `.closed`.
    ///
    /// Returns when the thread has ended, unless it is called there: by an observer, or by the last reference going.
    func close() {
        inbox.withLock { $0.isClosed = true }
        sleeps.store(true, ordering: .sequentiallyConsistent)
        wake()
        endStandby()
        guard !isJoined.exchange(true, ordering: .acquiringAndReleasing) else { return }
        let thread = thread.withLock { $0 }
        if pthread_equal(thread, pthread_self()) != 0 { pthread_detach(thread) } else { pthread_join(thread, nil) }
    }
}
