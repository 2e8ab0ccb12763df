import Foundation
package import RdmadClient
import Synchronization
import TransportTestSupport

/// Connections of idempotent producers are cut again and again, in the middle of eager and of pulled batches with many
/// in flight: everything is in the log once, each producer's records in order, each where its acknowledgement says.
package func cuts(_ broker: BrokerAddress, rounds: Int, seed: UInt64) async throws {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    try await admin.createTopic("cuts", partitions: CutWriter.partitions)
    var writers: [CutWriter] = []
    for (number, compression) in [CompressionType.none, .lz4, .zstd].enumerated() {
        writers.append(try await CutWriter(number, broker, compression, seed: seed))
    }
    defer { for writer in writers { writer.producer.close() } }
    let sent = try await withThrowingTaskGroup(of: (Int, [[Int]]).self) { group in
        for writer in writers {
            group.addTask { (writer.number, try await writer.write()) }
        }
        defer { for writer in writers { writer.end() } }
        var random = SplitMix(state: seed)
        for round in 0..<rounds {
            let victim = writers[Int(random.next() % UInt64(writers.count))]
            // Something was acknowledged on the connection that is cut: each round moves on.
            let before = victim.acknowledged
            let deadline = Date() + 30
            while victim.acknowledged == before {
                try expect(Date() < deadline, "nothing is acknowledged any more in round \(round); seed \(seed)")
                try await Task.sleep(nanoseconds: 200_000)
            }
            try await Task.sleep(nanoseconds: random.next() % 4_000_000)
            victim.producer.cutConnection()
        }
        for writer in writers { writer.end() }
        var sent: [Int: [[Int]]] = [:]
        for try await (number, numbers) in group { sent[number] = numbers }
        return sent
    }
    let records = try await readAll("cuts", of: broker)
    for partition in 0..<CutWriter.partitions {
        let here = records.filter { $0.partition == partition }
        try expect(
            here.map { Int($0.offset) } == Array(0..<here.count), "offsets of \(partition) have gaps; seed \(seed)")
        let read = here.map { CutWriter.Record($0.value) }
        for writer in writers {
            let mine = read.filter { $0.writer == writer.number }.map(\.number)
            let expected = sent[writer.number]![partition]
            try expect(
                mine == expected,
                "partition \(partition) has \(mine.count) records of producer \(writer.number), "
                    + "\(Set(mine).count) different, expected \(expected.count) in order; seed \(seed)")
            try writer.check(partition, read, seed)
        }
        try expect(
            zip(here, read).allSatisfy { $0.value == CutWriter.value($1.writer, $1.number) },
            "values of partition \(partition) differ; seed \(seed)")
    }
}

/// One of the producers, and what it has been told.
private final class CutWriter: Sendable {
    static let partitions = 4
    let number: Int
    let producer: Producer
    private let seed: UInt64
    private let history: History
    private let isDone = Atomic(false)

    final class History: Sendable {
        let acks = Mutex<[(partition: Int, base: Int64, count: Int, error: ClientError?)]>([])
    }

    init(_ number: Int, _ broker: BrokerAddress, _ compression: CompressionType, seed: UInt64) async throws {
        let history = History()
        self.number = number
        self.history = history
        self.seed = seed &+ UInt64(number)
        var configuration = Producer.Configuration()
        configuration.batchBytes = 32 << 10
        configuration.lingerMilliseconds = 1
        configuration.bufferBytes = 2 << 20
        configuration.compression = compression
        producer = try await Producer(
            topic: "cuts", broker: broker, configuration: configuration,
            onAcknowledged: { partition, base, count, error in
                history.acks.withLock { $0.append((partition, base, count, error)) }
            })
    }

    func end() { isDone.store(true, ordering: .releasing) }

    var acknowledged: Int { history.acks.withLock { $0.count } }

    /// What stands in a record.
    struct Record {
        let writer: Int
        let number: Int

        init(_ value: [UInt8]) {
            let words = String(decoding: value.prefix(24), as: UTF8.self).split(separator: " ")
            writer = words.count > 1 ? Int(words[0]) ?? -1 : -1
            number = words.count > 1 ? Int(words[1]) ?? -1 : -1
        }
    }

    /// Most batches are so small that they travel inside their announcement; every thirtieth record fills one alone.
    static func value(_ writer: Int, _ number: Int) -> [UInt8] {
        Array("\(writer) \(number) ".utf8) + filler(number % 30 == 7 ? 24_000 + number % 4000 : number % 300, number)
    }

    /// Writes until told to end. Returns the numbers sent to each partition.
    func write() async throws -> [[Int]] {
        var random = SplitMix(state: seed)
        var sent: [[Int]] = Array(repeating: [], count: Self.partitions)
        var record = 0
        while !isDone.load(ordering: .acquiring) {
            let partition = Int(random.next() % UInt64(Self.partitions))
            try await producer.send(value: Self.value(number, record), partition: partition)
            sent[partition].append(record)
            record += 1
            // Not as fast as possible: the log must stay small enough to be read in a test.
            if random.next() % 16 == 0 { try await Task.sleep(nanoseconds: random.next() % 1_000_000) }
        }
        try await producer.flush()
        return sent
    }

    /// Every acknowledgement names records of this producer, all of them, and none twice.
    func check(_ partition: Int, _ read: [Record], _ seed: UInt64) throws {
        let acks = history.acks.withLock { $0.filter { $0.partition == partition } }
        try expect(acks.allSatisfy { $0.error == nil }, "a batch failed: \(acks.compactMap(\.error)); seed \(seed)")
        var named: [Int] = []
        for ack in acks { named += Int(ack.base)..<Int(ack.base) + ack.count }
        let mine = read.indices.filter { read[$0].writer == number }
        try expect(
            named.sorted() == mine, "acknowledgements name other offsets of \(partition) than those; seed \(seed)")
    }
}
