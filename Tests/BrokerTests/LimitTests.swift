import BrokerCore
import BrokerTestSupport
import FabricFrontend
import Foundation
import Glibc
import RDMATransport
import RdmadClient
import Testing
import TopicLog
import TopicProtocol
import TransportTestSupport

/// Every limit of the broker is met here, and says its name and its setting.
@Suite struct LimitTests {
    private func client(_ broker: TestBroker) throws -> RawClient<SharedMemoryFabric> {
        let path = broker.socketPath
        return try RawClient(
            try SharedMemoryFabric(configuration: .client),
            connect: {
                try $0.connect(path: path, privateData: $1)
            })
    }

    @Test func connections() async throws {
        let broker = try TestBroker(options: ["--max-connections", "3"])
        var clients = try (0..<3).map { _ in try client(broker) }
        let refused = try broker.rdmad(["topic", "list"])
        #expect(refused.status == 1 && refused.error.contains("3 (--max-connections)"), "\(refused)")
        // Whoever waits comes in when another goes.
        let admin = Admin(broker: try broker.address, timeoutSeconds: 30)
        async let topics = admin.listTopics()
        usleep(100_000)
        clients.removeLast().fabric.shutdown()
        #expect(try await topics.isEmpty)
        admin.close()
        #expect(broker.log.contains("connection refused"))
        #expect(broker.stop() == 0)
        #expect(try broker.counter("protocol-errors") == 0)
    }

    /// Clients cannot fill the disk with lines.
    @Test func refusalsDoNotFillTheLog() throws {
        let broker = try TestBroker(options: ["--max-connections", "1"])
        let admitted = try client(broker)
        for _ in 0..<40 { #expect(throws: (any Error).self) { try client(broker) } }
        admitted.fabric.shutdown()
        #expect(broker.stop() == 0)
        let lines = broker.log.split(separator: "\n")
        #expect(lines.count { $0.contains("connection refused") } == 10, "\(lines.suffix(20))")
    }

    @Test func topicsAndPartitions() throws {
        let broker = try TestBroker(options: ["--topics-max", "2", "--partitions-max", "6"])
        #expect(try broker.rdmad(["topic", "create", "a", "--partitions", "4"]).status == 0)
        let partitions = try broker.rdmad(["topic", "create", "b", "--partitions", "3"])
        #expect(partitions.status == 1 && partitions.error.contains("limit is 6 (--partitions-max)"), "\(partitions)")
        #expect(try broker.rdmad(["topic", "create", "b"]).status == 0)
        let topics = try broker.rdmad(["topic", "create", "c"])
        #expect(topics.status == 1 && topics.error.contains("limit is 2 (--topics-max)"), "\(topics)")
        let more = try broker.rdmad(["topic", "add-partitions", "b", "--partitions", "3"])
        #expect(more.status == 1 && more.error.contains("--partitions-max"), "\(more)")
        let wide = try broker.rdmad(["topic", "add-partitions", "b", "--partitions", "1025"])
        #expect(wide.status == 1 && !wide.error.isEmpty)
        #expect(broker.stop() == 0)
    }

    @Test func subscriptionsAndRings() throws {
        let broker = try TestBroker(options: ["--subscriptions-max", "2", "--ring-bytes-max", "8192"])
        #expect(try broker.rdmad(["topic", "create", "t", "--partitions", "3"]).status == 0)
        let client = try client(broker)
        let large = try client.ask(.openRing(key: 1, address: 0, byteCount: 16_384))
        #expect(large.error == .invalidRequest && large.text.contains("8192 bytes (--ring-bytes-max)"), "\(large)")
        #expect(try client.ask(.openRing(key: 1, address: 0, byteCount: 8192)).error == .none)
        for partition in 0..<2 as Range<UInt32> {
            #expect(try client.ask(.subscribe(.init(topicID: 1, partition: partition), offset: 0)).error == .none)
        }
        let third = try client.ask(.subscribe(.init(topicID: 1, partition: 2), offset: 0))
        #expect(third.error == .limitReached && third.text.contains("limit is 2 (--subscriptions-max)"), "\(third)")
        // One more of the same partition takes the place of the one before.
        let again = try client.ask(.subscribe(.init(topicID: 1, partition: 1), offset: -2))
        #expect(again.error == .none, "\(again)")
        #expect(broker.stop() == 0)
    }

    @Test func longBatches() throws {
        let broker = try TestBroker(options: ["--max-message-bytes", "2000"])
        #expect(try broker.rdmad(["topic", "create", "t"]).status == 0)
        let sender = try client(broker)
        let target = PartitionAddress(topicID: 1, partition: 0)
        #expect(try sender.ask(.produce(target, byteCount: 2001, key: 1, address: 0)).error == .messageTooLarge)
        #expect(broker.log.contains("the limit is 2000 (--max-message-bytes, max.message.bytes)"), "\(broker.log)")
        for (bytes, option, limit) in [(3000, "1048576", "2000"), (2000, "1500", "1500")] {
            let line = String(repeating: "x", count: bytes)
            let produced = try broker.rdmad(["produce", "t", "--batch-bytes", option], input: "before\n\(line)\nafter")
            #expect(produced.error.hasPrefix("rdmad: line 2: a record of \(bytes) bytes "))
            let setting =
                option == limit ? "batch.size, --batch-bytes" : "message.max.bytes, 'rdmad serve --max-message"
            #expect(produced.status == 1 && produced.error.contains("a batch of \(limit) bytes: "), "\(produced)")
            #expect(produced.error.contains(setting), "\(produced)")
        }
        #expect(try broker.rdmad(["consume", "t", "--exit-at-end"]).output == "before\nbefore\n")
        #expect(broker.stop() == 0)
    }

    /// A compacted topic takes records with keys only, of compressed batches where the broker looks into them.
    @Test(arguments: [[], ["--validate-records"]]) func keysOfCompactedTopics(_ options: [String]) throws {
        let broker = try TestBroker(options: options)
        #expect(try broker.rdmad(["topic", "create", "c", "--config", "cleanup.policy=compact"]).status == 0)
        let refused = try broker.rdmad(["produce", "c"], input: "no key")
        #expect(refused.status == 1 && refused.error.contains("INVALID_RECORD"), "\(refused)")
        #expect(refused.error.contains("a record without a key"), "\(refused)")
        #expect(broker.log.contains("c is compacted, and record 0 of the batch has no key"), "\(broker.log)")
        let line = String(repeating: "no key either ", count: 20)
        let compressed = try broker.rdmad(["produce", "c", "--compression", "zstd"], input: line)
        #expect((compressed.status == 0) == options.isEmpty, "\(compressed)")
        let keyed = try broker.rdmad(["produce", "c", "--key-column", "1"], input: "a,1\nb,2")
        #expect(keyed.status == 0, "\(keyed)")
        #expect(
            try broker.rdmad(["consume", "c", "--exit-at-end"]).output
                == (options.isEmpty ? line + "\n" : "") + "a,1\nb,2\n")
        #expect(broker.stop() == 0)
    }

    /// A batch whose checksum is right, and whose compressed records are none.
    @Test(arguments: [[], ["--validate-records"]]) func recordsThatAreNone(_ options: [String]) throws {
        let broker = try TestBroker(options: options)
        #expect(try broker.rdmad(["topic", "create", "t"]).status == 0)
        var batch = makeBatch(valueBytes: 100)
        batch[22] = UInt8(CompressionType.gzip.rawValue)
        let sum = unsafe CRC32C.checksum(batch.span.bytes.extracting(21...))
        batch.replaceSubrange(17..<21, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: sum >> $0) })
        let error = try unsafe batch.withUnsafeMutableBytes {
            unsafe try client(broker).ask(.produceEager(PartitionAddress(topicID: 1, partition: 0), batch: $0)).error
        }
        #expect(error == (options.isEmpty ? .none : .invalidRecord))
        #expect(options.isEmpty || broker.log.contains("the records are no valid gzip"), "\(broker.log)")
        #expect(broker.stop() == 0)
    }

    /// As many as the limit says are served, one more at a time ends the connection.
    @Test(arguments: [2, 3]) func batchesInFlight(_ count: Int) throws {
        var limits = DoorLimits()
        limits.producesInFlightMax = 2
        let broker = try TurnedBroker(limits: limits)
        let target = try broker.fill("t", batches: 0, bytes: 0)
        let client = try broker.connect()
        let batch = makeBatch(valueBytes: 1000)
        let region = try client.share(4096, .read, content: batch)
        for _ in 0..<count {
            try client.send(
                .produce(target, byteCount: UInt32(batch.count), key: region.key, address: region.address))
        }
        try broker.turn(until: "outcome") { client.isDisconnected || client.acks.count == 2 }
        #expect(client.isDisconnected == (count > 2))
    }

    /// Their messages are given back once.
    @Test(arguments: [2, 3]) func eagerBatchesInFlight(_ count: Int) throws {
        var limits = DoorLimits()
        limits.producesInFlightMax = 2
        let broker = try TurnedBroker(limits: limits)
        let target = try broker.fill("t", batches: 0, bytes: 0)
        let client = try broker.connect()
        var batch = makeBatch(valueBytes: 100)
        for _ in 0..<count {
            unsafe try batch.withUnsafeMutableBytes { unsafe try client.send(.produceEager(target, batch: $0)) }
        }
        try broker.turn(until: "outcome") { client.isDisconnected || client.acks.count == 2 }
        #expect(client.isDisconnected == (count > 2))
        let other = try broker.connect()
        unsafe try batch.withUnsafeMutableBytes { unsafe try other.send(.produceEager(target, batch: $0)) }
        try broker.turn(until: "another's acknowledgement") { other.acks.count == 1 }
    }

    /// A piece of a JOIN_GROUP that is not the last.
    private let piece = [20, 1, 0, 0, 5, 0, 0, 0] + [UInt8](repeating: 0, count: 8000)

    /// Who stops in the middle of a request is told so and cut off; nobody else is.
    @Test func aRequestThatDoesNotBecomeWhole() throws {
        var limits = DoorLimits()
        limits.fragmentTimeoutMilliseconds = 100
        let broker = try TurnedBroker(limits: limits)
        let (silent, other) = (try broker.connect(), try broker.connect())
        try silent.send(piece)
        try broker.turn(until: "end") { silent.isDisconnected }
        #expect(silent.answers == [.requestTimedOut] && broker.door.counters.protocolErrors == 1)
        try other.send(.listTopics(after: ""))
        try broker.turn(until: "answer") { !other.answers.isEmpty }
        #expect(other.answers == [.none] && !other.isDisconnected)
    }

    /// Those that hold half a request make room for the next one, the oldest first.
    @Test func requestsInFragmentsOfAllConnections() throws {
        var limits = DoorLimits()
        limits.fragmentBytesMax = 40_000
        let broker = try TurnedBroker(limits: limits)
        let clients = try (0..<4).map { _ in try broker.connect() }
        for client in clients {
            for _ in 0..<2 { try client.send(piece) }
            broker.turn()
        }
        try broker.turn(until: "end of the oldest") { clients.count { $0.isDisconnected } == 2 }
        #expect(clients.map(\.isDisconnected) == [true, true, false, false])
        #expect(clients.map(\.answers) == [[.limitReached], [.limitReached], [], []])
    }

    /// Clients that do not listen: the one that has the most waiting goes.
    @Test func answersOfAllConnections() throws {
        var limits = DoorLimits()
        limits.answerBytesMax = 100_000
        let broker = try TurnedBroker(limits: limits)
        try broker.broker.perform(.create(TopicCreation("wide", partitions: 1000, configs: [])))
        let clients = try (0..<3).map { _ in try broker.connect() }
        // 64 answers of 8 kB find room, the others wait: together too many.
        for (client, count) in zip(clients, [66, 68, 74]) {
            client.isDeaf = true
            for number in 0..<count {
                try client.send(.describeTopic(name: "wide", firstPartition: 0))
                if number % 32 == 31 { broker.turn() }
            }
            broker.turn()
        }
        for client in clients { client.isDeaf = false }
        try broker.turn(until: "the others' answers") {
            clients[2].isDisconnected && clients[0].answers.count == 66 && clients[1].answers.count == 68
        }
        #expect(broker.door.counters.protocolErrors == 1)
    }

    /// What comes behind a frame that broke the protocol is not served.
    @Test func nothingIsServedBehindABrokenFrame() throws {
        let broker = try TurnedBroker(limits: DoorLimits())
        let client = try broker.connect()
        try client.send([99, 0, 0, 0, 1, 0, 0, 0])
        try client.send(.createTopic(name: "late", partitions: 1))
        try client.send([99, 0, 0, 0, 1, 0, 0, 0])
        try broker.turn(until: "end") { client.isDisconnected }
        #expect(broker.broker.topicCount == 0 && broker.door.counters.protocolErrors == 1)
    }

    @Test func limitsThatMakeNoSense() throws {
        for arguments in [
            ["--max-connections", "0"], ["--topics-max", "0"], ["--groups-max", "0"], ["--offsets-max", "0"],
            ["--producer-id-expiration-ms", "0"], ["--partitions-max", "x"], ["--in-flight-max", "5000"],
            ["--ring-bytes-max", "1"], ["--fragment-timeout-ms", "0"], ["--quota-produce", "0"],
            ["--quota-consume", "=5"], ["--quota-produce", "a=b"],
        ] {
            let (_, error, status) = try TestBroker.rdmad(["serve"] + arguments, broker: "shm:///tmp/none")
            #expect(status == 64 && error.contains(arguments[0]), "\(arguments): \(status) \(error)")
        }
    }

    /// Kafka's clients are more than there are descriptors: nobody spins, the log says it now and then, and those who
    /// wait come in when others go.
    @Test func descriptors() throws {
        let broker = try TestBroker(
            options: ["--listen", "kafka://127.0.0.1:0"], prefix: ["/usr/bin/prlimit", "--nofile=100:100"])
        let port = try #require(broker.log.firstMatch(of: /on=kafka:\/\/127\.0\.0\.1:(\d+)/).flatMap { UInt16($0.1) })
        var clients = try (0..<150).map { _ in try connectedSocket(port) }
        defer { for client in clients { close(client) } }
        // It has tried a second time, a second later: then the first accept fails.
        let line = "kafka connections cannot be accepted"
        for _ in 0..<1000 where broker.log.split(separator: line).count < 3 { usleep(10_000) }
        let before = try processorTicks(broker.pid)
        usleep(500_000)
        #expect(try processorTicks(broker.pid) - before < 10, "of 50 in half a second")
        #expect(broker.log.split(separator: line).count <= 5)
        for client in clients.dropLast() { close(client) }
        clients = [clients[149]]
        // ApiVersions 0.
        let request: [UInt8] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255]
        #expect(unsafe send(clients[0], request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
        var answer: [UInt8] = Array(repeating: 0, count: 8)
        #expect(unsafe recv(clients[0], &answer, 8, Int32(MSG_WAITALL)) == 8 && answer[7] == 7)
        #expect(broker.stop() == 0)
    }

    /// A socket on loopback; what it waits for it has within a minute.
    private func connectedSocket(_ port: UInt16) throws -> Int32 {
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 60, tv_usec: 0)
        _ = unsafe setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0, "connect: errno \(errno)")
        return client
    }

    /// What a process has used of the processor, in hundredths of a second.
    private func processorTicks(_ pid: Int32) throws -> Int {
        let fields = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8).split(separator: " ")
        return try #require(Int(fields[13])) + #require(Int(fields[14]))
    }
}

/// What a broker with very many partitions takes.
@Suite struct ManyPartitionsTests {
    private func residentMebibytes(_ pid: Int32) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) }) / 1024
    }

    /// 100,000 with 256 descriptors: in bounded memory, after a restart too, and each can be written and read.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] != nil))
    func aHundredThousand() async throws {
        let broker = try TestBroker(prefix: ["/usr/bin/prlimit", "--nofile=256:256"])
        let names = (0..<100).map { "wide-\($0)" }
        let created = try broker.rdmad(["topic", "create", "--partitions", "1000"] + names)
        #expect(created.status == 0, "\(created.error)")
        let more = try broker.rdmad(["topic", "create", "one-more"])
        #expect(more.status == 1 && more.error.contains("limit is 100000 (--partitions-max)"), "\(more)")
        let first = try residentMebibytes(broker.pid)
        #expect(broker.stop() == 0)
        try broker.start()
        let second = try residentMebibytes(broker.pid)
        print("100,000 partitions: \(first) MiB, \(second) MiB after a restart")
        #expect(first < 400 && second < 400)
        let producer = try await Producer(topic: "wide-50", broker: try broker.address)
        for partition in 0..<1000 { try await producer.send(value: filler(100, partition), partition: partition) }
        try await producer.flush()
        producer.close()
        let records = try await readAll("wide-50", of: try broker.address)
        #expect(records.count == 1000 && records.allSatisfy { $0.value == filler(100, $0.partition) })
        #expect(broker.stop() == 0)
    }
}
