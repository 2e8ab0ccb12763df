package import RdmadClient
import TransportTestSupport

/// Seeks again and again while much is on its way: after each comes what was sought, in order, and nothing else.
package func seeks(_ address: BrokerAddress, rounds: Int, seed: UInt64) async throws {
    let admin = Admin(broker: address)
    defer { admin.close() }
    try await admin.createTopic("seek", partitions: 2)
    try await fill(address, "seek", partitions: 2, count: 2000)
    var configuration = Consumer.Configuration()
    configuration.ringBytes = 8192
    let consumer = try await Consumer(topics: ["seek"], broker: address, configuration: configuration)
    defer { consumer.close() }
    var random = SplitMix(state: seed)
    var expected: [Int64] = [0, 0]
    for _ in 0..<rounds {
        guard let batches = try consumer.poll(timeoutMilliseconds: 20_000) else {
            throw ScenarioFailure("nothing came at \(expected); seed \(seed)")
        }
        let partition = batches.partition
        var first: Int64?
        try batches.forEachRecord { first = first ?? $0.offset }
        try expect(
            first == expected[partition], "\(first ?? -1) where \(expected[partition]) was due; seed \(seed)")
        expected[partition] = batches.nextOffset
        batches.release()
        guard random.next() % 3 == 0 || expected == [2000, 2000] else { continue }
        let (which, offset) = (Int(random.next() % 2), Int64(random.next() % 1900))
        try consumer.seek(TopicPartition("seek", which), to: .offset(offset))
        expected[which] = offset
    }
    try consumer.seek(TopicPartition("seek", 1), to: .latest)
    try consumer.seek(TopicPartition("seek", 0), to: .earliest)
    var next: Int64 = 0
    while next < 2000 {
        guard let batches = try consumer.poll(timeoutMilliseconds: 20_000) else {
            throw ScenarioFailure("nothing came at \(next); seed \(seed)")
        }
        try expect(
            batches.partition == 0 && batches.firstOffset == next,
            "\(batches.partition)/\(batches.firstOffset) where 0/\(next) was due; seed \(seed)")
        next = batches.nextOffset
        batches.release()
    }
}
