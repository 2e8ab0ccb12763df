import BrokerCore
import Foundation
import KafkaProtocol
import Logging
import Reactor
import RecordFormat
import Synchronization
import Testing
import TopicLog
import TopicProtocol

@testable import KafkaFrontend

/// A broker with a Kafka door whose turns a test takes by hand; the event loops are the test's, too.
final class DoorBench {
    let path = NSTemporaryDirectory() + "door-bench-\(UInt64.random(in: 0 ... .max))"
    let broker: Broker
    let door: KafkaDoor
    private let queue = CommandQueue()
    private let sink = TestSink()
    private let loop: BrokerLoop
    /// Where each request counts one.
    var account: RequestAccount?
    private var lastConnection: UInt64 = 0
    private var lastNumber: UInt32 = 0
    private var answers: [KafkaAnswer] = []

    init(
        flush: FlushPolicy = .none, quotas: QuotaLimits = QuotaLimits(), groups: GroupOptions = DoorBench.quickGroups,
        segmentBytes: Int? = nil, log doorLog: Logger? = nil, _ change: (inout KafkaDoorOptions) -> Void = { _ in }
    ) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        var log = LogOptions()
        log.flushPolicy = flush
        if let segmentBytes { log.segmentBytes = segmentBytes }
        let directory = try LogDirectory.open(path: path + "/data", options: log)
        broker = Broker(directory: directory, flusher: try Flusher(), doors: 1, quotas: quotas, groups: groups)
        var quiet = Logger(label: "broker") { StreamLogHandler.standardError(label: $0) }
        quiet.logLevel = .critical
        var options = KafkaDoorOptions()
        change(&options)
        door = KafkaDoor(broker: broker, number: 0, options: options, queue: queue, sink: sink, log: doorLog ?? quiet)
        loop = BrokerLoop(broker: broker, doors: [door], log: quiet)
        // Before that groups are not served.
        while broker.isLoadingGroups { _ = loop.turn() }
    }

    deinit {
        try? broker.close()
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Groups that do not wait for more members.
    static var quickGroups: GroupOptions {
        var options = GroupOptions()
        options.initialRebalanceDelayMilliseconds = 0
        return options
    }

    /// Returns whether the loop would take another at once.
    @discardableResult func turn() -> Bool {
        defer { answers += sink.take() }
        return loop.turn()
    }

    func createTopic(_ name: String, partitions: Int = 1) throws {
        try broker.perform(.create(TopicCreation(name, partitions: partitions, configs: [])))
    }

    // MARK: Connections

    func connect() -> UInt64 {
        lastConnection += 1
        let peer = KafkaCommand.Peer(loop: 0, host: "/127.0.0.1", principal: "User:ANONYMOUS")
        send(lastConnection, 0, .opened(peer))
        return lastConnection
    }

    func disconnect(_ connection: UInt64) { send(connection, 0, .closed) }

    private func send(_ connection: UInt64, _ version: Int16, _ body: KafkaCommand.Body) {
        let share = account?.take(1)
        queue.add([KafkaCommand(connection: connection, number: lastNumber, version: version, body: body, share: share)]
        )
    }

    // MARK: Requests

    func post(
        _ connection: UInt64, _ version: Int16, clientID: String = "client", _ request: any KafkaRequest & Sendable
    ) -> UInt32 {
        lastNumber += 1
        if let fetch = request as? FetchRequest {
            send(connection, version, .fetch(fetch, clientID: clientID))
        } else {
            send(connection, version, .request(request, clientID: clientID))
        }
        return lastNumber
    }

    /// Asks and waits for the answer, which must be one that the version can say.
    func ask<R: KafkaRequest & Sendable>(
        _ connection: UInt64, _ version: Int16, clientID: String = "client", _ request: R
    ) throws -> R.Response {
        try response(to: post(connection, version, clientID: clientID, request), version)
    }

    func response<R: KafkaResponse>(to number: UInt32, _ version: Int16) throws -> R {
        let answer = try answer(to: number)
        let found: R?
        switch answer.body {
        case .response(let response): found = response as? R
        case .produce(let response): found = response as? R
        case .fetch(let response, _): found = response as? R
        case .nothing, .close: found = nil
        }
        let response = try #require(found, "\(answer.body)")
        _ = try EncodedFrame(response, version: version, correlationId: 1)
        return response
    }

    /// Of the answers that nobody has asked for yet.
    func takeNumbers() -> [UInt32] {
        defer { answers = [] }
        return answers.map(\.number)
    }

    /// Turns until an answer is there, with a watchdog.
    func answer(to number: UInt32) throws -> KafkaAnswer {
        let deadline = Date() + 30
        while true {
            if let index = answers.firstIndex(where: { $0.number == number }) { return answers.remove(at: index) }
            try #require(Date() < deadline, "no answer within 30 s")
            turn()
        }
    }

    /// Whether an answer is there after some turns.
    func isAnswered(_ number: UInt32, turns: Int = 5) -> Bool {
        for _ in 0..<turns { turn() }
        return answers.contains { $0.number == number }
    }

    // MARK: Produce and fetch

    /// Sends a request with a batch for each of some partitions.
    func postProduce(
        _ connection: UInt64, version: Int16 = 9, acks: Int16 = -1, clientID: String = "client",
        transactionalID: String? = nil, _ batches: [(topic: String, partition: Int32, bytes: [UInt8])],
        invalid: [Int: ReceivedBatch] = [:], onRelease: @escaping @Sendable () -> Void = {}
    ) -> UInt32 {
        var request = ProduceRequest()
        request.acks = acks
        request.transactionalId = transactionalID
        var received: [ReceivedBatch] = []
        var all: [UInt8] = []
        for (index, batch) in batches.enumerated() {
            if request.topicData.last?.name != batch.topic {
                var topic = ProduceRequest.TopicProduceData()
                topic.name = batch.topic
                request.topicData.append(topic)
            }
            var partition = ProduceRequest.PartitionProduceData()
            partition.index = batch.partition
            partition.records = Records(offset: all.count, count: batch.bytes.count)
            request.topicData[request.topicData.count - 1].partitionData.append(partition)
            received.append(invalid[index] ?? .batch(all.count..<(all.count + batch.bytes.count)))
            all += batch.bytes
        }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: all.count, alignment: 16)
        unsafe memory.copyBytes(from: all)
        let address = UInt(bitPattern: memory.baseAddress)
        let frame = unsafe ReceivedFrame(memory) {
            unsafe UnsafeMutableRawPointer(bitPattern: address)?.deallocate()
            onRelease()
        }
        lastNumber += 1
        send(connection, version, .produce(request, clientID: clientID, batches: received, memory: frame))
        return lastNumber
    }

    /// Produces one batch and returns what became of it.
    func produce(
        _ connection: UInt64, _ topic: String, _ bytes: [UInt8], partition: Int32 = 0, acks: Int16 = -1,
        version: Int16 = 9, transactionalID: String? = nil
    ) throws -> ProduceResponse.PartitionProduceResponse {
        let number = postProduce(
            connection, version: version, acks: acks, transactionalID: transactionalID, [(topic, partition, bytes)])
        let response: ProduceResponse = try response(to: number, version)
        return try #require(response.responses.first?.partitionResponses.first)
    }

    /// A fetch of some partitions from some offsets.
    static func fetch(
        _ partitions: [(topic: String, partition: Int32, offset: Int64)], maxWaitMs: Int32 = 0, minBytes: Int32 = 1,
        maxBytes: Int32 = .max, partitionMaxBytes: Int32 = 1 << 20
    ) -> FetchRequest {
        var request = FetchRequest()
        request.maxWaitMs = maxWaitMs
        request.minBytes = minBytes
        request.maxBytes = maxBytes
        for wanted in partitions {
            if request.topics.last?.topic != wanted.topic {
                var topic = FetchRequest.FetchTopic()
                topic.topic = wanted.topic
                request.topics.append(topic)
            }
            var partition = FetchRequest.FetchPartition()
            partition.partition = wanted.partition
            partition.fetchOffset = wanted.offset
            partition.partitionMaxBytes = partitionMaxBytes
            request.topics[request.topics.count - 1].partitions.append(partition)
        }
        return request
    }

    /// The answer to a fetch: each partition with the bytes that a client would be sent.
    func fetched(_ number: UInt32) throws -> [(data: FetchResponse.PartitionData, bytes: [UInt8])] {
        guard case .fetch(let response, let ranges) = try answer(to: number).body else {
            throw BenchError.otherAnswer
        }
        _ = try EncodedFrame(response, version: 12, correlationId: 1)
        var left = ranges[...]
        return try response.responses.flatMap(\.partitions).map { data in
            guard let count = data.records?.count, count > 0 else { return (data, []) }
            let next = left.popFirst()
            let range = try #require(next)
            #expect(range.count == count)
            return (data, try read(range))
        }
    }

    func read(_ range: FileRange) throws -> [UInt8] {
        let handle = FileHandle(fileDescriptor: range.file.descriptor, closeOnDealloc: false)
        try handle.seek(toOffset: UInt64(range.position))
        return Array(try handle.read(upToCount: range.count) ?? Data())
    }

    /// Fetches one partition.
    func fetch(_ connection: UInt64, _ topic: String, _ partition: Int32 = 0, at offset: Int64) throws -> (
        data: FetchResponse.PartitionData, bytes: [UInt8]
    ) {
        let answer = try fetched(post(connection, 12, Self.fetch([(topic, partition, offset)])))
        return try #require(answer.first)
    }
}

enum BenchError: Error { case otherAnswer }

/// Collects what would go to event loops.
private final class TestSink: AnswerSink {
    private let answers = Mutex<[KafkaAnswer]>([])
    var counters: [(name: String, count: Int)] { [] }

    func deliver(_ answers: [KafkaAnswer], toLoop loop: Int) { self.answers.withLock { $0 += answers } }
    func shutdown() {}

    func take() -> [KafkaAnswer] {
        answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
    }
}

/// One batch, as a producer sends it; with a sequence number it is producer 1's.
func makeBatch(records: Int = 1, valueBytes: Int = 10, sequence: Int32? = nil) -> [UInt8] {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: records * (valueBytes + 100) + 100, alignment: 16)
    defer { unsafe memory.deallocate() }
    var builder = unsafe RecordBatchBuilder(buffer: memory)
    for index in 0..<records {
        let value = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: valueBytes)
        precondition(builder.append(key: nil, value: value, timestampMilliseconds: Int64(1_000 + index)))
    }
    let count = sequence.map { builder.seal(producerID: 1, epoch: 0, baseSequence: $0) } ?? builder.seal()
    return unsafe Array(memory[..<count])
}

/// One batch with a record for each key.
func makeBatch(keys: [String?]) -> [UInt8] {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 12, alignment: 16)
    defer { unsafe memory.deallocate() }
    var builder = unsafe RecordBatchBuilder(buffer: memory)
    for key in keys {
        precondition(builder.append(key: key.map { Array($0.utf8) }, value: [7], timestampMilliseconds: 1_000))
    }
    let count = builder.seal()
    return unsafe Array(memory[..<count])
}

/// What is stored of a batch: with its place in the log.
func stored(_ batch: [UInt8], at offset: Int64) -> [UInt8] {
    var batch = batch
    unsafe batch.withUnsafeMutableBytes {
        unsafe RecordBatch.assign(baseOffset: Offset(offset), leaderEpoch: .zero, in: $0)
    }
    return batch
}
