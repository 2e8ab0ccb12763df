package import RDMATransport
package import RdmadClient
internal import RecordFormat
internal import TopicProtocol
internal import TransportTestSupport

/// A sealed batch of some records. Those of batches whose seeds differ by at least `records` differ.
package func batch(records: Int, valueBytes: Int = 100, seed: Int = 0) -> [UInt8] {
    var memory = [UInt8](repeating: 0, count: records * (valueBytes + 20) + 200)
    let count = unsafe memory.withUnsafeMutableBytes { buffer in
        var builder = unsafe RecordBatchBuilder(buffer: buffer)
        for number in 0..<records {
            precondition(builder.append(key: nil, value: filler(valueBytes, seed + number), timestampMilliseconds: 0))
        }
        return builder.seal()
    }
    return Array(memory[..<count])
}

/// Clients that break the protocol, one after another. Each is told or cut off; the broker serves others afterwards,
/// and what was acknowledged before is there at the end.
package struct Hostile<F: Fabric> {
    let makeFabric: () throws -> F
    let connect: (F, [UInt8]) throws -> ConnectionID
    let broker: BrokerAddress
    package init(
        _ broker: BrokerAddress, fabric: @escaping () throws -> F,
        connect: @escaping (F, [UInt8]) throws -> ConnectionID
    ) {
        self.broker = broker
        makeFabric = fabric
        self.connect = connect
    }

    private func client() throws -> RawClient<F> { try RawClient(makeFabric(), connect: connect) }

    /// Another client is served.
    private func checkAlive(_ after: String) async throws {
        let admin = Admin(broker: broker)
        defer { admin.close() }
        do { _ = try await admin.listTopics() } catch { throw ScenarioFailure("after \(after): \(error)") }
    }

    package func run(seed: UInt64) async throws {
        let admin = Admin(broker: broker)
        try await admin.createTopic("victim", partitions: 2)
        let producer = try await Producer(topic: "victim", broker: broker)
        let kept = try await producer.sendAndWait(value: Array("kept".utf8), partition: 0)
        try await framesThatEndTheConnection(seed)
        try await fragmentsThatEndTheConnection()
        try await brokenGroupFrames(seed)
        try await requestsThatAreRefused()
        try await producesThatAreRefused()
        try await memoryThatIsNotThere()
        try wrongVersion()
        let again = try await producer.sendAndWait(value: Array("after".utf8), partition: 0)
        try expect(again.offset == kept.offset + 1, "something refused has offset \(kept.offset + 1)")
        let records = try await readAll("victim", of: broker)
        try expect(
            records.map(\.value) == [Array("kept".utf8), Array("after".utf8)], "the log holds \(records.count) records")
        producer.close()
        admin.close()
    }

    private func framesThatEndTheConnection(_ seed: UInt64) async throws {
        var random = SplitMix(state: seed)
        var frames: [(String, [UInt8])] = [
            ("an empty frame", []), ("an unknown type", [99, 0, 0, 0, 1, 0, 0, 0]),
            ("a cut frame of a kind that is never cut", [5, 1, 0, 0, 1, 0, 0, 0, 0]),
            ("unknown flags", [20, 2, 0, 0, 1, 0, 0, 0, 0]), ("an empty fragment", [20, 1, 0, 0, 1, 0, 0, 0]),
            ("reserved bits", [5, 0, 1, 0, 1, 0, 0, 0]), ("a cut header", [5, 0, 0]),
            ("bytes behind the frame", [5, 0, 0, 0, 1, 0, 0, 0, 7]),
            ("a name longer than its frame", [2, 0, 0, 0, 1, 0, 0, 0, 200, 0, 65]),
            ("a name of 65535 bytes", [2, 0, 0, 0, 1, 0, 0, 0, 255, 255, 65]),
            ("a name that is not UTF-8", [2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0xff, 0xfe]),
            ("an eager batch of 4 GiB", [7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3]),
            ("credit for a ring that is not there", [11, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]),
        ]
        for number in 0..<20 {
            let length = Int(random.next() % 300)
            // The first byte is no known type, so that chance cannot make a valid frame.
            frames.append(
                (
                    "random bytes \(number), seed \(seed)",
                    [UInt8(64 + random.next() % 60)]
                        + (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                ))
        }
        for (what, frame) in frames {
            let client = try client()
            try client.send(frame)
            do { try client.waitDisconnect() } catch { throw ScenarioFailure("\(what): \(error)") }
            client.fabric.shutdown()
        }
        try await checkAlive("malformed frames")
    }

    /// Messages in pieces that do not fit together, or never end.
    private func fragmentsThatEndTheConnection() async throws {
        let foreign = try client()
        try foreign.send([20, 1, 0, 0, 1, 0, 0, 0, 0])
        try foreign.send([20, 1, 0, 0, 2, 0, 0, 0, 0])
        do { try foreign.waitDisconnect() } catch { throw ScenarioFailure("fragments of two messages: \(error)") }
        foreign.fabric.shutdown()
        let endless = try client()
        var piece = [UInt8](repeating: 0, count: 8184)
        (piece[0], piece[1]) = (20, 1)
        let end = monotonicNanoseconds() + 20_000_000_000
        sending: while monotonicNanoseconds() < end {
            switch TransportTestSupport.send(piece, on: endless.connection, of: endless.fabric) {
            case .posted, .full: endless.driver.turn()
            case .closed, .refused: break sending
            }
        }
        do { try endless.waitDisconnect() } catch { throw ScenarioFailure("a message without an end: \(error)") }
        endless.fabric.shutdown()
        try await checkAlive("fragments")
    }

    /// Requests about groups with some bytes changed: answered or cut off.
    private func brokenGroupFrames(_ seed: UInt64) async throws {
        var random = SplitMix(state: seed)
        let caller = GroupCaller(group: "g", generation: 1, memberID: "m", instanceID: "i")
        let requests: [GroupRequest] = [
            .join(
                JoinGroup(
                    group: "g", protocols: [GroupProtocol(name: "range", metadata: [1, 2, 3])],
                    sessionTimeoutMilliseconds: 10_000, rebalanceTimeoutMilliseconds: 10_000)),
            .sync(SyncGroup(caller: caller, assignments: [MemberAssignment(memberID: "m", assignment: [1])])),
            .heartbeat(caller), .leave(group: "g", members: [LeavingMember(memberID: "m")]),
            .commit(
                caller, [TopicOffsets(topic: "victim", partitions: [.init(partition: 0, offset: 1, metadata: "x")])]),
            .fetch(OffsetFetch(group: "g")), .describe(group: "g"),
        ]
        for number in 0..<100 {
            let request = requests[number % requests.count]
            guard var frame = Fragments.message({ Request.group(request).encode(id: 1, into: &$0) }) else { continue }
            for _ in 0...random.next() % 3 {
                frame[8 + Int(random.next() % UInt64(frame.count - 8))] = UInt8(truncatingIfNeeded: random.next())
            }
            let client = try client()
            try client.send(frame)
            // LIST_TOPICS: when the first one is answered late, this one tells that the connection stands.
            _ = try? client.send(.listTopics(after: ""))
            _ = try client.driver.wait(for: "an answer or an end, frame \(number), seed \(seed)") { event in
                switch event {
                case .received, .disconnected: true
                default: nil
                }
            }
            client.fabric.shutdown()
        }
        try await checkAlive("broken group frames")
    }

    private func requestsThatAreRefused() async throws {
        let client = try client()
        let names = [
            "../x", "", String(repeating: "a", count: 250).prefix(249) + "", "a/b", ".", "..", "with space", "é",
        ]
        for name in names where name.count != 249 {
            let (error, text) = try client.ask(.createTopic(name: name, partitions: 1))
            try expect(error == .invalidTopic && !text.isEmpty, "topic '\(name)' got \(error) \(text)")
        }
        for partitions in [0, 100_000, UInt32.max] as [UInt32] {
            let (error, text) = try client.ask(.createTopic(name: "many", partitions: partitions))
            try expect(
                [.invalidPartitions, .limitReached].contains(error) && !text.isEmpty,
                "\(partitions) partitions got \(error)")
        }
        let existing = try client.ask(.createTopic(name: "victim", partitions: 1))
        try expect(existing.error == .topicAlreadyExists, "a second victim got \(existing)")
        let missing = try client.ask(.deleteTopic(name: "nowhere"))
        try expect(missing.error == .unknownTopicOrPartition, "deleting nowhere got \(missing)")
        let early = try client.ask(.subscribe(PartitionAddress(topicID: 1, partition: 0), offset: 0))
        try expect(
            early.error == .invalidRequest && early.text.contains("ring"), "subscribing without a ring got \(early)")
        for bytes in [0, 4095, 4097, UInt64.max] as [UInt64] {
            let ring = try client.ask(.openRing(key: 1, address: 0, byteCount: bytes))
            try expect(ring.error == .invalidRequest, "a ring of \(bytes) bytes got \(ring)")
        }
        client.fabric.shutdown()
        try await checkAlive("refused requests")
    }

    private func producesThatAreRefused() async throws {
        let client = try client()
        let target = PartitionAddress(topicID: 1, partition: 1)
        let good = batch(records: 50)
        let region = try client.share(good, byteCount: 65536)
        func produce(_ count: UInt32, _ partition: PartitionAddress) throws -> ErrorCode {
            try client.ask(.produce(partition, byteCount: count, key: region.key, address: region.address)).error
        }
        for (count, expected) in [
            (UInt32.max, ErrorCode.messageTooLarge), (2_000_000, .messageTooLarge), (0, .corruptMessage),
            (60, .corruptMessage), (61, .corruptMessage),
        ] as [(UInt32, ErrorCode)] {
            let error = try produce(count, target)
            try expect(error == expected, "a batch of \(count) bytes got \(error)")
        }
        let nobody = try produce(UInt32(good.count), PartitionAddress(topicID: 77, partition: 0))
        try expect(nobody == .unknownTopicOrPartition, "topic 77 got \(nobody)")
        func eager(_ bytes: [UInt8]) throws -> ErrorCode {
            var bytes = bytes
            return try unsafe bytes.withUnsafeMutableBytes {
                unsafe try client.ask(.produceEager(target, batch: $0)).error
            }
        }
        // Every field that is checked, and a byte under the checksum.
        for (what, place) in [
            ("the magic", 16), ("the checksum", 17), ("the length", 11), ("the count", 60),
            ("a record", good.count - 3),
        ] {
            var bad = good
            bad[place] ^= 1
            let error = try eager(bad)
            try expect(error == .corruptMessage, "a flipped bit in \(what) got \(error)")
        }
        let short = try eager(Array(good.dropLast()))
        try expect(short == .corruptMessage, "a cut batch got \(short)")
        client.fabric.shutdown()
        // More in flight than allowed: memory that is never given keeps the first ones waiting.
        let greedy = try self.client()
        for _ in 0..<400 {
            var bytes = [UInt8](repeating: 0, count: 64)
            let request = Request.produce(target, byteCount: 1_000_000, key: region.key &+ 99, address: 1 << 40)
            let count = unsafe bytes.withUnsafeMutableBytes { unsafe request.encode(id: 1, into: $0) }
            if TransportTestSupport.send(Array(bytes[..<count]), on: greedy.connection, of: greedy.fabric) == .closed {
                break
            }
            greedy.driver.turn()
        }
        try greedy.waitDisconnect()
        greedy.fabric.shutdown()
        try await checkAlive("refused batches")
    }

    private func memoryThatIsNotThere() async throws {
        let good = batch(records: 5)
        for (what, key, address) in [
            ("past the end", 0, 65_000), ("a wrong key", 12345, 0), ("far away", 0, UInt64.max - 10),
        ] as [(String, UInt32, UInt64)] {
            let client = try client()
            let region = try client.share(good, byteCount: 65536)
            try client.send(
                .produce(
                    PartitionAddress(topicID: 1, partition: 1), byteCount: 4096, key: region.key &+ key,
                    address: address > 1 << 60 ? address : region.address + address))
            do { try client.waitDisconnect() } catch { throw ScenarioFailure("memory \(what): \(error)") }
            client.fabric.shutdown()
        }
        try await checkAlive("memory that is not there")
    }

    private func wrongVersion() throws {
        let fabric = try makeFabric()
        for (hello, expected) in [
            (Handshake.hello(oldest: 7, newest: 9), "broker speaks versions 1 to 2"),
            ([1, 2, 3], "not an rdmad client"),
        ] {
            let driver = Driver(fabric)
            let id = try connect(fabric, hello)
            let failure = try driver.wait(for: "rejection") { if case .rejected(id, let why) = $0 { why } else { nil } }
            let text = Handshake.parseRefusal(fabric.privateData(of: id))?.text
            try expect(
                failure == .rejectedByPeer && text == expected, "the refusal was \(failure), \(text ?? "without text")")
        }
        fabric.shutdown()
    }
}
