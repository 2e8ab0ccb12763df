internal import Compression
internal import Logging
internal import NIOCore
internal import Reactor

/// What a listener has on one event loop: connections, and commands that go to the reactor together.
// Unchecked: everything but `let`s of sendable types is used on the event loop only.
final class NetworkLoop: @unchecked Sendable {
    let index: Int
    let eventLoop: any EventLoop
    let pool: FramePool
    let queued: RequestAccount
    let queuedBatches: RequestAccount
    let unread: HeldBytes
    let kept: HeldBytes
    let limits: NetworkConfiguration
    let counters = NetworkCounters()
    let log: Logger
    let scratch = ScratchBuffer()
    /// Nil unless each record is to be looked at.
    let inspector: RecordInspector?
    private(set) var connections: [UInt64: KafkaConnection] = [:]
    /// The time of the last tick: good enough for deadlines of seconds, and read for nothing.
    private(set) var now = NIODeadline.now()
    private let queue: CommandQueue
    private let throttle: LogThrottle
    private var commands: [KafkaCommand] = []
    private var answered: [KafkaConnection] = []
    private var ticking: RepeatedTask?
    private(set) var isStopped = false

    init(
        index: Int, eventLoop: any EventLoop, resources: NetworkResources, queue: CommandQueue, throttle: LogThrottle,
        log: Logger
    ) {
        self.index = index
        self.eventLoop = eventLoop
        pool = resources.pool
        queued = resources.queued
        queuedBatches = resources.queuedBatches
        unread = resources.unread
        kept = resources.kept
        limits = resources.configuration
        inspector = limits.inspectsRecords ? RecordInspector() : nil
        self.queue = queue
        self.throttle = throttle
        self.log = log
    }

    /// Begins to look at the clock.
    func start() {
        let shortest = min(
            limits.connectionsMaxIdleMilliseconds, limits.requestTimeoutMilliseconds,
            limits.authenticationTimeoutMilliseconds)
        let period = TimeAmount.milliseconds(min(1000, max(10, shortest / 4)))
        eventLoop.execute {
            self.ticking = self.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { [weak self] _ in
                self?.tick()
            }
        }
    }

    /// Ends all connections.
    /// - Returns: when the last has ended.
    func stop() -> EventLoopFuture<Void> {
        eventLoop.flatSubmit {
            self.isStopped = true
            self.ticking?.cancel()
            let closed = self.connections.values.compactMap { $0.context?.channel.closeFuture }
            for connection in Array(self.connections.values) { connection.close() }
            return .andAllComplete(closed, on: self.eventLoop)
        }
    }

    func remember(_ connection: KafkaConnection) {
        connections[connection.number] = connection
        counters.connectionsAccepted.count()
    }

    func forget(_ connection: KafkaConnection) { connections[connection.number] = nil }

    // MARK: To the reactor

    func add(_ command: KafkaCommand) { commands.append(command) }

    /// Hands over what was added since the last time.
    func handOver() {
        guard !commands.isEmpty else { return }
        queue.add(commands)
        commands.removeAll(keepingCapacity: true)
    }

    // MARK: From the reactor, and from the pool

    func take(_ answers: [KafkaAnswer]) {
        for answer in answers {
            guard let connection = connections[answer.connection] else { continue }
            connection.take(answer)
            // Mostly there is one answer after the other for a connection.
            if answered.last !== connection { answered.append(connection) }
        }
        for connection in answered { connection.settle() }
        answered.removeAll(keepingCapacity: true)
    }

    func memoryIsThere(_ memory: FrameMemory, for number: UInt64) {
        guard let connection = connections[number] else { return pool.giveBack(memory) }
        connection.begin(memory)
        connection.settle()
    }

    func roomIsThere(for number: UInt64, _ lane: RequestLane) { connections[number]?.roomIsThere(lane) }

    // MARK: Rest

    func say(_ message: Logger.Message, _ metadata: @autoclosure () -> Logger.Metadata) {
        throttle.log(log, .warning, now: Clock.monotonicNanoseconds(), message, metadata())
    }

    private func tick() {
        now = .now()
        for connection in connections.values where !connection.isClosing { connection.checkTime(limits) }
    }
}
