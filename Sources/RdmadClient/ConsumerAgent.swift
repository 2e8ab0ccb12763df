internal import CLinux
internal import Glibc
internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// The consumer's state, shared by the reader's thread and the link's, under one lock.
final class ConsumerAgent: LinkAgent, @unchecked Sendable {
    // Unchecked: what several threads use is inside `state`, but for `link`, set once before any other call; all other
    // mutable properties belong to the link's thread.
    let interest: Interest
    let configuration: Consumer.Configuration
    private(set) var link: LinkHandle!
    private let available = clinux_eventfd()
    let decompressors: DecompressorPool
    let state: Mutex<State>

    // Of the connection of now.
    var ring: ConsumerRing?
    /// When the broker got credit last.
    var creditedAt: UInt64 = 0
    /// The ring is open, and the topics below are known.
    var isOpen = false
    var topics: [String: (id: UInt32, partitionCount: Int)] = [:]
    /// What entries are of.
    var streams: [PartitionAddress: FetchedPartition] = [:]

    /// When topics are asked about again, which may have grown.
    var metadataAt = UInt64.max

    /// The last call of `onOffsetReset`: the next one follows it.
    var toldOfReset: Task<Void, Never>?

    private(set) var membership: GroupMembership?
    var committer = OffsetCommitter()

    /// What is to be read.
    enum Interest {
        case partitions([TopicPartition: Consumer.Position])
        /// All partitions of these.
        case topics([String], from: Consumer.Position)
        /// What a group gives.
        case group([String], from: Consumer.Position)
    }

    struct State {
        var queue: [(batches: ConsumedBatches, partition: FetchedPartition)] = []
        var partitions: [TopicPartition: FetchedPartition] = [:]
        /// Partitions whose start the consumer's own start waits for.
        var starting = 0
        /// Some partition wants something else of the broker than it wanted before.
        var needsReconciling = false
        var commits: [OffsetCommit] = []
        /// For the link's thread to run.
        var calls: [@Sendable () -> Void] = []
        var failure: ClientError?
        var isClosed = false
        var isReady = false
        var readyWaiter: CheckedContinuation<ClientError?, Never>?
        var waiter: CheckedContinuation<Result<ConsumedBatches?, ClientError>, Never>?
        /// A reader is in `poll`; asleep there, to be woken by `signal`.
        var isPolling = false
        var isAsleep = false
        /// When the reader last asked for something.
        var askedAt = monotonicNanoseconds()
        /// Whether a reader need not wait.
        var hasAnswer: Bool { !queue.isEmpty || isClosed || failure != nil }
    }

    init(_ interest: Interest, _ configuration: Consumer.Configuration) {
        self.interest = interest
        self.configuration = configuration
        decompressors = DecompressorPool(bytesMax: configuration.decompressedBytesMax)
        var state = State()
        if case .partitions(let partitions) = interest {
            state.partitions = Dictionary(
                uniqueKeysWithValues: partitions.map { ($0, FetchedPartition($0, start: $1)) })
            state.starting = partitions.count
        }
        self.state = Mutex(state)
        if case .group(let topics, let start) = interest {
            membership = GroupMembership(topics: topics, start: start, agent: self)
        }
    }

    deinit { Glibc.close(available) }

    func attach(_ link: LinkHandle) { self.link = link }

    // MARK: From the reader's thread

    /// Answers with nil once the broker has taken what is to be read.
    func whenReady(_ continuation: CheckedContinuation<ClientError?, Never>) {
        let now: ClientError?? = state.withLock { state in
            if let failure = state.failure { return failure }
            if state.isReady { return .some(nil) }
            state.readyWaiter = continuation
            return nil
        }
        if let now { continuation.resume(returning: now) }
    }

    /// - Parameter wakes: Set when the link's thread has something to do then.
    private func take(_ state: inout State, _ wakes: inout Bool) -> Result<ConsumedBatches?, ClientError>? {
        if membership != nil { state.askedAt = monotonicNanoseconds() }
        if state.isClosed { return .success(nil) }
        guard !state.queue.isEmpty else { return state.failure.map { .failure($0) } }
        let (batches, partition) = state.queue.removeFirst()
        Self.handOut(batches, of: partition)
        if partition.isOutOfRange, !state.queue.contains(where: { $0.partition === partition }) {
            state.needsReconciling = true
            wakes = true
        }
        return .success(batches)
    }

    /// Under the lock.
    static func handOut(_ batches: ConsumedBatches, of partition: FetchedPartition) {
        // Entries may overtake the answer to the subscription, which says where it begins.
        partition.begin(at: batches.firstOffset)
        partition.position = batches.nextOffset
        partition.progress!.handOut(to: batches.nextOffset)
        batches.progress = partition.progress
    }

    func whenAvailable(_ continuation: CheckedContinuation<Result<ConsumedBatches?, ClientError>, Never>) {
        var wakes = false
        let now = state.withLock { state in
            let now = take(&state, &wakes)
            precondition(state.waiter == nil, "one reader at a time")
            if now == nil { state.waiter = continuation }
            return now
        }
        if wakes { link.wake() }
        if let now { continuation.resume(returning: now) } else { link.ensureRun() }
    }

    /// Answers the one that waits with nil: its task was cancelled.
    func stopWaiting() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: .success(nil))
    }

    func poll(timeoutMilliseconds: Int) throws(ClientError) -> ConsumedBatches? {
        var limit = TimeLimit.after(LinkPatience.nanoseconds(Double(timeoutMilliseconds) / 1000))
        // Even without time to wait there may be something that nobody has looked at yet. Who runs the link reads the
        // clock anyway.
        var isFirst = true
        while true {
            var wakes = false
            let now = state.withLock { state in
                let now = take(&state, &wakes)
                state.isPolling = now == nil
                return now
            }
            if wakes { link.wake() }
            if let now { return try now.get() }
            if isFirst, runLink(until: &limit) {
                isFirst = false
                continue
            }
            let time = monotonicNanoseconds()
            guard !limit.isReached(time) else {
                state.withLock { $0.isPolling = false }
                return nil
            }
            // When it was refused just now, its thread still has the turn.
            if isFirst || !runLink(until: &limit) { sleep(until: limit.time(time), time) }
            isFirst = false
        }
    }

    private func runLink(until limit: inout TimeLimit) -> Bool {
        link.run(until: &limit) { state.withLock { $0.hasAnswer } }
    }

    /// Until the link's thread signals.
    private func sleep(until end: UInt64, _ time: UInt64) {
        let sleeps = state.withLock { state in
            state.isAsleep = !state.hasAnswer
            return state.isAsleep
        }
        guard sleeps else { return }
        link.ensureRun()
        var entry = pollfd(fd: available, events: Int16(POLLIN), revents: 0)
        _ = unsafe Glibc.poll(&entry, 1, Int32(clamping: (end - time) / 1_000_000 + 1))
        state.withLock { $0.isAsleep = false }
        var count: UInt64 = 0
        _ = unsafe read(available, &count, 8)
    }

    var hasWaiters: Bool {
        state.withLock { $0.waiter != nil || $0.isAsleep || $0.readyWaiter != nil || !$0.commits.isEmpty }
    }

    /// Wakes a reader in `poll`.
    func signal() {
        var one: UInt64 = 1
        _ = unsafe write(available, &one, 8)
    }

    // MARK: From any thread

    var assignment: [TopicPartition] {
        state.withLock { state in state.partitions.values.filter(\.isAssigned).map(\.name).sorted() }
    }

    var paused: [TopicPartition] {
        state.withLock { state in
            state.partitions.values.filter { $0.isAssigned && $0.isPaused }.map(\.name).sorted()
        }
    }

    func look<T: Sendable>(_ name: TopicPartition, _ body: (FetchedPartition) -> T?) -> T? {
        state.withLock { state in
            guard let partition = state.partitions[name], partition.isAssigned else { return nil }
            return body(partition)
        }
    }

    /// Changes what is wanted of a partition. What was queued of it under an earlier epoch is dropped.
    func change(_ name: TopicPartition, _ body: (FetchedPartition) -> Void) throws(ClientError) {
        let isAssigned = state.withLock { state in
            guard let partition = state.partitions[name], partition.isAssigned else { return false }
            Self.change(&state, partition, body)
            return true
        }
        guard isAssigned else { throw ClientError(.limit, "\(name) is not assigned to this consumer") }
        link.wake()
    }

    /// Under the lock.
    static func change(_ state: inout State, _ partition: FetchedPartition, _ body: (FetchedPartition) -> Void) {
        let epoch = partition.epoch
        body(partition)
        if partition.epoch != epoch || !partition.isWanted {
            state.queue.removeAll { $0.partition === partition }
            partition.rewind()
        }
        state.needsReconciling = true
    }

    /// Has the link's thread run something.
    func call(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.calls.append(body) }
        link.wake()
    }
}
