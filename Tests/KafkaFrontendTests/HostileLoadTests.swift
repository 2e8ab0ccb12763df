import Foundation
import RdmadClient
import Synchronization
import Testing

@testable import KafkaFrontend

/// Many clients that ask for as much as they can, beside some that only want to work: all of it together, under load.
/// What keeps them apart is tested alone where each part can be seen to fail; this needs more than one part to be wrong.
@Suite(.serialized, .timeLimit(.minutes(3))) struct HostileLoadTests {
    private static let partitions: Int32 = 300

    /// The most expensive requests that a client may send, one after the other.
    private static func expensive(_ seed: Int32) -> [[UInt8]] {
        typealias R = Requests
        let all = (0..<partitions)
        let offsets = all.flatMap { R.bytes($0) + R.bytes(Int64(1)) }
        let fetched = all.flatMap { R.bytes($0) + R.bytes(Int64(0)) + R.bytes(Int32(1 << 20)) }
        let metadata = R.bytes(Int32(100_000)) + [UInt8](repeating: 7, count: 100_000)
        return [
            // Metadata 1 of all topics; ListOffsets 1 by time; Fetch 4 of all partitions, which waits.
            R.frame(3, version: 1, R.bytes(Int32(-1))),
            R.frame(
                2, version: 1,
                R.bytes(Int32(-1)) + R.bytes(Int32(1)) + R.string("many") + R.bytes(partitions) + offsets),
            R.frame(
                1, version: 4,
                R.bytes(Int32(-1)) + R.bytes(Int32(100)) + R.bytes(Int32.max) + R.bytes(Int32.max) + [0]
                    + R.bytes(Int32(1)) + R.string("many") + R.bytes(partitions) + fetched),
            // JoinGroup 1 with a large subscription: it waits for others.
            R.frame(
                11, version: 1,
                R.string("hostile\(seed % 8)") + R.bytes(Int32(10_000)) + R.bytes(Int32(1_000)) + R.string("")
                    + R.string("consumer") + R.bytes(Int32(1)) + R.string("range") + metadata),
        ]
    }

    /// The member keeps its membership, and each record is acknowledged, while 64 others ask without end.
    @Test func whoBehavesIsServedBesideWhoDoesNot() async throws {
        let broker = try TwoDoorBroker()
        defer { broker.stop() }
        let admin = Admin(broker: broker.address)
        try await admin.createTopic("many", partitions: Int(Self.partitions))
        try await admin.createTopic("t")
        admin.close()
        let port = broker.kafkaPort
        let answered = Mutex(0)
        let isOver = Atomic(false)
        let hostile = try (0..<64 as Range<Int32>).map { (number) -> RawClient in
            let client = try RawClient(port: port)
            Thread {
                let requests = Self.expensive(number).flatMap { $0 }
                while !isOver.load(ordering: .relaxed), (try? client.send(requests)) != nil {
                    // Those that no room is found for may be disconnected: they have no right to more.
                    for _ in 0..<4 where (try? client.receiveFrame()) != nil { answered.withLock { $0 += 1 } }
                }
            }.start()
            return client
        }
        let member = try GroupMemberClient(port: port)
        let producer = try RawClient(port: port)
        // Longer than a session.
        let end = Date() + 8
        var round: Int32 = 0
        while Date() < end {
            for index in 0..<4 {
                try producer.send(Requests.produce(Requests.batch(valueBytes: 100), correlationID: round))
                let answer = try producer.receiveFrame()
                #expect(answer[19..<21].allSatisfy { $0 == 0 }, "record \(round) \(index): \(answer)")
            }
            #expect(try member.beat() == 0)
            round += 1
            // The others are served, too.
            while answered.withLock({ $0 }) < 16 * round { usleep(5_000) }
        }
        isOver.store(true, ordering: .relaxed)
        withExtendedLifetime(hostile) {}
    }
}

/// The only member of a group, in JoinGroup 2, SyncGroup 0 and Heartbeat 0.
private final class GroupMemberClient {
    private let client: RawClient
    private let generation: Int32
    private let id: String

    init(port: Int) throws {
        client = try RawClient(port: port)
        try client.send(
            Requests.frame(
                11, version: 2,
                Requests.string("good") + Requests.bytes(Int32(6_000)) + Requests.bytes(Int32(6_000))
                    + Requests.string("") + Requests.string("consumer") + Requests.bytes(Int32(1))
                    + Requests.string("range") + Requests.bytes(Int32(1)) + [1]))
        var rest = try client.receiveFrame()[8...]
        func number(_ bytes: Int) -> Int {
            defer { rest = rest.dropFirst(bytes) }
            return rest.prefix(bytes).reduce(0) { $0 << 8 | Int($1) }
        }
        func text() -> String {
            let count = number(2)
            defer { rest = rest.dropFirst(count) }
            return String(decoding: rest.prefix(count), as: UTF8.self)
        }
        let error = number(2)
        try #require(error == 0)
        generation = Int32(number(4))
        _ = (text(), text())
        id = text()
        try client.send(
            Requests.frame(
                14, version: 0,
                Requests.string("good") + Requests.bytes(generation) + Requests.string(id) + Requests.bytes(Int32(1))
                    + Requests.string(id) + Requests.bytes(Int32(1)) + [9]))
        #expect(try client.receiveFrame()[4..<6].allSatisfy { $0 == 0 })
    }

    /// The error.
    func beat() throws -> Int {
        try client.send(
            Requests.frame(
                12, version: 0, Requests.string("good") + Requests.bytes(generation) + Requests.string(id)))
        return try client.receiveFrame()[4..<6].reduce(0) { $0 << 8 | Int($1) }
    }
}
