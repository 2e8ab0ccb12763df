internal import CLinux
import Glibc
internal import Synchronization

/// A thread that polls a completion queue: it spins for a bounded time after the last completion, then arms the queue
/// and sleeps until one comes. Not a thread of Swift's cooperative pool, which must never block.
///
/// - Threading: `handler` runs on the poller's thread, one completion at a time. While the poller runs nobody else may
///   poll the queue; posting to its queue pairs from `handler` is what the poller is for.
/// - Ownership: keeps the queue alive; ``stop()`` ends the thread.
public final class CompletionPoller: Sendable {
    // The thread polls it; we only hold it. Nothing else of a queue changes after `init`.
    private nonisolated(unsafe) let queue: CompletionQueue
    private let spinNanoseconds: UInt64
    private let handler: @Sendable (WorkCompletion) -> Void
    private let wakeDescriptor: Int32
    private let isStopping = Atomic(false)
    private let sleeps = Atomic<Int>(0)
    private let thread = Mutex<pthread_t?>(nil)

    /// Starts polling.
    /// - Parameters:
    ///   - spin: How long it spins after the last completion; zero where there is one processor only, since whoever
    ///     spins there takes it from the peer. Nil: 20 µs, or zero.
    ///   - handler: Called for each completion.
    public init(
        _ queue: sending CompletionQueue, spin: Duration? = nil, handler: @escaping @Sendable (WorkCompletion) -> Void
    ) throws(FabricError) {
        let standard: UInt64 = sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? 20_000 : 0
        spinNanoseconds = spin.map { UInt64(max(0, $0 / .nanoseconds(1))) } ?? standard
        unsafe self.queue = queue
        self.handler = handler
        wakeDescriptor = clinux_eventfd()
        guard wakeDescriptor >= 0 else {
            throw FabricError(.system, operation: "eventfd", errorNumber: errno, "cannot start a poller")
        }
        var started = pthread_t()
        let context = unsafe Unmanaged.passRetained(self)
        let result = unsafe pthread_create(
            &started, nil,
            { argument in
                unsafe Unmanaged<CompletionPoller>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw FabricError(.system, operation: "pthread_create", errorNumber: result, "cannot start a poller")
        }
        thread.withLock { $0 = started }
    }

    deinit { close(wakeDescriptor) }

    /// Ends the thread and waits for it. Not from `handler`.
    public func stop() {
        isStopping.store(true, ordering: .releasing)
        var one: UInt64 = 1
        _ = unsafe write(wakeDescriptor, &one, 8)
        guard let joined = thread.withLock({ $0.take() }) else { return }
        precondition(pthread_equal(joined, pthread_self()) == 0, "a poller cannot stop itself")
        pthread_join(joined, nil)
    }

    /// How often the thread went to sleep.
    public var sleepCount: Int { sleeps.load(ordering: .relaxed) }

    private func run() {
        var last = monotonicNanoseconds()
        while !isStopping.load(ordering: .acquiring) {
            if drain() {
                last = monotonicNanoseconds()
            } else if monotonicNanoseconds() - last >= spinNanoseconds {
                unsafe queue.arm()
                // What came before the queue was armed makes no event.
                if !drain() { sleep() }
                last = monotonicNanoseconds()
            }
        }
    }

    /// Handles what there is; false when there was nothing.
    private func drain() -> Bool {
        let count = unsafe queue.poll()
        for index in 0..<count { unsafe handler(queue[index]) }
        return count > 0
    }

    private func sleep() {
        sleeps.add(1, ordering: .relaxed)
        var descriptors = unsafe [
            pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        _ = unsafe poll(&descriptors, 2, -1)
        unsafe queue.takeEvents()
    }
}

/// Completions for async code: each task waits for the work id that it posted. Over a ``CompletionPoller``; who does
/// not use it pays nothing for it.
///
/// - Threading: thread-safe. Posting and waiting may come in any order; each work id is waited for once.
public final class AsyncCompletions: Sendable {
    private enum Entry {
        case waiting(CheckedContinuation<WorkCompletion, Never>)
        case arrived(WorkCompletion)
    }
    private final class Table: Sendable {
        let entries = Mutex<[UInt64: Entry]>([:])

        func deliver(_ completion: WorkCompletion) {
            let waiter: CheckedContinuation<WorkCompletion, Never>? = entries.withLock { entries in
                if case .waiting(let waiter) = entries.removeValue(forKey: completion.workID) { return waiter }
                entries[completion.workID] = .arrived(completion)
                return nil
            }
            waiter?.resume(returning: completion)
        }
    }

    private let table = Table()
    private let poller: CompletionPoller

    /// Starts polling the queue.
    public init(_ queue: sending CompletionQueue, spin: Duration? = nil) throws(FabricError) {
        let table = self.table
        poller = try CompletionPoller(queue, spin: spin) { table.deliver($0) }
    }

    /// Waits for the completion of one work request. Work ids in flight must differ; every posted one that is signaled
    /// must be waited for.
    public func completion(of workID: UInt64) async -> WorkCompletion {
        await withCheckedContinuation { continuation in
            let arrived: WorkCompletion? = table.entries.withLock { entries in
                if case .arrived(let completion) = entries.removeValue(forKey: workID) { return completion }
                entries[workID] = .waiting(continuation)
                return nil
            }
            if let arrived { continuation.resume(returning: arrived) }
        }
    }

    /// Ends the polling. Nothing may wait then.
    public func stop() {
        poller.stop()
        table.entries.withLock { precondition($0.values.allSatisfy { if case .arrived = $0 { true } else { false } }) }
    }
}
