import BrokerCore
import Dispatch
import FabricFrontend
import Foundation
import Logging
import RdmadClient
import Reactor
import RecordFormat
import Synchronization
import Testing
import TopicLog

@testable import KafkaFrontend

/// One log, several doors: what comes in at one goes out at another, byte for byte.
@Suite(.serialized) struct CrossDoorTests {
    /// Over TCP in, over shared memory out.
    @Test func readsOverSharedMemoryWhatKafkaClientsProduced() async throws {
        let broker = try TwoDoorBroker()
        defer { broker.stop() }
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        try await admin.createTopic("t")
        let client = try RawClient(port: broker.kafkaPort)
        let sizes = [0, 1, 100, 5_000, 300_000, 1_000_000]
        for (index, size) in sizes.enumerated() {
            try client.send(Requests.produce(Requests.batch(valueBytes: size), correlationID: Int32(index)))
            let answer = try client.receiveFrame()
            #expect(answer[19..<21].allSatisfy { $0 == 0 }, "an error: \(answer)")
            #expect(answer[21..<29].reduce(0) { $0 << 8 | Int($1) } == index)
        }
        let consumer = try await Consumer(topic: "t", broker: broker.address)
        defer { consumer.close() }
        var values: [[UInt8]] = []
        while values.count < sizes.count {
            let batches = try #require(try await consumer.next())
            try batches.forEachRecord { record in
                #expect(record.offset == Int64(values.count))
                unsafe values.append(Array(record.value ?? .init(start: nil, count: 0)))
            }
        }
        #expect(values == sizes.map { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } })
    }

    /// In the log stands what was done, not what was asked for.
    @Test func onlyWhatWasDoneIsLogged() async throws {
        let lines = LogLines()
        let broker = try TwoDoorBroker(log: lines.logger)
        let admin = Admin(broker: broker.address)
        try await admin.createTopic("t")
        await #expect(throws: ClientError.self) { try await admin.createTopic("t") }
        await #expect(throws: ClientError.self) { try await admin.deleteTopic("nosuch") }
        try await admin.deleteTopic("t")
        admin.close()
        broker.stop()
        let changes = lines.all.filter { $0["topic"] != nil }
        #expect(changes.map { $0["message"] } == ["topic created", "topic deleted"])
        #expect(changes.allSatisfy { $0["topic"] == "t" })
    }

    /// Over shared memory in, over TCP out: the bytes of the segment's file.
    @Test func sendsKafkaClientsWhatCameOverSharedMemory() async throws {
        let broker = try TwoDoorBroker()
        defer { broker.stop() }
        let admin = Admin(broker: broker.address)
        defer { admin.close() }
        try await admin.createTopic("t")
        let producer = try await Producer(topic: "t", broker: broker.address)
        defer { producer.close() }
        for number in 0..<200 {
            try await producer.send(
                key: Array("k\(number)".utf8), value: [UInt8](repeating: UInt8(number), count: number * 40))
            if number % 20 == 19 { try await producer.flush() }
        }
        let client = try RawClient(port: broker.kafkaPort)
        try client.send(Requests.fetch(7))
        let answer = try client.receiveFrame()
        let records = Array(answer[49...])
        let stored = try Data(contentsOf: URL(fileURLWithPath: broker.path + "/data/t-0/00000000000000000000.log"))
        #expect(records.count > 199 * 100 * 40 && records == Array(stored))
        #expect(answer[45..<49].reduce(0) { $0 << 8 | Int($1) } == records.count)
    }
}
