import Foundation
import RdmadClient
import Synchronization
import TransportTestSupport

/// The broker is killed again and again while an idempotent producer goes on: what was acknowledged is there, nothing
/// twice, each partition in the order of sending, offsets without gaps.
package func crash(_ broker: TestBroker, rounds: Int, seed: UInt64) async throws {
    let address = try broker.address
    let admin = Admin(broker: address)
    try await admin.createTopic("crash", partitions: 3)
    admin.close()
    // Of each partition the last record number known to be acknowledged, by base offset and count.
    let acknowledged = Mutex([Int: Int64]())
    let failures = Mutex([ClientError]())
    var configuration = Producer.Configuration()
    configuration.batchBytes = 8192
    configuration.lingerMilliseconds = 1
    configuration.bufferBytes = 1 << 20
    let producer = try await Producer(
        topic: "crash", broker: address, configuration: configuration,
        onAcknowledged: { partition, base, count, error in
            if let error {
                failures.withLock { $0.append(error) }
            } else {
                acknowledged.withLock { $0[partition] = max($0[partition] ?? 0, base + Int64(count)) }
            }
        })
    defer { producer.close() }
    let isDone = Atomic(false)
    async let sent: Int = {
        var number = 0
        while !isDone.load(ordering: .acquiring) {
            let value = Array("\(number) ".utf8) + filler(number % 300, number)
            try await producer.send(value: value, partition: number % 3)
            number += 1
            // Not as fast as possible: the log must stay small enough to be read in a test.
            if number % 64 == 0 { try await Task.sleep(nanoseconds: 1_000_000) }
        }
        try await producer.flush()
        return number
    }()
    var random = SplitMix(state: seed)
    for _ in 0..<rounds {
        let before = acknowledged.withLock { $0.values.reduce(0, +) }
        let deadline = Date() + 30
        while acknowledged.withLock({ $0.values.reduce(0, +) }) < before + 50 {
            try expect(Date() < deadline, "nothing is acknowledged any more; seed \(seed); \(broker.log)")
            try await Task.sleep(nanoseconds: 2_000_000)
        }
        try await Task.sleep(nanoseconds: random.next() % 30_000_000)
        broker.kill()
        try broker.start()
    }
    isDone.store(true, ordering: .releasing)
    let count = try await sent
    try expect(failures.withLock { $0.isEmpty }, "batches failed: \(failures.withLock { "\($0)" }); seed \(seed)")
    let records = try await readAll("crash", of: address)
    for partition in 0..<3 {
        let here = records.filter { $0.partition == partition }
        let expected = (0..<count).filter { $0 % 3 == partition }
        try expect(here.map { Int($0.offset) } == Array(0..<here.count), "offsets have gaps; seed \(seed)")
        let numbers = here.map { number($0.value) }
        try expect(
            numbers == expected,
            "partition \(partition) has \(numbers.count) records, \(Set(numbers).count) different, expected \(expected.count) in order; seed \(seed)"
        )
        let known = acknowledged.withLock { $0[partition] ?? 0 }
        try expect(known <= Int64(here.count), "\(known) were acknowledged, \(here.count) are there; seed \(seed)")
    }
}

/// The number at the front of a value.
private func number(_ value: [UInt8]) -> Int {
    var number = 0
    for byte in value {
        guard byte >= 48, byte <= 57 else { break }
        number = number * 10 + Int(byte - 48)
    }
    return number
}
