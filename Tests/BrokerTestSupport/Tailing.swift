package import RdmadClient
import TransportTestSupport

extension TestBroker {
    /// A counter of the last door that the broker closed: it has been stopped.
    package func counter(_ name: String) throws -> Int {
        let line = log.split(separator: "\n").last { $0.contains("door closed") } ?? ""
        for word in line.split(separator: " ") {
            let parts = word.split(separator: "=")
            if parts.count == 2, parts[0] == name, let value = Int(parts[1]) { return value }
        }
        throw ScenarioFailure("no \(name) in the broker's log: \(log)")
    }
}

/// Produces one batch for each value, round by round, while a consumer reads right behind: it has everything of a round
/// before the next one begins.
package func tail(_ broker: BrokerAddress, topic: String, rounds: Int, batches: Int, valueBytes: Int) async throws {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    try await admin.createTopic(topic, partitions: 2)
    let consumer = try await Consumer(topic: topic, from: .latest, broker: broker)
    defer { consumer.close() }
    let producer = try await Producer(topic: topic, broker: broker)
    defer { producer.close() }
    var next = [0, 1]
    for round in 1...rounds {
        let end = round * batches
        for number in end - batches..<end {
            try await producer.send(value: filler(valueBytes, number), partition: number % 2)
            // A record of 64 KiB is a batch; shorter ones would share one.
            if valueBytes < 32 << 10 { try await producer.flush() }
        }
        try await producer.flush()
        while next[0] < end || next[1] < end {
            guard let pushed = try consumer.poll(timeoutMilliseconds: 20_000) else {
                throw ScenarioFailure("nothing came after \(next) of \(end)")
            }
            try pushed.forEachRecord { record in
                let number = next[pushed.partition]
                let value = unsafe Array(record.value!)
                try expect(value == filler(valueBytes, number), "record \(number) differs")
                next[pushed.partition] += 2
            }
            pushed.release()
        }
    }
}

/// A producer that is faster than the arena is large, with a consumer that does not read until all is written.
package func lag(_ broker: BrokerAddress, batches: Int) async throws {
    let admin = Admin(broker: broker)
    defer { admin.close() }
    try await admin.createTopic("lag")
    var configuration = Consumer.Configuration()
    configuration.ringBytes = 256 << 10
    let consumer = try await Consumer(topic: "lag", broker: broker, configuration: configuration)
    defer { consumer.close() }
    let producer = try await Producer(topic: "lag", broker: broker)
    defer { producer.close() }
    for number in 0..<batches { try await producer.send(value: filler(65_000, number)) }
    try await producer.flush()
    var next = 0
    while next < batches {
        guard let pushed = try consumer.poll(timeoutMilliseconds: 20_000) else {
            throw ScenarioFailure("nothing came after \(next) of \(batches)")
        }
        try pushed.forEachRecord { record in
            let value = unsafe Array(record.value!)
            try expect(value == filler(65_000, next), "record \(next) differs")
            next += 1
        }
        pushed.release()
    }
}
