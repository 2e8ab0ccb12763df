import Testing

@testable import TopicProtocol

/// The frames of administration against bytes packed by hand (Python's `struct`) from docs/protocol.md.
@Suite struct AdminFrameTests {
    static let partition = PartitionAddress(topicID: 1, partition: 2)
    static let requests: [(AdminRequest, String)] = [
        (
            .alterConfigs(
                topic: "t",
                changes: [
                    ConfigChange(name: "retention.ms", value: "1"), ConfigChange(name: "segment.ms", value: nil),
                ]),
            "0c000000070000000100740200000c00726574656e74696f6e2e6d73010031010a007365676d656e742e6d730000"
        ),
        (.describeConfigs(topic: "t"), "0d00000007000000010074"),
        (.addPartitions(topic: "t", total: 258), "0e0000000700000002010000010074"),
        (.listOffsets(partition, timestamp: -3), "0f000000070000000100000002000000fdffffffffffffff"),
        (.deleteRecords(partition, before: 258), "100000000700000001000000020000000201000000000000"),
    ]

    private func parse(_ frame: [UInt8]) throws -> (id: UInt32, AdminRequest) {
        var frame = frame
        let (id, request) = try unsafe frame.withUnsafeMutableBytes { unsafe try Request.parse($0) }
        guard case .admin(let admin) = request else { throw FrameError("another request") }
        return (id, admin)
    }

    @Test func requestsHaveTheirBytes() throws {
        for (request, golden) in Self.requests {
            #expect(Fragments.message { Request.admin(request).encode(id: 7, into: &$0) } == bytes(golden))
            let (id, parsed) = try parse(bytes(golden))
            #expect(id == 7 && parsed == request)
            #expect(Request.admin(request).oldestVersion == 2)
        }
    }

    @Test func everyCutAndEveryExtraByteIsRefused() {
        for (_, golden) in Self.requests {
            let frame = bytes(golden)
            for count in 0..<frame.count { #expect(throws: FrameError.self) { try parse(Array(frame[..<count])) } }
            #expect(throws: FrameError.self) { try parse(frame + [0]) }
        }
    }

    /// It is the end of two frames, and left out where everything is read: so version 1 has it.
    @Test func isolationLevels() throws {
        let list = "0f000000070000000100000002000000ffffffffffffffff"
        let subscribe = "09000000070000000100000002000000feffffffffffffff"
        func subscription(_ text: String) throws -> (Request, UInt16, IsolationLevel?) {
            var frame = bytes(text)
            let (_, request) = try unsafe frame.withUnsafeMutableBytes { unsafe try Request.parse($0) }
            guard case .subscribe(Self.partition, -2, let level) = request else { return (request, 0, nil) }
            return (request, request.oldestVersion, level)
        }
        for (level, byte, version) in [(IsolationLevel.readUncommitted, "", 1), (.readCommitted, "01", 2)] {
            #expect(try parse(bytes(list + byte)).1 == .listOffsets(Self.partition, timestamp: -1, level))
            let (request, oldest, parsed) = try subscription(subscribe + byte)
            #expect(parsed == level && oldest == version)
            #expect(Fragments.message { request.encode(id: 7, into: &$0) } == bytes(subscribe + byte))
        }
        for text in [list, subscribe] {
            for wrong in ["00", "02", "ff", "0100", "0101"] {
                #expect(throws: FrameError.self) { try subscription(text + wrong) }
            }
        }
    }

    @Test func falseChangesAreRefused() {
        let alter = bytes(Self.requests[0].1)
        var many = alter
        many[11] = 17
        var unknown = alter
        unknown[13] = 2
        // To delete, with a value.
        var deletion = alter
        deletion[13] = 1
        for frame in [many, unknown, deletion] { #expect(throws: FrameError.self) { try parse(frame) } }
    }

    @Test func answersHaveTheirBytes() throws {
        let configs = [
            ConfigDescription(name: "retention.ms", value: "1", source: .topic, isReadOnly: false),
            ConfigDescription(name: "topics.max", value: "9", source: .builtIn, isReadOnly: true),
        ]
        let golden = "020001000c00726574656e74696f6e2e6d7301003105010a00746f706963732e6d6178010039"
        #expect(Fragments.message { ConfigDescription.encode(configs, into: &$0) } == bytes(golden))
        #expect(try read(golden) { reader throws(FrameError) in try ConfigDescription.list(from: &reader) } == configs)
        let listed = ListedOffset(offset: 258, timestamp: 1000)
        let bytesOfListed = "0201000000000000e803000000000000"
        #expect(Fragments.message { listed.encode(into: &$0) } == bytes(bytesOfListed))
        #expect(try read(bytesOfListed) { reader throws(FrameError) in try ListedOffset(from: &reader) } == listed)
    }

    private func read<T>(_ golden: String, _ body: (inout FrameReader) throws(FrameError) -> T) throws -> T {
        try unsafe bytes(golden).withUnsafeBytes { raw in
            var reader = unsafe FrameReader(raw)
            let value = try body(&reader)
            try reader.end()
            return value
        }
    }
}
