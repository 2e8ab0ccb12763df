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
    private let memory: MemoryBlock
    private let onAcknowledged: Producer.Acknowledgement?
    private var link: LinkHandle!
    let state: Mutex<State>

    struct State {
        var partitions: [ProducerPartition] = []
        var freeSlots: [Int]
        var byRequest: [UInt32: ProducerBatch] = [:]
        /// Batches that exist: open, sealed, announced or refused.
        var outstanding = 0
        /// Where records without a key go until that batch is full.
        var sticky = 0
        var producerID: Int64 = -1
        var producerEpoch: Int16 = 0
        var batchBytesMax = Int.max
        var inFlightMax = 1
        /// For the connection of now; nil while there is none or it is not ready.
        var topicID: UInt32?
        var region: RemoteRegion?
        var failure: ClientError?
        var firstError: ClientError?
        var readyWaiter: CheckedContinuation<Result<Int, ClientError>, Never>?
        var spaceWaiters: [CheckedContinuation<Void, Never>] = []
        var flushWaiters: [CheckedContinuation<ClientError?, Never>] = []
        var isFlushing: Bool { !flushWaiters.isEmpty }
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
            return false
        }
        if hasSpace { continuation.resume() } else { link.wake() }
    }

    func flush(_ continuation: CheckedContinuation<ClientError?, Never>) {
        let isDone = state.withLock { state -> ClientError?? in
            guard state.outstanding > 0, state.failure == nil else {
                defer { state.firstError = nil }
                return .some(state.firstError ?? state.failure)
            }
            state.flushWaiters.append(continuation)
            return nil
        }
        if let isDone { continuation.resume(returning: isDone) } else { link.wake() }
    }

    /// Adds a record to its partition's open batch. Nil: no memory now. Otherwise the partition.
    func append(
        _ key: [UInt8]?, _ value: [UInt8]?, _ partition: Int?, _ timestamp: Int64?,
        waiter: CheckedContinuation<Result<Int64, ClientError>, Never>?
    ) throws(ClientError) -> Int? {
        let outcome: Result<(place: Int?, wakes: Bool), ClientError> = state.withLock { state in
            do throws(ClientError) { return .success(try add(key, value, partition, timestamp, waiter, &state)) } catch {
                return .failure(error)
            }
        }
        let (place, wakes) = try outcome.get()
        if wakes { link.wake() }
        return place
    }

    private func add(
        _ key: [UInt8]?, _ value: [UInt8]?, _ partition: Int?, _ timestamp: Int64?,
        _ waiter: CheckedContinuation<Result<Int64, ClientError>, Never>?, _ state: inout State
    ) throws(ClientError) -> (place: Int?, wakes: Bool) {
        if let failure = state.failure { throw failure }
        let index = try choosePartition(key, partition, state)
        if let failure = state.partitions[index].failure { throw failure }
        var wakes = false
        while true {
            if let batch = state.partitions[index].open {
                let time = timestamp ?? (readsClockOften ? Self.wallMilliseconds() : batch.openedMilliseconds)
                if batch.builder.append(key: key, value: value, timestampMilliseconds: time) {
                    if let waiter { batch.waiters.append((batch.builder.recordCount - 1, waiter)) }
                    return (index, wakes)
                }
                guard batch.builder.recordCount > 0 else {
                    state.partitions[index].open = nil
                    state.freeSlots.append(batch.slot)
                    state.outstanding -= 1
                    let size = (key?.count ?? 0) + (value?.count ?? 0)
                    throw ClientError(
                        .limit, "a record of \(size) bytes does not fit into a batch of \(configuration.batchBytes) bytes: "
                            + "raise batchBytes")
                }
                seal(index, &state)
                wakes = true
            }
            guard let slot = state.freeSlots.popLast() else { return (nil, true) }
            let start = slot * configuration.batchBytes
            let length = min(configuration.batchBytes, state.batchBytesMax)
            let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[start..<start + length])
            state.partitions[index].open = ProducerBatch(
                slot: slot, partition: index, builder: unsafe RecordBatchBuilder(buffer: buffer),
                created: monotonicNanoseconds(), openedMilliseconds: Self.wallMilliseconds())
            state.outstanding += 1
            // The link must learn of the linger's deadline.
            wakes = true
        }
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
    private func seal(_ index: Int, _ state: inout State) {
        guard let batch = state.partitions[index].open else { return }
        state.partitions[index].open = nil
        batch.baseSequence = state.partitions[index].nextSequence
        batch.byteCount = batch.builder.seal(
            producerID: state.producerID, epoch: state.producerEpoch, baseSequence: batch.baseSequence)
        state.partitions[index].nextSequence = RecordBatchHeader.sequence(
            batch.baseSequence, advancedBy: Int32(batch.builder.recordCount))
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

// MARK: - On the link's thread

extension ProducerAgent {
    func makeRegions() -> [(memory: MemoryBlock, access: PeerAccess)] { [(memory, .read)] }

    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {
        state.withLock { state in
            state.batchBytesMax = welcome.batchBytesMax
            state.inFlightMax = welcome.producesInFlightMax
            state.region = regions[0]
        }
        if state.withLock({ $0.producerID }) < 0 {
            link.ask(.allocateProducerID) { [self] result in
                do throws(ClientError) {
                    let (id, epoch) = try parseBody(try result.get()) { reader throws(FrameError) in
                        (try reader.integer(Int64.self), try reader.integer(Int16.self))
                    }
                    state.withLock { ($0.producerID, $0.producerEpoch) = (id, epoch) }
                    describe(link)
                } catch {
                    if error.code != .connection { link.fail(error) }
                }
            }
        } else {
            describe(link)
        }
    }

    private func describe(_ link: any LinkPort) {
        link.ask(.describeTopic(name: topic, firstPartition: 0)) { [self] result in
            do throws(ClientError) {
                let topic = try parseBody(try result.get()) { reader throws(FrameError) in try TopicDescription(from: &reader) }
                let count = Int(topic.partitionCount)
                let ready = state.withLock { state in
                    if state.partitions.isEmpty {
                        state.partitions = Array(repeating: ProducerPartition(), count: count)
                        state.sticky = Int.random(in: 0..<count)
                    }
                    state.topicID = topic.topicID
                    defer { state.readyWaiter = nil }
                    return state.readyWaiter
                }
                ready?.resume(returning: .success(count))
            } catch {
                // A lost connection is made again; a missing topic is not.
                if error.code != .connection { link.fail(error) }
            }
        }
    }

    var hasWork: Bool {
        state.withLock { state in
            guard state.topicID != nil else { return false }
            return state.isFlushing && state.partitions.contains { $0.open != nil }
        }
    }

    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
        var expired: [ProducerBatch] = []
        let next = state.withLock { state -> UInt64? in
            guard let topicID = state.topicID, let region = state.region else { return nil }
            let linger = UInt64(max(configuration.lingerMilliseconds, 0)) * 1_000_000
            let isHurried = state.isFlushing || (state.freeSlots.isEmpty && !state.spaceWaiters.isEmpty)
            var next: UInt64?
            func at(_ time: UInt64) { next = min(next ?? .max, time) }
            for index in state.partitions.indices {
                if let open = state.partitions[index].open {
                    if isHurried || now >= open.created + linger { seal(index, &state) } else { at(open.created + linger) }
                }
                expired += expire(index, now, &state)
                if !state.partitions[index].refused.isEmpty, state.partitions[index].inFlight.isEmpty {
                    if now < state.partitions[index].retryAt { at(state.partitions[index].retryAt) } else {
                        let refused = state.partitions[index].refused
                        state.partitions[index].refused = []
                        state.partitions[index].sealed.insert(contentsOf: refused, at: 0)
                    }
                }
                if state.partitions[index].refused.isEmpty { announce(index, link, topicID, region, &state) }
            }
            return next
        }
        for batch in expired {
            let why = ClientError(.timeout, "a batch for \(topic) could not be delivered in "
                + "\(configuration.deliveryTimeoutSeconds) s; it may or may not be in the log")
            conclude(batch, .failure(why))
        }
        return next
    }

    /// Takes batches out that have waited too long, with everything behind them: a gap can never be closed.
    private func expire(_ index: Int, _ now: UInt64, _ state: inout State) -> [ProducerBatch] {
        let limit = UInt64(configuration.deliveryTimeoutSeconds * 1e9)
        let partition = state.partitions[index]
        guard let oldest = partition.refused.first ?? partition.sealed.first, partition.inFlight.isEmpty,
            now >= oldest.created + limit
        else { return [] }
        let all = partition.refused + partition.sealed
        state.partitions[index].refused = []
        state.partitions[index].sealed = []
        state.partitions[index].failure = ClientError(.timeout, "partition \(index) of \(topic) gave up after a time-out")
        return all
    }

    private func announce(
        _ index: Int, _ link: any LinkPort, _ topicID: UInt32, _ region: RemoteRegion, _ state: inout State
    ) {
        let address = PartitionAddress(topicID: topicID, partition: UInt32(index))
        let eagerMax = min(configuration.eagerBytesMax, link.messageBytesMax - FrameLimits.eagerHeaderBytes)
        var sent = 0
        for batch in state.partitions[index].sealed {
            guard state.partitions[index].inFlight.count < configuration.batchesInFlightMax,
                state.byRequest.count < state.inFlightMax
            else { break }
            let start = batch.slot * configuration.batchBytes
            let id = link.nextRequestID()
            let request: Request =
                if batch.byteCount <= eagerMax {
                    unsafe .produceEager(
                        address, batch: .init(rebasing: memory.bytes[start..<start + batch.byteCount]))
                } else {
                    .produce(
                        address, byteCount: UInt32(batch.byteCount), key: region.key,
                        address: region.address + UInt64(start))
                }
            guard link.post(request, id: id) == .posted else { break }
            state.byRequest[id] = batch
            state.partitions[index].inFlight.append(batch)
            sent += 1
        }
        state.partitions[index].sealed.removeFirst(sent)
    }

    func received(_ acks: [ProduceAck]) {
        for ack in acks {
            let done: (ProducerBatch, Result<Int64, ClientError>)? = state.withLock { state in
                guard let batch = state.byRequest.removeValue(forKey: ack.requestID) else { return nil }
                let index = batch.partition
                state.partitions[index].inFlight.removeAll { $0 === batch }
                if ack.error == .none { return (batch, .success(ack.baseOffset)) }
                // Behind a refused batch the next ones are out of order: not their fault.
                let isFollower = ack.error == .outOfOrderSequence && !state.partitions[index].refused.isEmpty
                if ack.error.isRetriable || isFollower {
                    state.partitions[index].refused.append(batch)
                    state.partitions[index].refused.sort { $0.created < $1.created }
                    state.partitions[index].retryAt = monotonicNanoseconds() + 100_000_000
                    return nil
                }
                let why = ClientError.refused("produce to \(topic) partition \(index)", ack.error, "")
                state.partitions[index].failure = why
                return (batch, .failure(why))
            }
            if let (batch, result) = done { conclude(batch, result) }
        }
        failFollowers()
    }

    /// Batches behind one that failed for good fail too.
    private func failFollowers() {
        let lost = state.withLock { state in
            var lost: [ProducerBatch] = []
            for index in state.partitions.indices where state.partitions[index].failure != nil {
                lost += state.partitions[index].refused + state.partitions[index].sealed
                if let open = state.partitions[index].open { lost.append(open) }
                state.partitions[index].refused = []
                state.partitions[index].sealed = []
                state.partitions[index].open = nil
            }
            return lost.map { ($0, state.partitions[$0.partition].failure!) }
        }
        for (batch, why) in lost { conclude(batch, .failure(why)) }
    }

    /// A batch's fate is known: tells everybody, and frees its memory.
    private func conclude(_ batch: ProducerBatch, _ result: Result<Int64, ClientError>) {
        let count = batch.builder.recordCount
        switch result {
        case .success(let base): onAcknowledged?(batch.partition, base, count, nil)
        case .failure(let error): onAcknowledged?(batch.partition, -1, count, error)
        }
        for (index, continuation) in batch.waiters {
            continuation.resume(returning: result.map { $0 + Int64(index) })
        }
        typealias Waiters = (
            space: [CheckedContinuation<Void, Never>], flushed: [CheckedContinuation<ClientError?, Never>],
            error: ClientError?
        )
        let (space, flushed, error) = state.withLock { state -> Waiters in
            state.freeSlots.append(batch.slot)
            state.outstanding -= 1
            if case .failure(let error) = result { state.firstError = state.firstError ?? error }
            let space = state.spaceWaiters
            state.spaceWaiters = []
            guard state.outstanding == 0 else { return (space, [], nil) }
            defer { (state.flushWaiters, state.firstError) = ([], state.flushWaiters.isEmpty ? state.firstError : nil) }
            return (space, state.flushWaiters, state.firstError)
        }
        for continuation in space { continuation.resume() }
        for continuation in flushed { continuation.resume(returning: error) }
    }

    func disconnected() {
        state.withLock { state in
            state.topicID = nil
            state.region = nil
            state.byRequest = [:]
            for index in state.partitions.indices {
                // Unanswered ones first: they stand earlier in the sequence than what was never announced.
                var again = state.partitions[index].inFlight + state.partitions[index].refused
                again.sort { $0.created < $1.created }
                state.partitions[index].inFlight = []
                state.partitions[index].refused = []
                state.partitions[index].sealed.insert(contentsOf: again, at: 0)
            }
        }
    }

    func failed(_ error: ClientError) {
        let (ready, batches) = state.withLock { state in
            state.failure = error
            var batches: [ProducerBatch] = []
            for index in state.partitions.indices {
                let partition = state.partitions[index]
                batches += partition.inFlight + partition.refused + partition.sealed
                if let open = partition.open { batches.append(open) }
                state.partitions[index] = ProducerPartition()
            }
            state.byRequest = [:]
            defer { state.readyWaiter = nil }
            return (state.readyWaiter, batches)
        }
        ready?.resume(returning: .failure(error))
        for batch in batches { conclude(batch, .failure(error)) }
        let space = state.withLock { state in
            defer { state.spaceWaiters = [] }
            return state.spaceWaiters
        }
        let flushes = state.withLock { state in
            defer { state.flushWaiters = [] }
            return state.flushWaiters
        }
        for continuation in space { continuation.resume() }
        for continuation in flushes { continuation.resume(returning: error) }
    }

    func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64) {}
    func advanced(_ immediate: UInt32) {}
}
