internal import BrokerCore
internal import KafkaProtocol
internal import Logging
internal import Reactor
internal import TopicLog
internal import TopicProtocol

/// Kafka clients, on the reactor: takes requests that event loops have read, and hands back answers for them to send.
///
/// One file for each area; ``serve(_:_:)`` says which function takes which request.
/// - Threading: the reactor's.
final class KafkaDoor: KafkaListening {
    let broker: Broker
    /// The door's number, which the broker uses to address it.
    let number: Int
    let options: KafkaDoorOptions
    let log: Logger
    private let queue: CommandQueue
    private let sink: any AnswerSink

    var connections: [UInt64: DoorConnection] = [:]
    /// Nanoseconds of the monotonic clock at the turn's start.
    var now: UInt64 = 0
    /// Those taken from the queue and not served yet. Kept for its memory.
    private var commands: [KafkaCommand] = []
    /// How long requests are served until the other doors have their turn: one for all topics of a large broker takes
    /// a tenth of a second.
    var turnNanosecondsMax: UInt64 = 5_000_000
    /// Those with requests that took longer, in the order of their turns.
    var unfinished: [DoorConnection] = []
    /// How long this turn's requests took that may be served in pieces.
    var pieceNanoseconds: UInt64 = 0
    /// That of the request that is being served.
    var share: RequestShare?
    /// Whatever came in before was served: what has come is taken from the queue together.
    private(set) var heardUntil: UInt64 = 0
    private var takenAt: UInt64 = 0
    /// Answers of this turn, by event loop.
    private var outbox: [[KafkaAnswer]] = []
    /// Memory of batches staged in this turn.
    var stagedFrames: [ReceivedFrame] = []
    /// Produce requests whose batches are not all acknowledged; nil where there is room for another.
    var produces: [PendingProduce?] = []
    var freeProduces: [Int] = []
    /// Who reads a partition, or did.
    var readers: [PartitionAddress: ReaderList] = [:]
    /// Those that connections remember.
    var readerCount = 0
    /// When it was last said of a partition that it cannot be read.
    var unreadableSaidAt: [PartitionAddress: UInt64] = [:]
    var parkedFetches = DeadlineHeap()
    var lastParked: UInt64 = 0
    var lastSession: Int32 = 0
    /// Memory of all sessions.
    var sessionBytes = 0
    /// Connections whose parked fetch is to be looked at.
    var touched: [DoorConnection] = []
    /// What goes on when the broker has answered, by the number that it was asked under.
    private var afterChange: [UInt64: (TopicChange.Result) -> Void] = [:]
    private var afterGroup: [UInt64: (GroupAnswer) -> Void] = [:]
    private var afterTransaction: [UInt64: (TransactionAnswer) -> Void] = [:]
    private var lastToken: UInt64 = 0
    var counters = KafkaDoorCounters()

    init(
        broker: Broker, number: Int, options: KafkaDoorOptions, queue: CommandQueue, sink: any AnswerSink, log: Logger
    ) {
        self.broker = broker
        self.number = number
        self.options = options
        self.queue = queue
        self.sink = sink
        self.log = log
    }

    // MARK: Door

    var address: String { options.address }
    var advertised: String { "\(options.advertisedHost):\(options.advertisedPort)" }
    var pollDescriptor: Int32 { queue.descriptor }
    var wakeDescriptor: Int32 { -1 }
    var nextDeadline: UInt64? { parkedFetches.first }
    func prepareToSleep() -> Bool { commands.isEmpty && unfinished.isEmpty && queue.prepareToSleep() }
    func filesWereDeleted() {}

    func poll(now: UInt64) -> Int {
        self.now = now
        goOnWithUnfinished()
        pieceNanoseconds = 0
        if commands.isEmpty {
            takenAt = now
            queue.take(into: &commands)
        }
        let count = serveCommands()
        if commands.isEmpty { heardUntil = queue.heardUntil(takenAt: takenAt) }
        answerOverdueFetches()
        // Loops send while the reactor writes.
        sendAnswers()
        return count
    }

    func batchesWritten(_ appended: [AppendedBatch]) { stagedFrames.removeAll(keepingCapacity: true) }

    func answer(_ answers: [GroupAnswer]) {
        for answer in answers { afterGroup.removeValue(forKey: answer.origin.session)?(answer) }
    }

    func answer(_ answers: [TransactionAnswer]) {
        for answer in answers { afterTransaction.removeValue(forKey: answer.origin.session)?(answer) }
    }

    func answer(_ answers: [(origin: ProduceOrigin, result: TopicChange.Result)]) {
        for (origin, result) in answers { afterChange.removeValue(forKey: origin.session)?(result) }
    }

    func deliver(_ acks: [(origin: ProduceOrigin, ack: ProduceAck)], readable: [Partition]) -> Bool {
        for (origin, ack) in acks { acknowledge(origin, ack) }
        for partition in readable { touchReaders(of: partition) }
        answerTouchedFetches()
        sendAnswers()
        return !touched.isEmpty
    }

    func lookAtAllSubscriptions() {
        for connection in connections.values { touchAll(of: connection) }
        forgetDeletedPartitions()
    }

    func shutdown() { sink.shutdown() }

    var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["on": "\(address)"]
        for (name, count) in counters.all + sink.counters { metadata[name] = "\(count)" }
        return metadata
    }

    // MARK: Commands

    /// In order, for a while. Returns how many.
    private func serveCommands() -> Int {
        var (count, begin) = (0, (time: UInt64, pieces: UInt64)?.none)
        var fetchTime = FetchTime(since: counters.partitionsLookedAt)
        for command in commands {
            // What is produced and fetched is quick, and most: hardly a clock is read for it.
            guard case .request = command.body else {
                take(command)
                count += 1
                if fetchTime.isOver(counters.partitionsLookedAt, nanosecondsMax: turnNanosecondsMax) { break }
                continue
            }
            let start = begin ?? (Clock.monotonicNanoseconds(), pieceNanoseconds)
            begin = start
            take(command)
            count += 1
            // Where pieces have had their time, those behind only queue up: what is quick need not wait for them.
            let pieces = min(pieceNanoseconds - start.pieces, turnNanosecondsMax)
            let taken = Clock.monotonicNanoseconds() - start.time - pieces
            if count < commands.count, taken >= turnNanosecondsMax { break }
        }
        // At once: they hold the memory of their frames.
        if count == commands.count { commands.removeAll(keepingCapacity: true) } else { commands.removeFirst(count) }
        return count
    }

    private func take(_ command: KafkaCommand) {
        if case .opened(let peer) = command.body {
            connections[command.connection] = DoorConnection(id: command.connection, peer: peer)
            counters.connections += 1
            return
        }
        guard let connection = connections[command.connection] else { return }
        func call(_ clientID: String) -> KafkaCall {
            KafkaCall(
                connection: connection, number: command.number, version: command.version, clientID: clientID)
        }
        share = command.share
        defer { share = nil }
        switch command.body {
        case .opened: break
        case .closed: forget(connection)
        case .produce(let request, let clientID, let batches, let memory):
            produce(request, batches, memory, call(clientID))
        case .fetch(let request, let clientID): takeFetch(request, call(clientID))
        case .request(let request, let clientID): serve(request, call(clientID))
        }
    }

    private func forget(_ connection: DoorConnection) {
        connections[connection.id] = nil
        connection.parked = nil
        connection.unfinished = []
        dropReaders(of: connection)
        endSession(of: connection)
    }

    private func serve(_ request: any KafkaRequest & Sendable, _ call: KafkaCall) {
        counters.requests += 1
        switch request {
        case let request as MetadataRequest: metadata(request, call)
        case let request as FindCoordinatorRequest: findCoordinator(request, call)
        case let request as DescribeClusterRequest: describeCluster(request, call)
        case let request as ListOffsetsRequest: listOffsets(request, call)
        case let request as OffsetForLeaderEpochRequest: offsetsForLeaderEpochs(request, call)
        case let request as InitProducerIdRequest: initProducerId(request, call)
        case let request as JoinGroupRequest: joinGroup(request, call)
        case let request as SyncGroupRequest: syncGroup(request, call)
        case let request as HeartbeatRequest: heartbeat(request, call)
        case let request as LeaveGroupRequest: leaveGroup(request, call)
        case let request as OffsetCommitRequest: offsetCommit(request, call)
        case let request as OffsetFetchRequest: offsetFetch(request, call)
        case let request as OffsetDeleteRequest: offsetDelete(request, call)
        case let request as ConsumerGroupHeartbeatRequest: consumerGroupHeartbeat(request, call)
        case let request as ConsumerGroupDescribeRequest: consumerGroupDescribe(request, call)
        case let request as DescribeGroupsRequest: describeGroups(request, call)
        case let request as ListGroupsRequest: listGroups(request, call)
        case let request as DeleteGroupsRequest: deleteGroups(request, call)
        case let request as CreateTopicsRequest: createTopics(request, call)
        case let request as DeleteTopicsRequest: deleteTopics(request, call)
        case let request as CreatePartitionsRequest: createPartitions(request, call)
        case let request as DeleteRecordsRequest: deleteRecords(request, call)
        case let request as DescribeConfigsRequest: describeConfigs(request, call)
        case let request as AlterConfigsRequest: alterConfigs(request, call)
        case let request as IncrementalAlterConfigsRequest: incrementalAlterConfigs(request, call)
        case let request as DescribeLogDirsRequest: describeLogDirs(request, call)
        case let request as DescribeAclsRequest: describeAcls(request, call)
        case let request as CreateAclsRequest: createAcls(request, call)
        case let request as DeleteAclsRequest: deleteAcls(request, call)
        case let request as AddPartitionsToTxnRequest: addPartitions(request, call)
        case let request as AddOffsetsToTxnRequest: addOffsets(request, call)
        case let request as EndTxnRequest: endTransaction(request, call)
        case let request as TxnOffsetCommitRequest: commitTransactionOffsets(request, call)
        case let request as WriteTxnMarkersRequest: writeMarkers(request, call)
        case let request as DescribeTransactionsRequest: describeTransactions(request, call)
        case let request as ListTransactionsRequest: listTransactions(request, call)
        case let request as DescribeProducersRequest: describeProducers(request, call)
        default:
            close(call, "\(type(of: request).apiKey.name) is not served")
        }
    }

    // MARK: Answers

    func answer(_ call: KafkaCall, _ response: any KafkaResponse & Sendable) {
        send(call.connection, call.number, .response(response))
    }

    /// Ends the connection.
    func close(_ call: KafkaCall, _ why: String) { send(call.connection, call.number, .close(why)) }

    /// Puts an answer with the others of the turn. To a connection that is gone nothing is sent.
    func send(
        _ connection: DoorConnection, _ number: UInt32, _ body: KafkaAnswer.Body, throttleMilliseconds: UInt32 = 0
    ) {
        guard connections[connection.id] != nil else { return }
        let loop = connection.peer.loop
        while outbox.count <= loop { outbox.append([]) }
        outbox[loop].append(
            KafkaAnswer(
                connection: connection.id, number: number, body: body, throttleMilliseconds: throttleMilliseconds))
    }

    private func sendAnswers() {
        for loop in outbox.indices where !outbox[loop].isEmpty {
            sink.deliver(outbox[loop], toLoop: loop)
            outbox[loop] = []
        }
    }

    // MARK: What the broker answers later

    /// Has topics changed; `then` is called once, in a later turn.
    func change(_ change: TopicChange, then: @escaping (TopicChange.Result) -> Void) {
        let origin = nextOrigin()
        // It may be as long as any, and waits for the disk.
        afterChange[origin.session] = { [share] result in withExtendedLifetime(share) { then(result) } }
        broker.stage(change, origin)
    }

    /// Asks about groups; `then` is called once, in this turn or later.
    func ask(_ request: GroupRequest, _ call: KafkaCall, then: @escaping (GroupAnswer) -> Void) {
        ask(then: then) { [self] origin in
            broker.handle(request, from: origin, host: call.connection.peer.host, now: now)
        }
    }

    /// Asks what a group answers.
    func ask(then: @escaping (GroupAnswer) -> Void, _ body: (ProduceOrigin) -> Void) {
        let origin = nextOrigin()
        afterGroup[origin.session] = then
        body(origin)
    }

    /// Asks about transactions; `then` is called once, in this turn or later.
    func ask(_ request: TransactionRequest, then: @escaping (TransactionAnswer) -> Void) {
        let origin = nextOrigin()
        afterTransaction[origin.session] = then
        broker.handle(request, from: origin, now: now)
    }

    /// The same of a heartbeat of KIP-848.
    func ask(_ heartbeat: ConsumerGroupHeartbeat, _ call: KafkaCall, then: @escaping (GroupAnswer) -> Void) {
        let origin = nextOrigin()
        afterGroup[origin.session] = then
        broker.handle(heartbeat, from: origin, host: call.connection.peer.host, now: now)
    }

    private func nextOrigin() -> ProduceOrigin {
        lastToken += 1
        return ProduceOrigin(door: number, session: lastToken, requestID: 0)
    }

    // MARK: Quotas

    /// Takes bytes from what a client may produce or consume.
    /// - Returns: how long it is not served then.
    func charge(_ call: KafkaCall, _ bytes: Int, _ rate: ReferenceWritableKeyPath<ClientQuota, ByteRate?>) -> UInt32 {
        guard let quota = call.connection.quota(call.clientID, broker.quotas, now: now), quota[keyPath: rate] != nil
        else { return 0 }
        quota[keyPath: rate]?.charge(bytes, now: now)
        guard let until = quota[keyPath: rate]?.wait(now: now) else { return 0 }
        return UInt32(clamping: (until - now) / 1_000_000 + 1)
    }
}

/// What a Kafka door has done, for the log.
struct KafkaDoorCounters {
    var connections = 0
    var requests = 0
    var batches = 0
    var refusedBatches = 0
    var fetches = 0
    /// Those that went on with a session.
    var incrementalFetches = 0
    var parkedFetches = 0
    var fetchedBytes = 0
    /// For fetches.
    var partitionsLookedAt = 0
    /// Of requests that may take long.
    var pieces = 0

    var all: [(name: String, count: Int)] {
        [
            ("connections", connections), ("requests", requests), ("batches", batches),
            ("refusedBatches", refusedBatches), ("fetches", fetches), ("incrementalFetches", incrementalFetches),
            ("parkedFetches", parkedFetches), ("fetchedBytes", fetchedBytes),
            ("partitionsLookedAt", partitionsLookedAt), ("pieces", pieces),
        ]
    }
}

extension KafkaError {
    /// A refusal of the broker's in Kafka's numbers, which are the same but for a limit of ours.
    init(_ code: ErrorCode) {
        self = code == .limitReached ? .policyViolation : KafkaError(rawValue: code.rawValue) ?? .unknownServerError
    }
}
