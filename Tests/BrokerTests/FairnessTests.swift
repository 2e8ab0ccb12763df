import BrokerCore
import FabricFrontend
import Foundation
import RDMATransport
import Testing
import TopicLog
import TopicProtocol
import TransportTestSupport

/// Who gets how much of the broker: turns taken by hand, bytes and batches counted.
@Suite struct FairnessTests {
    /// More consumers than the memory to push from has room for, each with a ring that takes all of its topic, and one
    /// with a small topic. None is far ahead at any time.
    @Test func consumersShare() throws {
        var limits = DoorLimits()
        limits.windowBytesMax = 0
        let broker = try TurnedBroker(limits: limits)
        let topic = try broker.fill("t", batches: 32, bytes: 250_000)
        let clients = try (0..<8).map { _ in try broker.connect() }
        for client in clients { try client.consume(topic, ringBytes: 16 << 20) }
        let all = 32 * 250_000
        var turns = 0
        try broker.turn(until: "end of the topic") {
            let counts = clients.map(\.writtenBytes)
            turns += 1
            // Once everybody had the chance to begin, and until the first is done.
            if counts.reduce(0, +) > 8 << 20, counts.max()! < all {
                let fair = counts.reduce(0, +) / counts.count
                #expect(counts.min()! >= fair / 2, "after \(turns) turns: \(counts)")
            }
            return counts.allSatisfy { $0 >= all }
        }
        #expect(turns > 8)
    }

    /// A turn's share holds even where there is memory for everything.
    @Test func aDeepQueueIsServedInTurns() throws {
        var limits = DoorLimits()
        limits.turnPushBytes = 100_000
        let broker = try TurnedBroker(limits: limits)
        let topic = try broker.fill("t", batches: 100, bytes: 20_000)
        let client = try broker.connect()
        try client.consume(topic, ringBytes: 4 << 20)
        var last = 0
        try broker.turn(until: "end of the topic") {
            let step = client.writtenBytes - last
            last = client.writtenBytes
            // At most a share, the push that crosses it, and one more when credits came between.
            #expect(step <= 100_000 + (256 << 10) + 64, "\(step) bytes in one turn")
            return last >= 100 * 20_000
        }
    }

    /// What others write costs nothing for each partition that a consumer has read to its end.
    @Test func idleSubscriptionsAreNotLookedAt() throws {
        let broker = try TurnedBroker(limits: DoorLimits())
        try broker.broker.perform(.create(TopicCreation("wide", partitions: 100, configs: [])))
        let id = try broker.broker.describeTopic("wide", firstPartition: 0).topicID
        let client = try broker.connect()
        let ring = try client.share(1 << 20, .write)
        try client.send(.openRing(key: ring.key, address: ring.address, byteCount: ring.byteCount))
        for partition in 0..<100 as Range<UInt32> {
            try client.send(.subscribe(PartitionAddress(topicID: id, partition: partition), offset: -2))
            try broker.turn(until: "answer") { client.answers.count == Int(partition) + 2 }
        }
        let before = broker.door.counters.looks
        for number in 0..<20 {
            _ = try broker.fill("other-\(number)", batches: 1, bytes: 100)
            broker.turn()
        }
        #expect(broker.door.counters.looks == before)
        // One that has something is found, and when it is gone, too.
        try broker.append(PartitionAddress(topicID: id, partition: 77), batches: 1, bytes: 100)
        try broker.turn(until: "push") { client.writtenBytes > 0 }
        #expect(broker.door.counters.looks <= before + 3)
        try broker.broker.perform(.delete("wide"))
        try broker.turn(until: "end of all") { client.ended == 100 }
    }

    /// Who floods the broker with requests gets some of each turn, in order; the others get theirs.
    @Test func requestsAreServedInTurns() throws {
        var limits = DoorLimits()
        limits.turnRequests = 8
        let broker = try TurnedBroker(limits: limits)
        let target = try broker.fill("t", batches: 0, bytes: 0)
        let (flooding, good) = (try broker.connect(), try broker.connect())
        for number in 0..<60 {
            let missing = Request.describeTopic(name: "nowhere", firstPartition: 0)
            try flooding.send(number % 2 == 0 ? missing : .listTopics(after: ""))
        }
        broker.turn()
        #expect(flooding.answers.count == 8)
        var batch = makeBatch(valueBytes: 100)
        try good.send(.listTopics(after: ""))
        unsafe try batch.withUnsafeMutableBytes { unsafe try good.send(.produceEager(target, batch: $0)) }
        for turn in 2...8 {
            broker.turn()
            #expect(flooding.answers.count == min(8 * turn - (turn > 2 ? 1 : 0), 60), "turn \(turn)")
            #expect(good.answers.count == (turn > 2 ? 1 : 0) && good.acks.count == (turn > 2 ? 1 : 0), "turn \(turn)")
        }
        try broker.turn(until: "all answers") { flooding.answers.count == 60 }
        #expect(flooding.answers == (0..<60).map { $0 % 2 == 0 ? .unknownTopicOrPartition : .none })
        // What waited of a client that is gone is forgotten.
        for _ in 0..<30 { try flooding.send(.listTopics(after: "")) }
        broker.turn()
        flooding.fabric.shutdown()
        unsafe try batch.withUnsafeMutableBytes { unsafe try good.send(.produceEager(target, batch: $0)) }
        try broker.turn(until: "acknowledgement") { good.acks.count == 2 }
    }

    /// Four producers announce more than the landing memory holds: it is given out a batch at a time.
    @Test func producersShare() throws {
        let broker = try TurnedBroker(limits: DoorLimits())
        try broker.broker.perform(.create(TopicCreation("t", partitions: 4, configs: [])))
        let id = try broker.broker.describeTopic("t", firstPartition: 0).topicID
        let batch = makeBatch(valueBytes: 500_000)
        let clients = try (0..<4).map { _ in try broker.connect() }
        for (number, client) in clients.enumerated() {
            let region = try client.share(1 << 20, .read, content: batch)
            for _ in 0..<48 {
                try client.send(
                    .produce(
                        PartitionAddress(topicID: id, partition: UInt32(number)), byteCount: UInt32(batch.count),
                        key: region.key, address: region.address))
            }
        }
        try broker.turn(until: "acknowledgement of all") {
            let counts = clients.map(\.acks.count)
            // The first may have found all of the memory (24 batches) free.
            if counts.max()! < 48, counts.reduce(0, +) >= 96 {
                #expect(counts.min()! >= 12, "\(counts)")
            }
            return counts.allSatisfy { $0 == 48 }
        }
        #expect(clients.allSatisfy { $0.acks.allSatisfy { $0 == .none } })
    }

    /// What is pushed to a client is what its rate allows, on two connections together; another is not held up.
    @Test func consumersAreThrottled() throws {
        var quotas = QuotaLimits()
        quotas.own["slow"] = .init(consume: 1_000_000)
        let broker = try TurnedBroker(limits: DoorLimits(), quotas: quotas)
        let topic = try broker.fill("t", batches: 60, bytes: 50_000)
        let slow = try (0..<2).map { _ in try broker.connect(clientID: "slow") }
        let free = try broker.connect(clientID: "free")
        let start = monotonicNanoseconds()
        for client in slow + [free] { try client.consume(topic, ringBytes: 4 << 20) }
        var freeAt: UInt64 = 0
        try broker.turn(until: "3 MB for the slow ones") {
            let bytes = slow.reduce(0) { $0 + $1.writtenBytes }
            let seconds = Double(monotonicNanoseconds() - start) / 1e9
            // A second's worth at once, then the rate; each push is charged when it is made.
            #expect(Double(bytes) <= 1_000_000 * (1 + seconds) + 300_000, "\(bytes) bytes in \(seconds) s")
            if freeAt == 0, free.writtenBytes >= 3_000_000 { freeAt = UInt64(bytes) }
            return bytes >= 3_000_000
        }
        #expect(freeAt > 0 && freeAt < 2_000_000, "the free one was done when the slow ones had \(freeAt) bytes")
        #expect(broker.door.counters.throttles > 0)
    }

    /// The same for what a client announces, pulled and eager.
    @Test(arguments: [2000, 50_000]) func producersAreThrottled(_ valueBytes: Int) throws {
        var quotas = QuotaLimits()
        quotas.standard.produce = 500_000
        quotas.own["free"] = .init(produce: 1 << 40)
        let broker = try TurnedBroker(limits: DoorLimits(), quotas: quotas)
        try broker.broker.perform(.create(TopicCreation("t", partitions: 1, configs: [])))
        let target = PartitionAddress(
            topicID: try broker.broker.describeTopic("t", firstPartition: 0).topicID, partition: 0)
        var batch = makeBatch(valueBytes: valueBytes)
        let (slow, free) = (try broker.connect(), try broker.connect(clientID: "free"))
        func request(_ region: RemoteRegion) -> Request {
            guard valueBytes < 4096 else {
                return .produce(target, byteCount: UInt32(batch.count), key: region.key, address: region.address)
            }
            return unsafe batch.withUnsafeMutableBytes { unsafe .produceEager(target, batch: $0) }
        }
        let regions = try [slow, free].map { try $0.share(1 << 20, .read, content: batch) }
        let start = monotonicNanoseconds()
        var sent = [0, 0]
        var freeIsAhead = false
        try broker.turn(until: "1.2 MB of the slow one") {
            for (place, client) in [slow, free].enumerated() where sent[place] - client.acks.count < 32 {
                guard (try? client.send(request(regions[place]))) != nil else { continue }
                sent[place] += 1
            }
            let bytes = slow.acks.count * batch.count
            let seconds = Double(monotonicNanoseconds() - start) / 1e9
            #expect(Double(bytes) <= 500_000 * (1 + seconds) + Double(2 * batch.count), "\(bytes) in \(seconds) s")
            if free.acks.count > 2 * slow.acks.count, slow.acks.count > 0 { freeIsAhead = true }
            return bytes >= 1_200_000
        }
        #expect(freeIsAhead && slow.acks.allSatisfy { $0 == .none })
    }

    /// The quota is used in the order of announcements. After the first batch the client owes 0.2 s: nothing behind the
    /// eager one is pulled before it may be appended itself, and the sequence of all holds.
    @Test func pullsDoNotOvertakeAnEagerBatchThatWaits() throws {
        var quotas = QuotaLimits()
        quotas.standard.produce = 500_000
        let broker = try TurnedBroker(limits: DoorLimits(), quotas: quotas)
        let target = try broker.fill("t", batches: 0, bytes: 0)
        let client = try broker.connect()
        let sizes = [600_000, 1000, 30_000, 30_000, 2000, 3000, 50_000, 1000, 5000, 500]
        let isPulled = sizes.map { $0 > 4000 }
        for (number, size) in sizes.enumerated() {
            var batch = makeBatch(valueBytes: size, sequence: Int32(number))
            if isPulled[number] {
                let region = try client.share(1 << 20, .read, content: batch)
                try client.send(
                    .produce(target, byteCount: UInt32(batch.count), key: region.key, address: region.address))
            } else {
                unsafe try batch.withUnsafeMutableBytes { unsafe try client.send(.produceEager(target, batch: $0)) }
            }
        }
        try broker.turn(until: "acknowledgement of all") {
            let (acked, pulled) = (client.acks.count, broker.door.counters.pulledBatches)
            #expect(isPulled.prefix(acked).count { $0 } == pulled, "\(pulled) pulled, \(acked) acknowledged")
            return acked == sizes.count
        }
        #expect(client.acks.allSatisfy { $0 == .none } && broker.door.counters.throttles > 0)
    }
}
