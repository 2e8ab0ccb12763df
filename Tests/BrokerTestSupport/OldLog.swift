import RdmadClient
import TransportTestSupport

/// A log that was written before the broker was started, read from the start by two consumers.
/// - Returns: its bytes, batch headers not counted.
package func oldLog(_ broker: TestBroker, batches: Int) async throws -> Int {
    let address = try broker.address
    let admin = Admin(broker: address)
    try await admin.createTopic("old")
    admin.close()
    let producer = try await Producer(topic: "old", broker: address)
    for number in 0..<batches { try await producer.send(value: filler(65_000, number)) }
    try await producer.flush()
    producer.close()
    try expect(broker.stop() == 0, "the broker did not stop")
    try broker.start()
    async let first = readAll("old", of: address)
    async let second = readAll("old", of: address, ringBytes: 256 << 10)
    for records in try await [first, second] {
        try expect(records.count == batches, "\(records.count) of \(batches) records")
        for (number, record) in records.enumerated() {
            try expect(record.offset == Int64(number), "offset \(record.offset) is out of place")
            try expect(record.value == filler(65_000, number), "record \(number) differs")
        }
    }
    return 65_000 * batches
}
