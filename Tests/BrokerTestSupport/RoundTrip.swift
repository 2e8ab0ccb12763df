package import RdmadClient
import TransportTestSupport

/// Bytes of a length and a seed.
package func filler(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &* 31) }
}

/// Records with keys, of many lengths, through both ways into the broker, read by two consumers that split the
/// partitions.
package func roundTrip(_ broker: BrokerAddress, records: Int) async throws {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    try await admin.createTopic("trip", partitions: 4)
    var configuration = Producer.Configuration()
    configuration.bufferBytes = 4 << 20
    let producer = try await Producer(topic: "trip", broker: broker, configuration: configuration)
    defer { producer.close() }
    var sent: [String: [[UInt8]]] = [:]
    for number in 0..<records {
        let key = "key-\(number % 37)"
        let length = number % 500 == 499 ? 60_000 : [0, 1, 10, 100, 1000, 3000][number % 6]
        let value = filler(length, number)
        sent[key, default: []].append(value)
        try await producer.send(key: Array(key.utf8), value: value)
        // Now and then a small batch, so that eager ones and pulled ones take turns.
        if number % 700 == 0 { try await producer.flush() }
    }
    try await producer.flush()
    async let first = readAll("trip", of: broker, partitions: [0, 1])
    async let second = readAll("trip", of: broker, partitions: [2, 3], ringBytes: 256 << 10)
    var got: [String: [[UInt8]]] = [:]
    var offsets: [Int: Int64] = [:]
    for record in try await first + second {
        try expect(
            record.offset == offsets[record.partition, default: 0],
            "offset \(record.offset) of partition \(record.partition) is out of place")
        offsets[record.partition] = record.offset + 1
        let partition = Partitioner.partition(forKey: Array(record.key.utf8), count: 4)
        try expect(partition == record.partition, "\(record.key) is in partition \(record.partition)")
        got[record.key, default: []].append(record.value)
    }
    try expect(
        offsets.values.reduce(0, +) == Int64(records), "\(offsets.values.reduce(0, +)) of \(records) records came back")
    try expect(got == sent, "values differ, or stand in another order within a key")
    let ends = try await admin.describeTopic("trip").map { $0.endOffset }
    try expect(ends == (0..<4).map { offsets[$0, default: 0] }, "described ends are \(ends)")
}

/// A ring of three batches of up to half of it, released out of order, one partition paused for a while, two receives;
/// and a batch that no ring of this size can hold.
package func smallRing(_ broker: BrokerAddress) async throws {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    try await admin.createTopic("ring", partitions: 2)
    var producing = Producer.Configuration()
    let ringBytes = 48 << 10
    producing.batchBytes = ringBytes / 2 - 64
    let producer = try await Producer(topic: "ring", broker: broker, configuration: producing)
    defer { producer.close() }
    for number in 0..<400 {
        try await producer.send(value: filler(1 + (number * 911) % 24_400, number), partition: number % 2)
        if number % 3 == 0 { try await producer.flush() }
    }
    try await producer.flush()
    var configuration = Consumer.Configuration()
    configuration.ringBytes = ringBytes
    configuration.messagesInFlight = 2
    let consumer = try await Consumer(topic: "ring", broker: broker, configuration: configuration)
    var next = [0: 0, 1: 1]
    var held: [ConsumedBatches] = []
    var isPaused = false
    while next[0]! < 400 || next[1]! < 400 {
        if next[1]! > 100, next[0]! < 400, !isPaused {
            try consumer.pause([TopicPartition("ring", 1)])
            isPaused = true
        } else if next[0]! >= 400, isPaused {
            try consumer.resume([TopicPartition("ring", 1)])
            isPaused = false
        }
        if let batches = try consumer.poll(timeoutMilliseconds: held.isEmpty ? 20_000 : 20) {
            try batches.forEachRecord { record in
                let number = next[batches.partition]!
                let value = unsafe Array(record.value!)
                try expect(value == filler(1 + (number * 911) % 24_400, number), "record \(number) differs")
                next[batches.partition] = number + 2
            }
            held.append(batches)
        } else {
            try expect(!held.isEmpty, "stalled at \(next)")
        }
        // The youngest first.
        if held.count >= 2 || next[0]! + next[1]! >= 800 || held.count == 1 && held[0].byteCount > 8000 {
            while let batches = held.popLast() { batches.release() }
        }
    }
    consumer.close()
    var large = Producer.Configuration()
    large.batchBytes = 256 << 10
    let other = try await Producer(topic: "ring", broker: broker, configuration: large)
    defer { other.close() }
    _ = try await other.sendAndWait(value: filler(100_000, 1), partition: 0)
    do {
        _ = try await readAll("ring", of: broker, partitions: [0], ringBytes: ringBytes)
        throw ScenarioFailure("a batch of 100,000 bytes came through a ring of 49,152")
    } catch let error as ClientError {
        try expect(error.description.contains("raise ringBytes"), "\(error)")
    }
}

/// Where a consumer begins.
package func positions(_ broker: BrokerAddress) async throws {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    try await admin.createTopic("positions")
    let producer = try await Producer(topic: "positions", broker: broker)
    defer { producer.close() }
    for number in 0..<100 { try await producer.send(value: Array("\(number)".utf8)) }
    try await producer.flush()
    func first(_ consumer: Consumer) throws -> (Int64, String) {
        guard let batches = try consumer.poll(timeoutMilliseconds: 20_000) else {
            throw ScenarioFailure("nothing came")
        }
        defer { batches.release() }
        var found: (Int64, String)?
        try batches.forEachRecord { record in
            if found == nil { found = (record.offset, unsafe String(decoding: record.value!, as: UTF8.self)) }
        }
        return found!
    }
    // In the middle of a batch: the records before it are left out.
    let middle = try await Consumer(topic: "positions", from: .offset(42), broker: broker)
    let start = try first(middle)
    try expect(start == (42, "42"), "from offset 42 came \(start)")
    middle.close()
    let latest = try await Consumer(topic: "positions", from: .latest, broker: broker)
    let delivered = try await producer.sendAndWait(value: Array("new".utf8))
    try expect(delivered.offset == 100, "the new record has offset \(delivered.offset)")
    let end = try first(latest)
    try expect(end == (100, "new"), "from the end came \(end)")
    latest.close()
    do {
        _ = try await Consumer(topic: "positions", from: .offset(5000), broker: broker)
        throw ScenarioFailure("a consumer begins at offset 5000 of 101")
    } catch {
        try expect("\(error)".contains("OFFSET_OUT_OF_RANGE"), "\(error)")
    }
    do {
        _ = try await Consumer(topic: "nowhere", broker: broker)
        throw ScenarioFailure("a topic that is not there is read")
    } catch {
        try expect("\(error)".contains("no topic named nowhere"), "\(error)")
    }
}
