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
    // Unchecked: every mutable property is inside `state`, but for `link`, set once before any other call.
    let topic: String
    let configuration: Producer.Configuration
    let memory: MemoryBlock
    let onAcknowledged: Producer.Acknowledgement?
    private var link: LinkHandle!
    let state: Mutex<State>

    struct State {
        var partitions: [ProducerPartition] = []
        var freeSlots: [Int]
        var byRequest: [UInt32: ProducerBatch] = [:]
        /// Batches whose fate is known and not told yet.
        var concluding: [ProducerBatch] = []
        /// Where records without a key go until that batch is full.
        var sticky = 0
        var producerID: Int64 = -1
        var producerEpoch: Int16 = 0
        var batchBytesMax = Int.max
        var inFlightMax = 1
        /// Where announcing begins in the next turn, so that partitions share what the broker lets be in flight.
        var nextPartition = 0
        /// For the connection of now; nil while there is none or it is not ready.
        var topicID: UInt32?
        var region: RemoteRegion?
        var failure: ClientError?
        /// The first error since the last flush.
        var firstError: ClientError?
        /// Something changed since the link's last turn.
        var hasNews = false
        /// A record found no memory: batches that linger are sent now.
        var isStarved = false
        var readyWaiter: CheckedContinuation<Result<Int, ClientError>, Never>?
        var spaceWaiters: [CheckedContinuation<Void, Never>] = []
    }

    init(
        topic: String, configuration: Producer.Configuration, onAcknowledged: Producer.Acknowledgement?
    ) throws(FabricError) {
        self.topic = topic
        self.configuration = configuration
        self.onAcknowledged = onAcknowledged
        let slots = configuration.bufferBytes / configuration.batchBytes
        memory = try MemoryBlock(byteCount: slots * configuration.batchBytes, name: "rdmad-batches")
        state = Mutex(State(freeSlots: Array((0..<slots).reversed())))
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

    func whenSpace(_ continuation: CheckedContinuation<Void, Never>) {
        let hasSpace = state.withLock { state in
            if !state.freeSlots.isEmpty || state.failure != nil { return true }
            state.spaceWaiters.append(continuation)
            (state.isStarved, state.hasNews) = (true, true)
            return false
        }
        if hasSpace { continuation.resume() } else { link.wake() }
    }

    /// Sends what is open and answers when all that was added before has met its fate, with the first error.
    func flush(_ continuation: CheckedContinuation<ClientError?, Never>) {
        let answer = state.withLock { state -> ClientError?? in
            for index in state.partitions.indices { seal(index, &state) }
            let batches = state.partitions.flatMap { $0.inFlight + $0.refused + $0.sealed } + state.concluding
            defer { state.firstError = nil }
            guard !batches.isEmpty else { return .some(state.firstError ?? state.failure) }
            let flush = ProducerFlush(remaining: batches.count, error: state.firstError, continuation)
            for batch in batches { batch.flushes.append(flush) }
            state.hasNews = true
            return nil
        }
        if let answer { continuation.resume(returning: answer) } else { link.wake() }
    }

    /// Adds a record to its partition's open batch. Nil: no memory now. Otherwise the partition.
    /// - Parameter waiter: Told where the record ended up; not touched unless it was added.
    func append(
        _ key: [UInt8]?, _ value: [UInt8]?, _ partition: Int?, _ timestamp: Int64?, waiter: ProducerBatch.Waiter?
    ) throws(ClientError) -> Int? {
        let outcome: Result<(place: Int?, wakes: Bool), ClientError> = state.withLock { state in
            var wakes = false
            do throws(ClientError) {
                let place = try add(key, value, partition, timestamp, waiter, &wakes, &state)
                // What the link has not seen in a turn keeps it from sleeping.
                if wakes { state.hasNews = true }
                return .success((place, wakes))
            } catch {
                return .failure(error)
            }
        }
        let (place, wakes) = try outcome.get()
        if wakes { link.wake() }
        return place
    }

    private func add(
        _ key: [UInt8]?, _ value: [UInt8]?, _ partition: Int?, _ timestamp: Int64?, _ waiter: ProducerBatch.Waiter?,
        _ wakes: inout Bool, _ state: inout State
    ) throws(ClientError) -> Int? {
        if let failure = state.failure { throw failure }
        let index = try choosePartition(key, partition, state)
        if let failure = state.partitions[index].failure { throw failure }
        while true {
            if let batch = state.partitions[index].open {
                let time = timestamp ?? (readsClockOften ? Self.wallMilliseconds() : batch.openedMilliseconds)
                if batch.builder.append(key: key, value: value, timestampMilliseconds: time) {
                    if let waiter { batch.waiters.append((batch.builder.recordCount - 1, waiter)) }
                    return index
                }
                guard batch.builder.recordCount > 0 else {
                    state.partitions[index].open = nil
                    state.freeSlots.append(batch.slot)
                    let size = (key?.count ?? 0) + (value?.count ?? 0)
                    throw ClientError(
                        .limit,
                        "a record of \(size) bytes does not fit into a batch of "
                            + "\(min(configuration.batchBytes, state.batchBytesMax)) bytes: raise batchBytes")
                }
                seal(index, &state)
                wakes = true
            }
            // Either the link must make room, or it must learn of the new batch's linger.
            wakes = true
            guard let slot = state.freeSlots.popLast() else {
                state.isStarved = true
                return nil
            }
            open(index, slot, &state)
        }
    }

    private func open(_ index: Int, _ slot: Int, _ state: inout State) {
        let start = slot * configuration.batchBytes
        let length = min(configuration.batchBytes, state.batchBytesMax)
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[start..<start + length])
        state.partitions[index].open = ProducerBatch(
            slot: slot, partition: index, builder: unsafe RecordBatchBuilder(buffer: buffer),
            created: monotonicNanoseconds(), openedMilliseconds: Self.wallMilliseconds())
    }

    private func choosePartition(_ key: [UInt8]?, _ partition: Int?, _ state: State) throws(ClientError) -> Int {
        if let partition {
            guard state.partitions.indices.contains(partition) else {
                throw ClientError(
                    .limit, "topic \(topic) has partitions 0 to \(state.partitions.count - 1), not \(partition)")
            }
            return partition
        }
        guard let key else { return state.sticky }
        return Partitioner.partition(forKey: key, count: state.partitions.count)
    }

    /// Closes the open batch of a partition: from now on only its place in the sequence counts.
    func seal(_ index: Int, _ state: inout State) {
        guard let batch = state.partitions[index].open else { return }
        state.partitions[index].open = nil
        batch.baseSequence = state.partitions[index].nextSequence
        batch.byteCount = batch.builder.seal(
            producerID: state.producerID, epoch: state.producerEpoch, baseSequence: batch.baseSequence)
        state.partitions[index].nextSequence = RecordBatchHeader.sequence(
            batch.baseSequence, advancedBy: Int32(batch.builder.recordCount))
        batch.number = state.partitions[index].nextNumber
        state.partitions[index].nextNumber += 1
        state.partitions[index].sealed.append(batch)
        if index == state.sticky { state.sticky = (index + 1) % state.partitions.count }
    }

    /// A batch is open for the linger's time at most: within a few milliseconds one reading serves all of its records.
    private var readsClockOften: Bool { configuration.lingerMilliseconds > 10 }

    private static func wallMilliseconds() -> Int64 {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}
