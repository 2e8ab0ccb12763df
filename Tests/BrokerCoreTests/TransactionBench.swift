import Testing
import TopicProtocol

@testable import BrokerCore

/// A coordinator of transactions without a broker: time, the log and the partitions are the test's.
final class TransactionBench {
    let coordinator: TransactionCoordinator
    private(set) var now: UInt64 = 1_000_000_000
    /// What the log holds, by key.
    private(set) var log: [[UInt8]: [UInt8]] = [:]
    /// What records and markers come to; nil keeps them waiting.
    var recordOutcome: ErrorCode? = ErrorCode.none
    var markerOutcome: ErrorCode? = ErrorCode.none
    private var heldRecords: [TransactionWrite] = []
    private(set) var heldMarkers: [MarkerWrite] = []
    /// All that became durable.
    private(set) var markers: [MarkerWrite] = []
    private(set) var answers: [UInt32: TransactionAnswer] = [:]
    private var asked: UInt32 = 0

    init(
        _ options: TransactionOptions = TransactionOptions(), log: [[UInt8]: [UInt8]] = [:], isLoaded: Bool = true,
        wall: Int64 = 1_700_000_000_000
    ) {
        let next = Next()
        coordinator = TransactionCoordinator(options: options) { next.take() }
        coordinator.setClock(now: now, nowMilliseconds: wall)
        self.log = log
        for (key, value) in log {
            let record = unsafe key.withUnsafeBytes { key in
                unsafe value.withUnsafeBytes { unsafe TransactionRecord(key: key, value: $0) }
            }
            if let record { coordinator.load(record) } else { Issue.record("a record that is not understood") }
        }
        if isLoaded { coordinator.finishLoading() }
        settle()
    }

    private final class Next {
        var id: Int64 = 100
        func take() -> Int64 {
            id += 1
            return id
        }
    }

    /// A coordinator that has read what this one has written.
    func restarted(after milliseconds: Int64 = 0) -> TransactionBench {
        TransactionBench(coordinator.options, log: log, wall: coordinator.nowMilliseconds + milliseconds)
    }

    func ask(_ request: TransactionRequest) -> UInt32 {
        asked += 1
        coordinator.handle(
            request, from: ProduceOrigin(door: 0, session: 1, requestID: asked), now: now,
            partitionExists: { $0.topic == "t" }, offsetsPartition: { _ in .init(topic: "offsets", partition: 3) })
        settle()
        return asked
    }

    func error(of request: TransactionRequest) -> ErrorCode? {
        let question = ask(request)
        return answers[question]?.error
    }

    func pass(milliseconds: UInt64) {
        let end = now + milliseconds * 1_000_000
        while now < end {
            now = min(end, max(now + 1, coordinator.nextDeadline))
            coordinator.advance(now: now)
            settle()
        }
    }

    /// Lets time pass in which no turn is taken.
    func stall(milliseconds: UInt64) { now += milliseconds * 1_000_000 }

    /// Takes a turn.
    /// - Parameter unheard: For how long nobody's requests were looked at, in milliseconds.
    func advance(unheard: UInt64) {
        coordinator.advance(now: now, heardUntil: now - unheard * 1_000_000)
        settle()
    }

    func releaseRecords(_ error: ErrorCode = .none) {
        let writes = heldRecords
        heldRecords = []
        for write in writes { finish(write, error) }
        settle()
    }

    func releaseMarkers(_ error: ErrorCode = .none) {
        let writes = heldMarkers
        heldMarkers = []
        for write in writes { finish(write, error) }
        settle()
    }

    private func finish(_ write: TransactionWrite, _ error: ErrorCode) {
        if error == .none { log[write.record.key] = write.record.value }
        coordinator.finish(write.token, error: error)
    }

    private func finish(_ marker: MarkerWrite, _ error: ErrorCode) {
        if error == .none { markers.append(marker) }
        coordinator.finish(marker.token, error: error)
    }

    private func settle() {
        while coordinator.hasWrites {
            for write in coordinator.takeWrites() {
                if let recordOutcome { finish(write, recordOutcome) } else { heldRecords.append(write) }
            }
            for marker in coordinator.takeMarkers() {
                if let markerOutcome { finish(marker, markerOutcome) } else { heldMarkers.append(marker) }
            }
        }
        for answer in coordinator.takeAnswers() {
            #expect(answers[answer.origin.requestID] == nil, "request \(answer.origin.requestID) was answered twice")
            #expect((answer.error == .none) == answer.text.isEmpty)
            answers[answer.origin.requestID] = answer
        }
    }

    // MARK: Shorthands

    func begin(_ id: String = "x", as producer: ProducerEpoch? = nil, timeout: Int32 = 60_000) -> ProducerEpoch? {
        let question = ask(.initProducer(transactionalID: id, timeoutMilliseconds: timeout, producer: producer))
        if case .producer(let producer) = answers[question]?.body { return producer }
        return nil
    }

    func add(_ producer: ProducerEpoch, _ partitions: [UInt32] = [0], id: String = "x") -> ErrorCode? {
        error(
            of: .addPartitions(
                transactionalID: id, producer, partitions.map { TransactionPartition(topic: "t", partition: $0) }))
    }

    func end(_ producer: ProducerEpoch, commit: Bool, id: String = "x") -> ErrorCode? {
        error(of: .end(transactionalID: id, producer, isCommit: commit))
    }

    func description(_ id: String = "x") -> TransactionDescription? {
        let question = ask(.describe(transactionalIDs: [id]))
        if case .descriptions(let all) = answers[question]?.body { return all[0] }
        return nil
    }

    var state: String? { description()?.state }
}
