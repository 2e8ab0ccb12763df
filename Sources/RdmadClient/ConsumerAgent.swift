internal import CLinux
internal import Glibc
internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// The consumer's state, shared by the reader's thread and the link's, under one lock.
final class ConsumerAgent: LinkAgent, @unchecked Sendable {
    // Unchecked: every mutable property is inside `state`, but for `link`, set once before any other call, and the
    // ring of the connection of now, which only the link's thread uses.
    let topic: String
    private let wanted: [Int]?
    private let start: Consumer.Position
    private let configuration: Consumer.Configuration
    private var link: LinkHandle!
    private var ring: ConsumerRing?
    private let decompressors: DecompressorPool
    /// When the broker got credit last.
    private var creditedAt: UInt64 = 0
    private let available = clinux_eventfd()
    private let state = Mutex(State())

    private struct State {
        var queue: [ConsumedBatches] = []
        /// Offset of the next record to hand out, by partition.
        var next: [Int: Int64] = [:]
        var topicID: UInt32?
        var failure: ClientError?
        var isClosed = false
        var readyWaiter: CheckedContinuation<Result<[Int], ClientError>, Never>?
        var isReady = false
        var waiter: CheckedContinuation<Result<ConsumedBatches?, ClientError>, Never>?
        var isPolling = false
    }

    init(topic: String, wanted: [Int]?, from start: Consumer.Position, configuration: Consumer.Configuration) {
        self.topic = topic
        self.wanted = wanted
        self.start = start
        self.configuration = configuration
        decompressors = DecompressorPool(bytesMax: configuration.decompressedBytesMax)
    }

    deinit { Glibc.close(available) }

    func attach(_ link: LinkHandle) { self.link = link }

    // MARK: From the reader's thread

    func whenReady(_ continuation: CheckedContinuation<Result<[Int], ClientError>, Never>) {
        let now: Result<[Int], ClientError>? = state.withLock { state in
            if let failure = state.failure { return .failure(failure) }
            if state.isReady { return .success(state.next.keys.sorted()) }
            state.readyWaiter = continuation
            return nil
        }
        if let now { continuation.resume(returning: now) }
    }

    private func take(_ state: inout State) -> Result<ConsumedBatches?, ClientError>? {
        if !state.queue.isEmpty { return .success(state.queue.removeFirst()) }
        if state.isClosed { return .success(nil) }
        return state.failure.map { .failure($0) }
    }

    func whenAvailable(_ continuation: CheckedContinuation<Result<ConsumedBatches?, ClientError>, Never>) {
        let now = state.withLock { state in
            let now = take(&state)
            precondition(state.waiter == nil, "one reader at a time")
            if now == nil { state.waiter = continuation }
            return now
        }
        if let now { continuation.resume(returning: now) }
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
        let deadline = monotonicNanoseconds() + LinkPatience.nanoseconds(Double(timeoutMilliseconds) / 1000)
        while true {
            let now = state.withLock { state in
                let now = take(&state)
                state.isPolling = now == nil
                return now
            }
            if let now { return try now.get() }
            let time = monotonicNanoseconds()
            guard time < deadline else { return nil }
            var entry = pollfd(fd: available, events: Int16(POLLIN), revents: 0)
            _ = unsafe Glibc.poll(&entry, 1, Int32(clamping: (deadline - time) / 1_000_000 + 1))
            var count: UInt64 = 0
            _ = unsafe read(available, &count, 8)
        }
    }

    // MARK: On the link's thread

    func makeRegions() throws -> [(memory: MemoryBlock, access: PeerAccess)] {
        let ring = try ConsumerRing(byteCount: configuration.ringBytes)
        self.ring = ring
        creditedAt = 0
        return [(ring.memory, .write)]
    }

    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {
        let region = regions[0]
        link.ask(.openRing(key: region.key, address: region.address, byteCount: region.byteCount)) { [self] result in
            guard succeeded(result, link) else { return }
            link.ask(.describeTopic(name: topic, firstPartition: 0)) { [self] result in
                do throws(ClientError) {
                    subscribe(
                        link,
                        try parseBody(try result.get()) { reader throws(FrameError) in
                            try TopicDescription(from: &reader)
                        })
                } catch {
                    if error.code != .connection { link.fail(error) }
                }
            }
        }
    }

    private func succeeded(_ result: Result<[UInt8], ClientError>, _ link: any LinkPort) -> Bool {
        guard case .failure(let error) = result else { return true }
        if error.code != .connection { link.fail(error) }
        return false
    }

    private func subscribe(_ link: any LinkPort, _ topic: TopicDescription) {
        let count = Int(topic.partitionCount)
        let partitions = wanted ?? Array(0..<count)
        if let wrong = partitions.first(where: { !(0..<count).contains($0) }) {
            return link.fail(ClientError(.limit, "topic \(self.topic) has partitions 0 to \(count - 1), not \(wrong)"))
        }
        var left = partitions.count
        state.withLock { $0.topicID = topic.topicID }
        for partition in partitions {
            let known = state.withLock { $0.next[partition] }
            let offset: Int64 =
                switch start {
                case .earliest: -2
                case .latest: -1
                case .offset(let offset): offset
                }
            let address = PartitionAddress(topicID: topic.topicID, partition: UInt32(partition))
            link.ask(.subscribe(address, offset: known ?? offset)) { [self] result in
                do throws(ClientError) {
                    let start = try parseBody(try result.get()) { reader throws(FrameError) in
                        try reader.integer(Int64.self)
                    }
                    left -= 1
                    let ready = state.withLock { state in
                        if state.next[partition] == nil { state.next[partition] = start }
                        guard left == 0 else { return nil as CheckedContinuation<Result<[Int], ClientError>, Never>? }
                        state.isReady = true
                        defer { state.readyWaiter = nil }
                        return state.readyWaiter
                    }
                    ready?.resume(returning: .success(partitions))
                } catch {
                    if error.code != .connection { link.fail(error) }
                }
            }
        }
    }

    func advanced(_ immediate: UInt32) {
        guard let ring else { return }
        do throws(FrameError) {
            for (entry, start, _) in try ring.advance(immediate) { hand(entry, at: start, ring) }
        } catch {
            failed(ClientError(.protocolViolation, "the broker wrote a malformed ring: \(error)"))
        }
    }

    private func hand(_ entry: RingEntry, at position: UInt64, _ ring: ConsumerRing) {
        let partition = Int(entry.partition.partition)
        // Entries may overtake the answer to the subscription, which says where it begins.
        let asked = if case .offset(let offset) = start { offset } else { entry.firstOffset }
        let first = state.withLock { state -> Int64 in
            let first = max(state.next[partition] ?? asked, entry.firstOffset)
            state.next[partition] = entry.nextOffset
            return first
        }
        let batches = ConsumedBatches(
            topic: topic, entry: entry, start: position, firstOffset: first, ring: ring,
            decompressors: decompressors, onRelease: { [link] in link?.wake() })
        if configuration.checksCRCs {
            do throws(ClientError) { try batches.verify() } catch { return failed(error) }
        }
        typealias Waiter = CheckedContinuation<Result<ConsumedBatches?, ClientError>, Never>
        let (waiter, isPolling) = state.withLock { state -> (Waiter?, Bool) in
            guard let waiter = state.waiter else {
                state.queue.append(batches)
                return (nil, state.isPolling)
            }
            state.waiter = nil
            return (waiter, false)
        }
        // Not under the lock, which the one who wakes up wants.
        if isPolling { signal() }
        waiter?.resume(returning: .success(batches))
    }

    private func signal() {
        var one: UInt64 = 1
        _ = unsafe write(available, &one, 8)
    }

    /// Credit goes back once an eighth of the ring has been released. What is less may be what the next batch needs, but
    /// nobody is woken for it: it goes back after a while, or with the next batch.
    func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
        guard let ring else { return nil }
        if let position = ring.credit(isLate: now >= creditedAt + Self.creditNanoseconds),
            link.post(.ringCredit(position: position), id: 0) == .posted
        {
            ring.didCredit(position)
            creditedAt = now
        }
        return ring.owesCredit ? max(creditedAt, now) + Self.creditNanoseconds : nil
    }

    private static var creditNanoseconds: UInt64 { 5_000_000 }

    var hasWork: Bool { ring?.credit(isLate: false) != nil }

    func received(_ acks: [ProduceAck]) {}

    func disconnected() {
        ring = nil
        state.withLock { $0.topicID = nil }
    }

    func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64) {
        let name = "\(topic) partition \(partition.partition)"
        let why: ClientError =
            switch error {
            case .messageTooLarge:
                ClientError(.limit, "a batch of \(name) is larger than the ring: raise ringBytes", broker: error)
            case .corruptMessage:
                ClientError(
                    .broker, "the log of \(name) is damaged at offset \(offset): see the broker's log", broker: error)
            case .unknownTopicOrPartition: ClientError(.broker, "\(name) was deleted", broker: error)
            default: .refused(name, error, "reading ended at offset \(offset)")
            }
        failed(why)
    }

    func failed(_ error: ClientError) {
        let (ready, waiter) = state.withLock { state in
            if error.code == .closed { state.isClosed = true } else { state.failure = state.failure ?? error }
            defer { (state.readyWaiter, state.waiter) = (nil, nil) }
            if state.isPolling { signal() }
            return (state.readyWaiter, state.waiter)
        }
        ready?.resume(returning: .failure(error))
        waiter?.resume(returning: error.code == .closed ? .success(nil) : .failure(error))
    }
}
