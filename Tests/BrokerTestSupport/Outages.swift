import Foundation
import RdmadClient
import Synchronization
import TransportTestSupport

/// The broker is killed and stays away for longer than the delivery time-out, again and again, while one producer goes
/// on: what was acknowledged is there, what certainly failed is not, nothing is there twice, and each partition has the
/// order of sending.
package func outages(_ broker: TestBroker, rounds: Int, seed: UInt64) async throws {
    let address = try broker.address
    let partitions = 3
    let admin = Admin(broker: address)
    try await admin.createTopic("outages", partitions: partitions)
    admin.close()
    let counts = Mutex(Counts())
    var configuration = Producer.Configuration()
    configuration.batchBytes = 2048
    configuration.lingerMilliseconds = 1
    configuration.bufferBytes = 1 << 20
    configuration.deliveryTimeoutSeconds = 0.2
    let producer = try await Producer(
        topic: "outages", broker: address, configuration: configuration,
        onAcknowledged: { _, _, count, error in counts.withLock { $0.add(count, error) } })
    defer { producer.close() }
    let isDone = Atomic(false)
    async let sending: Int = {
        var number = 0
        while !isDone.load(ordering: .acquiring) {
            let value = Array("\(number) ".utf8) + filler(number % 300, number)
            do {
                try await producer.send(value: value, partition: number % partitions)
                number += 1
            } catch let error as ClientError {
                // All memory waits for the broker: this one was not added.
                if error.code == .timeout { continue }
                counts.withLock { $0.others = error }
                throw error
            }
            if number % 16 == 0 { try await Task.sleep(nanoseconds: 1_000_000) }
        }
        // The failures were counted.
        try? await producer.flush()
        return number
    }()
    var random = SplitMix(state: seed)
    for _ in 0..<rounds {
        let before = counts.withLock { $0.acknowledged }
        let deadline = Date() + 60
        while counts.withLock({ $0.acknowledged }) < before + 50 {
            let now = counts.withLock { $0 }
            try expect(now.others == nil && Date() < deadline, "\(now) after \(before); seed \(seed); \(broker.log)")
            try await Task.sleep(nanoseconds: 2_000_000)
        }
        try await Task.sleep(nanoseconds: random.next() % 10_000_000)
        broker.kill()
        // Around the time-out, too: then some of what is in flight has expired, and some has not.
        try await Task.sleep(nanoseconds: 100_000_000 + random.next() % 300_000_000)
        try broker.start()
    }
    isDone.store(true, ordering: .releasing)
    let sent = try await sending
    let last = counts.withLock { $0 }
    try expect(last.others == nil, "\(last.others as Any); seed \(seed)")
    try expect(last.acknowledged + last.unknown + last.lost == sent, "\(last) of \(sent) records; seed \(seed)")
    try expect(last.unknown + last.lost > 0, "nothing had waited for too long; seed \(seed)")
    let records = try await readAll("outages", of: address)
    let range = last.acknowledged...last.acknowledged + last.unknown
    try expect(range.contains(records.count), "\(last), and \(records.count) in the log; seed \(seed)")
    for partition in 0..<partitions {
        let numbers = records.filter { $0.partition == partition }
            .map { Int(String(decoding: $0.value.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))! }
        for (earlier, later) in zip(numbers, numbers.dropFirst()) {
            try expect(earlier < later, "\(later) comes behind \(earlier) in \(partition); seed \(seed)")
        }
    }
}

private struct Counts {
    var acknowledged = 0
    var unknown = 0
    var lost = 0
    var others: ClientError?

    mutating func add(_ count: Int, _ error: ClientError?) {
        switch error?.code {
        case nil: acknowledged += count
        case .outcomeUnknown: unknown += count
        case .notDelivered: lost += count
        default: others = error
        }
    }
}
