import Foundation
import RecordFormat
import Testing
import TopicLog
import TopicProtocol

@testable import BrokerCore

/// Random producers, stops and new instances on a real log: readers see all of a transaction or nothing, as decided.
@Suite struct TransactionSimulationTests {
    @Test(arguments: 1...(longRun ? 200 : 2) as ClosedRange<UInt64>)
    func readersSeeWhatWasCommitted(seed: UInt64) throws {
        try TransactionSimulation(seed: seed).run()
    }
}

private let longRun = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] != nil

private final class TransactionSimulation {
    private struct Client {
        let id: String
        var producer = ProducerEpoch(producerID: -1, epoch: -1)
        var sequences: [UInt32: Int32] = [:]
        var partitions: Set<UInt32> = []
        /// What the open transaction has written, by partition.
        var values: [UInt32: [Int]] = [:]
        var offset: Commit?
        var isOpen: Bool { !partitions.isEmpty || offset != nil }
    }

    /// The later one counts, by where it stands in the log.
    private struct Commit {
        let order: Int
        let offset: Int64
    }

    private var state: UInt64
    private var bench: TransactionBroker
    private var clients: [Client] = []
    private var lastValue = 0
    /// In no order: who commits first need not have written first.
    private var committed: [UInt32: Set<Int>] = [:]
    private var offset = Commit(order: 0, offset: -1)
    private var lastOrder = 0

    init(seed: UInt64) throws {
        state = seed &* 0x9E37_79B9_7F4A_7C15
        let isCompacted = seed % 2 == 0
        bench = try TransactionBroker(
            configs: isCompacted ? [TopicConfig(name: "cleanup.policy", value: "compact")] : [])
        for number in 0..<3 {
            var client = Client(id: "client-\(number)")
            client.producer = try bench.begin(client.id)
            clients.append(client)
        }
    }

    private func random(_ count: UInt64) -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state % count
    }

    func run() throws {
        for step in 0..<150 {
            let number = Int(random(3))
            switch random(20) {
            case 0..<9: try produce(number)
            case 9..<11: try commitOffset(number)
            case 11..<15: try end(number)
            case 15: try takeOver(number)
            case 16: bench = try bench.restarted(isClean: random(2) == 0)
            case 17: try endAndStop(number)
            case 18 where random(2) == 0: try commitAlone()
            case 19 where random(2) == 0: try compact()
            case 18: try produceAlone()
            default: try check(step)
            }
        }
        for number in 0..<3 { try end(number) }
        bench = try bench.restarted(isClean: false)
        try check(150)
        for partition in 0..<3 as Range<UInt32> {
            #expect(try bench.stable(partition) == bench.partition(partition).log.logEndOffset.rawValue)
        }
        try bench.close()
    }

    private func produce(_ number: Int) throws {
        let partition = UInt32(random(3))
        let producer = clients[number].producer
        if !clients[number].partitions.contains(partition) {
            #expect(try bench.add(clients[number].id, producer, [partition]) == ErrorCode.none)
            clients[number].partitions.insert(partition)
        }
        lastValue += 1
        let sequence = clients[number].sequences[partition, default: 0]
        clients[number].sequences[partition] = sequence + 1
        #expect(try bench.produce(producer, sequence, partition: partition, value: lastValue) == ErrorCode.none)
        clients[number].values[partition, default: []].append(lastValue)
    }

    private func produceAlone() throws {
        lastValue += 1
        let partition = UInt32(random(3))
        #expect(try bench.produce(partition: partition, value: lastValue) == ErrorCode.none)
        committed[partition, default: []].insert(lastValue)
    }

    private func nextCommit() -> Commit {
        lastOrder += 1
        return Commit(order: lastOrder, offset: Int64(lastOrder))
    }

    private func commitOffset(_ number: Int) throws {
        #expect(try bench.addOffsets(clients[number].id, clients[number].producer) == ErrorCode.none)
        let next = nextCommit()
        #expect(try bench.commit(clients[number].producer, next.offset) == [.none])
        clients[number].offset = next
    }

    /// In no transaction; or what there is goes, with what transactions would commit.
    private func commitAlone() throws {
        if random(3) == 0 {
            let topics = [TopicPartitions(topic: "t", partitions: [0])]
            let error = try bench.group(.deleteOffsets(group: "g", topics)).error
            #expect(error == ErrorCode.none || error == .groupIDNotFound)
            offset = Commit(order: lastOrder, offset: -1)
            // Its transaction still has the partition.
            for number in clients.indices where clients[number].offset != nil { clients[number].offset = offset }
        } else {
            offset = nextCommit()
            #expect(try bench.group(.commit(GroupCaller(group: "g"), GroupBench.offsets(offset.offset))).error == .none)
        }
    }

    /// Every segment that may be, of every topic whose policy it is.
    private func compact() throws {
        for partition in bench.broker.topics.values.joined() where partition.highWatermark > .zero {
            let log = partition.log
            try log.rollExpired(nowMilliseconds: .max / 2)
            try log.synchronize()
            guard let compaction = log.beginCompaction(nowMilliseconds: .max / 2) else { continue }
            var made: [CompactedSegment] = []
            try compaction.run { made.append($0) }
            for segment in made { #expect(try log.install(segment)) }
            log.finishCompaction()
        }
    }

    private func end(_ number: Int) throws {
        guard clients[number].isOpen else { return }
        let isCommit = random(2) == 0
        #expect(
            try bench.end(clients[number].id, clients[number].producer, commit: isCommit) == ErrorCode.none)
        didEnd(number, isCommit: isCommit)
    }

    /// The answer is lost with the broker; it is asked again.
    private func endAndStop(_ number: Int) throws {
        guard clients[number].isOpen else { return }
        let isCommit = random(2) == 0
        let (id, producer) = (clients[number].id, clients[number].producer)
        _ = bench.begin(.end(transactionalID: id, producer, isCommit: isCommit))
        for _ in 0..<random(6) { bench.turn() }
        bench = try bench.restarted(isClean: random(2) == 0)
        #expect(try bench.end(id, producer, commit: isCommit) == ErrorCode.none)
        didEnd(number, isCommit: isCommit)
    }

    private func didEnd(_ number: Int, isCommit: Bool) {
        if isCommit {
            for (partition, values) in clients[number].values { committed[partition, default: []].formUnion(values) }
            if let offset = clients[number].offset, offset.order > self.offset.order { self.offset = offset }
        }
        clients[number].values = [:]
        clients[number].partitions = []
        clients[number].offset = nil
    }

    /// Another instance; the old one can do nothing any more.
    private func takeOver(_ number: Int) throws {
        let old = clients[number].producer
        clients[number].producer = try bench.begin(clients[number].id)
        #expect(clients[number].producer.epoch > old.epoch)
        clients[number].sequences = [:]
        didEnd(number, isCommit: false)
        #expect(try bench.add(clients[number].id, old, [0]) == .producerFenced)
        #expect(try bench.produce(old, 0) == .invalidProducerEpoch)
    }

    private func check(_ step: Int) throws {
        for partition in 0..<3 as Range<UInt32> {
            let seen = try bench.committed(partition)
            #expect(Set(seen).count == seen.count, "step \(step)")
            // What is behind the first open transaction is not seen yet.
            let expected = committed[partition, default: []]
            if clients.allSatisfy({ $0.values[partition] == nil }) {
                #expect(Set(seen) == expected, "step \(step)")
            } else {
                #expect(expected.isSuperset(of: seen), "step \(step)")
            }
        }
        #expect(try bench.fetch() == offset.offset, "step \(step)")
    }
}
