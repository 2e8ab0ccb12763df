import Foundation
import Glibc
import KafkaProtocol
import Testing

@testable import KafkaFrontend

/// Bytes that nobody should send, and more connections than anybody needs.
@Suite(.timeLimit(.minutes(5))) struct HostileTests {
    private static var isLong: Bool { ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] == "1" }

    /// The requests of kafka-python's codec, in every version.
    private static func goldenRequests() throws -> [[UInt8]] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("KafkaProtocolTests/golden/kafka-python.txt")
        return try String(contentsOf: path, encoding: .utf8).split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ", maxSplits: 4)
            guard parts.count == 5, parts[1] == "Request" else { return nil }
            let digits = parts[3].utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
            return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        }
    }

    /// Golden frames with bytes changed, cut out or doubled: whatever becomes of the connection that sends them,
    /// another one is answered after each, and nothing is left in the pool.
    @Test func damagedFramesDisturbNobody() throws {
        let frames = try Self.goldenRequests()
        #expect(frames.count > 100)
        let configuration = StubReactor.configuration {
            $0.requestBytesMax = 1 << 20
            $0.queuedBytesMax = 4 << 20
        }
        let server = try StubReactor(configuration) { Requests.emptyAnswer($0) }
        defer { server.stop() }
        let bystander = try server.connect()
        var random = SplitMix(seed: 6)
        let rounds = Self.isLong ? 100_000 : 1500
        var client = try server.connect()
        for round in 0..<rounds {
            var bytes = frames[Int(random.next() % UInt64(frames.count))]
            for _ in 0...random.next() % 4 {
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 8 {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                case 2: bytes += frames[Int(random.next() % UInt64(frames.count))]
                // The body, not the length: most frames shall be read.
                default: bytes[max(4, place) % bytes.count] = UInt8(truncatingIfNeeded: random.next())
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let sent = client.sendSome(bytes)
            if sent < bytes.count || random.next() % 8 == 0 { client = try server.connect() }
            guard round % 16 == 0 else { continue }
            try bystander.send(Requests.heartbeat(Int32(round)))
            #expect(try bystander.receiveCorrelationID() == Int32(round))
        }
        #expect(server.counter("protocol_errors") > 0)
        client = try server.connect()
        #expect(server.waits { server.resources.pool.byteCounts.used == 0 })
    }

    @Test func thousandsOfConnections() throws {
        // Both ends of each are here: as many as the limit of open files has room for.
        var limit = rlimit()
        _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let count = min(Self.isLong ? 10_000 : 300, Int(clamping: limit.rlim_cur) / 2 - 100)
        try #require(count >= (Self.isLong ? 9_000 : 300), "ulimit -n is \(limit.rlim_cur)")
        let server = try StubReactor { Requests.emptyAnswer($0) }
        defer { server.stop() }
        var clients: [RawClient] = []
        for number in 0..<count {
            let client = try server.connect()
            try client.send(Requests.heartbeat(Int32(number)))
            clients.append(client)
        }
        for (number, client) in clients.enumerated() {
            #expect(try client.receiveCorrelationID() == Int32(number))
        }
        for client in clients.reversed() { try client.send(Requests.apiVersions(0, 1)) }
        for client in clients { _ = try client.receiveFrame() }
        #expect(server.counter("connections_accepted") == count)
        #expect(server.resources.pool.byteCounts.used == 0)
    }
}

/// Numbers from a seed.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
