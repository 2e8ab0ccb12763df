internal import Compression
internal import Glibc
internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

/// The producer's state, shared by the callers' threads and the link's, under one lock.
///
/// Batches are cut from one block of memory that is registered with every connection. A batch's slot is free again
/// only when its fate is known: until then the broker may be reading it.
final class ProducerAgent: LinkAgent, @unchecked Sendable {
    // Unchecked: every mutable property is inside `state`, but for `link`, set once before any other call, and those
    // that only who has the link's turn uses.
    let topic: String
    let configuration: Producer.Configuration
    private let isRoundRobin: Bool
    /// Caller, link and broker share it: what is handed over early is not done earlier.
    let isOnOneProcessor: Bool
    private static let hasOneProcessor = sysconf(Int32(_SC_NPROCESSORS_ONLN)) == 1
    let memory: MemoryBlock
    /// Batches that fit into it.
    let slotCount: Int
    let onAcknowledged: Producer.Acknowledgement?
    private(set) var link: LinkHandle!
    let state: Mutex<State>
    /// Something changed since the link's last turn.
    let hasNews = Atomic(false)
    /// On the link's thread: when this turn began.
    var turnTime: UInt64 = 0
    /// On the link's thread: when the next turn is due at the latest.
    var nextTurn: UInt64 = .max
    /// On the link's thread: when the topic is asked about again, which may have grown, or have another limit.
    var metadataAt: UInt64 = .max
    /// On the link's thread: a partition has used up its epochs, or the broker was asked for another producer id.
    var needsIdentity = false
    var isAskingForIdentity = false
    /// On the link's thread. Nil: batches are sent as they are.
    let compressor: Compressor?

    struct State {
        var partitions: [ProducerPartition] = []
        var freeSlots: [Int]
        /// Slots of batches that are given up or forgotten, but that the broker may still be reading. They are free
        /// once there is a new connection: the broker has noticed the end of the old one by then.
        var orphanedSlots: [Int] = []
        var byRequest: [UInt32: ProducerBatch] = [:]
        /// Batches whose fate is known and not told yet.
        var concluding: [ProducerBatch] = []
        /// Where records without a key go until that batch is full; or the next one, round robin.
        var nextChoice = 0
        /// What new partitions begin with, and those that have used up their epochs.
        var identity = ProducerIdentity()
        /// Counts the connections.
        var connections = 0
        /// The broker's limit, and the topic's.
        var batchBytesMax = Int.max
        var topicBytesMax = Int.max
        var inFlightMax = 1
        /// Waiters and flushes of all batches.
        var awaited = 0
        /// Where announcing begins in the next turn, so that partitions share what the broker lets be in flight.
        var nextPartition = 0
        /// For the connection of now; nil while there is none or it is not ready.
        var topicID: UInt32?
        var region: RemoteRegion?
        var failure: ClientError?
        /// The first error since the last flush.
        var firstError: ClientError?
        /// A record found no memory: batches that linger are sent now.
        var isStarved = false
        var clock = BatchClock()
        var wallClock = WallClock()
        var readyWaiter: CheckedContinuation<Result<Int, ClientError>, Never>?
        var spaceWaiters: [SpaceWaiter] = []
        /// Callers that wait for room on their own threads: nothing waits for company then.
        var blocked = 0

        /// A topic grows, but never shrinks.
        mutating func grow(to count: Int) {
            let more = max(0, count - partitions.count)
            partitions += Array(repeating: ProducerPartition(identity: identity), count: more)
        }

        /// What a topic has of its own.
        mutating func learn(_ configs: [TopicConfig]) {
            topicBytesMax = configs.first { $0.name == "max.message.bytes" }.flatMap { Int($0.value) } ?? .max
        }

        /// Batches that are not open, and whose fate is not told yet.
        var unconcluded: [ProducerBatch] { partitions.flatMap { $0.inFlight + $0.refused + $0.sealed } + concluding }

        /// The longest batch that the broker takes for this topic, and whose limit that is.
        var longestBatch: (bytes: Int, setting: String) {
            topicBytesMax < batchBytesMax
                ? (topicBytesMax, "the limit is the topic's (max.message.bytes, 'rdmad topic alter')")
                : (batchBytesMax, "the limit is the broker's (message.max.bytes, 'rdmad serve --max-message-bytes')")
        }
    }

    init(
        topic: String, configuration: Producer.Configuration, isOnOneProcessor: Bool = hasOneProcessor,
        onAcknowledged: Producer.Acknowledgement?
    ) throws {
        self.topic = topic
        self.isOnOneProcessor = isOnOneProcessor
        self.configuration = configuration
        isRoundRobin = if case .roundRobin = configuration.partitioner { true } else { false }
        self.onAcknowledged = onAcknowledged
        let slots = configuration.bufferBytes / configuration.batchBytes
        slotCount = slots
        memory = try MemoryBlock(byteCount: slots * configuration.batchBytes, name: "rdmad-batches")
        state = Mutex(State(freeSlots: Array((0..<slots).reversed())))
        let type = configuration.compression
        compressor = type == .none ? nil : try Compressor(type, level: configuration.compressionLevels[type])
    }

    func attach(_ link: LinkHandle) { self.link = link }

    // MARK: From the caller's threads

    func whenReady(_ continuation: CheckedContinuation<Result<Int, ClientError>, Never>) {
        let now: Result<Int, ClientError>? = state.withLock { state in
            if let failure = state.failure { return .failure(failure) }
            if !state.partitions.isEmpty { return .success(state.partitions.count) }
            state.readyWaiter = continuation
            return nil
        }
        if let now { continuation.resume(returning: now) }
    }

    /// Has the link take a turn: what it has not seen keeps it from sleeping.
    func callLink() {
        hasNews.store(true, ordering: .sequentiallyConsistent)
        link.wake()
    }

    /// The same on this thread, when that saves waking another one for each record and costs this one little. What may
    /// linger, and compressing, is better done beside the caller, if there is another processor; an observer may not
    /// expect to be called from here.
    /// - Parameter now: The time on the monotonic clock.
    private func runLink(now: UInt64) {
        guard letsCallersRun else { return callLink() }
        hasNews.store(true, ordering: .sequentiallyConsistent)
        link.attend(wants: true, now: now)
    }

    var letsCallersRun: Bool {
        (configuration.lingerMilliseconds == 0 || isOnOneProcessor) && compressor == nil && onAcknowledged == nil
    }

    /// A caller that waited for memory may go away, and leave what lingers.
    var standbyMillisecondsMax: Int32 { LinkHandle.standbyMillisecondsMin }

    /// Adds a record to its partition's open batch. Nil: no memory now. Otherwise the partition.
    /// - Parameter waiter: Told where the record ended up; not touched unless it was added.
    func append(
        _ key: [UInt8]?, _ value: [UInt8]?, _ options: RecordOptions, waiter: ProducerBatch.Waiter?
    ) throws(ClientError) -> Int? {
        let result = unsafe Self.withBytes(key) { key in
            unsafe Self.withBytes(value) { value -> Result<Int?, ClientError> in
                do throws(ClientError) {
                    return .success(unsafe try append(key, value, options, waiter: waiter))
                } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }

    private static func withBytes<Result>(
        _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Result
    ) -> Result {
        guard let bytes else { return body(nil) }
        return unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }

    /// The same from the caller's memory.
    @_disfavoredOverload  // so that two nils mean the arrays
    func append(
        _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ options: RecordOptions,
        waiter: ProducerBatch.Waiter?
    ) throws(ClientError) -> Int? {
        var news: UInt64?
        let outcome = state.withLock { state -> Result<Int?, ClientError> in
            do throws(ClientError) {
                return .success(unsafe try add(key, value, options, waiter, &news, &state))
            } catch {
                return .failure(error)
            }
        }
        // Who waits for the outcome waits for the link's thread.
        if let news { if waiter == nil { runLink(now: news) } else { callLink() } }
        return try outcome.get()
    }

    private func add(
        _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ options: RecordOptions,
        _ waiter: ProducerBatch.Waiter?, _ news: inout UInt64?, _ state: inout State
    ) throws(ClientError) -> Int? {
        if let failure = state.failure { throw failure }
        let index = unsafe try choosePartition(key, value, options.partition, &state)
        if let failure = state.partitions[index].failure { throw failure }
        var isFull = false
        while true {
            let time =
                options.timestamp
                ?? (readsClockOften ? WallClock.read() : state.partitions[index].openedMilliseconds)
            switch unsafe state.partitions[index].append(key, value, options.headers, timestampMilliseconds: time) {
            case true?:
                if let waiter { addWaiter(waiter, index, &state) }
                if isRoundRobin, options.partition == nil { advanceChoice(&state) }
                return index
            case false?:
                if state.partitions[index].builder?.recordCount == 0 {
                    if let batch = state.partitions[index].takeOpen() { state.freeSlots.append(batch.slot) }
                    throw unsafe tooLarge(key, value, state)
                }
                seal(index, &state)
                isFull = true
            case nil: break
            }
            // Either the link must make room, or it must learn of the new batch's linger.
            let now = state.clock.time(isSoon: isFull && !readsClockOften)
            news = now
            guard let slot = state.freeSlots.popLast() else {
                state.isStarved = true
                return nil
            }
            open(index, slot, now, &state)
        }
    }

    private func addWaiter(_ waiter: ProducerBatch.Waiter, _ index: Int, _ state: inout State) {
        let last = (state.partitions[index].builder?.recordCount ?? 0) - 1
        state.partitions[index].open?.waiters.append((last, waiter))
        state.awaited += 1
    }

    private func tooLarge(
        _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ state: State
    ) -> ClientError {
        let size = unsafe (key?.count ?? 0) + (value?.count ?? 0)
        let (limit, advice) =
            configuration.batchBytes <= state.longestBatch.bytes
            ? (configuration.batchBytes, "the limit is batchBytes (batch.size, --batch-bytes), up to 1048576")
            : state.longestBatch
        return ClientError(
            .limit, "a record of \(size) bytes does not fit into a batch of \(limit) bytes: \(advice)")
    }

    private func open(_ index: Int, _ slot: Int, _ now: UInt64, _ state: inout State) {
        let start = slot * configuration.batchBytes
        // Into what has no room for a record, none fits.
        let length = max(
            min(configuration.batchBytes, state.longestBatch.bytes), RecordBatchHeader.byteCount)
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[start..<start + length])
        let batch = ProducerBatch(
            slot: slot, partition: index, builder: unsafe RecordBatchBuilder(buffer: buffer), created: now)
        state.partitions[index].begin(batch, milliseconds: state.wallClock.milliseconds(at: now))
    }

    private func choosePartition(
        _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ partition: Int?, _ state: inout State
    ) throws(ClientError) -> Int {
        var choice = partition
        if choice == nil {
            switch configuration.partitioner {
            case .murmur2:
                if let key = unsafe key {
                    return unsafe Partitioner.partition(forKey: key, count: state.partitions.count)
                }
            case .uniformSticky, .roundRobin: break
            case .custom(let choose): choice = unsafe choose(key, value, state.partitions.count)
            }
        }
        guard let choice else {
            // One that has failed takes nothing any more; when all have, the error is thrown.
            if state.partitions[state.nextChoice].failure != nil { advanceChoice(&state) }
            return state.nextChoice
        }
        guard state.partitions.indices.contains(choice) else {
            throw ClientError(
                .limit, "topic \(topic) has partitions 0 to \(state.partitions.count - 1), not \(choice)")
        }
        return choice
    }

    /// To the next partition that takes records.
    private func advanceChoice(_ state: inout State) {
        for _ in state.partitions.indices {
            state.nextChoice = (state.nextChoice + 1) % state.partitions.count
            if state.partitions[state.nextChoice].failure == nil { return }
        }
    }

    /// Closes the open batch of a partition: from now on only its place in the sequence counts.
    func seal(_ index: Int, _ state: inout State) {
        guard let batch = state.partitions[index].takeOpen() else { return }
        batch.number = state.partitions[index].nextNumber
        state.partitions[index].nextNumber += 1
        state.partitions[index].sealed.append(batch)
        if index == state.nextChoice, !isRoundRobin { advanceChoice(&state) }
    }

    /// A batch is open for the linger's time at most: within a few milliseconds one reading serves all of its records.
    private var readsClockOften: Bool { configuration.lingerMilliseconds > 10 }
}
