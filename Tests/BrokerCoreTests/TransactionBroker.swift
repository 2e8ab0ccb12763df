import Foundation
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// A broker with a topic `t` of three partitions, without doors.
final class TransactionBroker {
    private let path: String
    let broker: Broker
    private let directory: LogDirectory
    private(set) var answers: [UInt32: TransactionAnswer] = [:]
    private var groupAnswers: [UInt32: GroupAnswer] = [:]
    private var acks: [UInt32: ErrorCode] = [:]
    private var asked: UInt32 = 0
    private let policy: FlushPolicy
    var now: UInt64 = 1_000_000_000

    init(
        _ path: String = NSTemporaryDirectory() + "transactions-\(UInt64.random(in: 0 ... .max))",
        policy: FlushPolicy = .none, configs: [TopicConfig] = []
    ) throws {
        self.path = path
        self.policy = policy
        var log = LogOptions()
        log.flushPolicy = policy
        log.segmentBytes = 2_000
        directory = try LogDirectory.open(path: path, options: log)
        broker = Broker(directory: directory, flusher: try Flusher(volumes: directory.volumes), doors: 1)
        broker.startGroups(now: now, nowMilliseconds: 1_700_000_000_000)
        if broker.topicCount == 0 { try broker.createTopic("t", partitions: 3, configs: configs) }
        while broker.isLoadingTransactions || broker.isLoadingGroups { turn() }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A broker on what this one has left on the disk, closed in order or as after a SIGKILL, and on what `change` has
    /// made of it.
    func restarted(isClean: Bool, _ change: (URL) throws -> Void = { _ in }) throws -> TransactionBroker {
        if isClean { try close() }
        let copy = NSTemporaryDirectory() + "transactions-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        try change(URL(filePath: copy))
        return try TransactionBroker(copy, policy: policy)
    }

    func file(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: path).appending(path: name)) }

    func close() throws { try broker.close() }

    func turn() {
        broker.commit(now: now)
        broker.takeFlushResults()
        var effects = BrokerEffects(doors: 1)
        broker.takeEffects(&effects)
        for answer in effects.transactionAnswers { answers[answer.origin.requestID] = answer }
        for answer in effects.answers { groupAnswers[answer.origin.requestID] = answer }
        for (origin, ack) in effects.acks[0] { acks[origin.requestID] = ack.error }
    }

    private func origin() -> ProduceOrigin {
        asked += 1
        return ProduceOrigin(door: 0, session: 1, requestID: asked)
    }

    /// Takes turns until there is an answer, for ten seconds.
    private func wait<Answer>(_ answer: () -> Answer?) throws -> Answer {
        for _ in 0..<10_000 {
            if let found = answer() { return found }
            turn()
            if answer() == nil, policy != .none { usleep(1000) }
        }
        return try #require(answer())
    }

    /// Takes turns until it is so.
    func turn(until isSo: () throws -> Bool) throws {
        for _ in 0..<10_000 {
            if try isSo() { return }
            turn()
            usleep(100)
        }
        #expect(try isSo())
    }

    func description(_ id: String) throws -> TransactionDescription {
        let answer = try ask(.describe(transactionalIDs: [id]))
        guard case .descriptions(let all) = answer.body else { return try #require(nil) }
        return all[0]
    }

    func begin(_ request: TransactionRequest) -> UInt32 {
        broker.handle(request, from: origin(), now: now)
        return asked
    }

    func ask(_ request: TransactionRequest) throws -> TransactionAnswer {
        let question = begin(request)
        return try wait { answers[question] }
    }

    func group(_ request: GroupRequest) throws -> GroupAnswer {
        broker.handle(request, from: origin(), host: "here", now: now)
        let question = asked
        return try wait { groupAnswers[question] }
    }

    // MARK: Producers

    func begin(_ id: String) throws -> ProducerEpoch {
        for _ in 0..<10 {
            let answer = try ask(.initProducer(transactionalID: id, timeoutMilliseconds: 60_000, producer: nil))
            if case .producer(let producer) = answer.body { return producer }
        }
        return try #require(nil)
    }

    func add(_ id: String, _ producer: ProducerEpoch, _ partitions: [UInt32]) throws -> ErrorCode {
        let places = partitions.map { TransactionPartition(topic: "t", partition: $0) }
        return try ask(.addPartitions(transactionalID: id, producer, places)).error
    }

    func addOffsets(_ id: String, _ producer: ProducerEpoch, of group: String = "g") throws -> ErrorCode {
        try ask(.addOffsets(transactionalID: id, producer, group: group)).error
    }

    func end(_ id: String, _ producer: ProducerEpoch, commit: Bool) throws -> ErrorCode {
        for _ in 0..<100 {
            let error = try ask(.end(transactionalID: id, producer, isCommit: commit)).error
            if error != .concurrentTransactions { return error }
        }
        return .concurrentTransactions
    }

    /// A batch of one record, unless the sequence says otherwise its `number`th.
    func produce(
        _ producer: ProducerEpoch, _ number: Int32, partition: UInt32 = 0, sequence: Int32? = nil, value: Int = 0
    ) throws -> ErrorCode {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        _ = builder.append(key: nil, value: Array("\(value)".utf8), timestampMilliseconds: 1)
        let size = builder.seal(
            producerID: producer.producerID, epoch: producer.epoch, baseSequence: sequence ?? number,
            isTransactional: true)
        return unsafe try append(UnsafeMutableRawBufferPointer(rebasing: memory[..<size]), partition)
    }

    func produceMarker(_ producer: ProducerEpoch) throws -> ErrorCode {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 16)
        defer { unsafe memory.deallocate() }
        let size = unsafe EndTransactionMarker(isCommit: true).write(
            to: memory, producerID: producer.producerID, epoch: producer.epoch, timestampMilliseconds: 1)
        return unsafe try append(UnsafeMutableRawBufferPointer(rebasing: memory[..<size]), 0)
    }

    /// A batch that is nobody's.
    func produce(partition: UInt32, value: Int) throws -> ErrorCode {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 16)
        defer { unsafe memory.deallocate() }
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        _ = builder.append(key: nil, value: Array("\(value)".utf8), timestampMilliseconds: 1)
        let size = builder.seal()
        return unsafe try append(UnsafeMutableRawBufferPointer(rebasing: memory[..<size]), partition)
    }

    private func append(_ bytes: UnsafeMutableRawBufferPointer, _ index: UInt32) throws -> ErrorCode {
        let origin = origin()
        unsafe broker.stage(ProducedBatch(bytes: bytes, origin: origin), in: partition(index))
        return try wait { acks[origin.requestID] }
    }

    // MARK: Readers

    func partition(_ index: UInt32) -> Partition { broker.topics["t"]![Int(index)] }

    func stable(_ index: UInt32) throws -> Int64 { try broker.lastStableOffset(of: partition(index)).rawValue }

    /// The values that a reader sees who wants only what is committed: by the client's algorithm.
    func committed(_ index: UInt32) throws -> [Int] {
        let log = partition(index).log
        let end = Offset(try stable(index))
        var aborted = try log.abortedTransactions(from: log.logStartOffset, below: end)
            .sorted { $0.firstOffset < $1.firstOffset }[...]
        var dropping: Set<Int64> = []
        var values: [Int] = []
        var cursor = LogCursor(log.logStartOffset)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { unsafe memory.deallocate() }
        while case .batches(let count, _, _) = unsafe try log.read(&cursor, below: end, into: memory) {
            var rest = unsafe UnsafeRawBufferPointer(rebasing: memory[..<count])
            while unsafe !rest.isEmpty {
                let header = unsafe RecordBatchHeader(parsing: rest)
                let batch = unsafe UnsafeRawBufferPointer(rebasing: rest[..<header.sizeInBytes])
                unsafe rest = UnsafeRawBufferPointer(rebasing: rest[header.sizeInBytes...])
                while let next = aborted.first, next.firstOffset <= header.lastOffset {
                    dropping.insert(next.producerID)
                    aborted.removeFirst()
                }
                if header.isControl {
                    dropping.remove(header.producerID)
                } else if !header.isTransactional || !dropping.contains(header.producerID) {
                    var reader = unsafe try RecordReader(batch)
                    while let record = try reader.next() {
                        values.append(Int(unsafe String(decoding: record.value!, as: UTF8.self))!)
                    }
                }
            }
        }
        return values
    }

    func commit(_ producer: ProducerEpoch, _ offset: Int64, of group: String = "g") throws -> [ErrorCode] {
        broker.commit(
            GroupBench.offsets(offset), of: GroupCaller(group: group), in: producer, from: origin(), now: now)
        let question = asked
        let answer = try wait { groupAnswers[question] }
        if case .errors(let list) = answer.body { return list.errors }
        return [answer.error]
    }

    func fetch() throws -> Int64? {
        let scope = OffsetFetchScope.partitions([TopicPartitions(topic: "t", partitions: [0])])
        guard case .offsets(let found) = try group(.fetch(OffsetFetch(group: "g", scope: scope))).body else {
            return nil
        }
        return found.topics[0].partitions[0].offset
    }
}
