import Testing

@testable import TopicProtocol

/// The frames 1 to 11 as bytes, packed by hand from docs/protocol.md. All have the request id 0x01020304.
private enum GoldenRequests {
    static let createTopic: [UInt8] = [
        0x01, 0x00, 0x00, 0x00,  // type 1, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x02, 0x01, 0x00, 0x00,  // partitions 258
        0x03, 0x00, 0x61, 0xc3, 0xa9,  // name "aé"
    ]
    static let configs: [UInt8] = [
        0x02, 0x00,  // count
        0x0c, 0x00, 0x72, 0x65, 0x74, 0x65, 0x6e, 0x74, 0x69, 0x6f, 0x6e, 0x2e, 0x6d, 0x73,  // "retention.ms"
        0x02, 0x00, 0x2d, 0x31,  // "-1"
        0x01, 0x00, 0x78,  // "x"
        0x00, 0x00,  // ""
    ]
    static let deleteTopic: [UInt8] = [
        0x02, 0x00, 0x00, 0x00,  // type 2, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x03, 0x00, 0x61, 0xc3, 0xa9,  // name "aé"
    ]
    static let listTopics: [UInt8] = [
        0x03, 0x00, 0x00, 0x00,  // type 3, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x01, 0x00, 0x74,  // after "t"
    ]
    static let listAllTopics: [UInt8] = [
        0x03, 0x00, 0x00, 0x00,  // type 3, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x00, 0x00,  // after ""
    ]
    static let describeTopic: [UInt8] = [
        0x04, 0x00, 0x00, 0x00,  // type 4, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x02, 0x01, 0x00, 0x00,  // first partition 258
        0x01, 0x00, 0x74,  // name "t"
    ]
    static let allocateID: [UInt8] = [
        0x05, 0x00, 0x00, 0x00,  // type 5, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
    ]
    static let produce: [UInt8] = [
        0x06, 0x00, 0x00, 0x00,  // type 6, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x24, 0x23, 0x22, 0x21,  // partition 0x21222324
        0x34, 0x33, 0x32, 0x31,  // length 0x31323334
        0x44, 0x43, 0x42, 0x41,  // key 0x41424344
        0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,  // address 0x5152535455565758
    ]
    static let produceEager: [UInt8] = [
        0x07, 0x00, 0x00, 0x00,  // type 7, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x24, 0x23, 0x22, 0x21,  // partition 0x21222324
        0x05, 0x00, 0x00, 0x00,  // length 5
        0x09, 0x08, 0x07, 0x06, 0x05,  // batch
    ]
    static let openRing: [UInt8] = [
        0x08, 0x00, 0x00, 0x00,  // type 8, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x44, 0x43, 0x42, 0x41,  // key 0x41424344
        0x00, 0x00, 0x00, 0x00,  // 0
        0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,  // address 0x5152535455565758
        0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,  // length 0x6162636465666768
    ]
    static let subscribe: [UInt8] = [
        0x09, 0x00, 0x00, 0x00,  // type 9, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x24, 0x23, 0x22, 0x21,  // partition 0x21222324
        0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71,  // offset 0x7172737475767778
    ]
    static let unsubscribe: [UInt8] = [
        0x0a, 0x00, 0x00, 0x00,  // type 10, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x24, 0x23, 0x22, 0x21,  // partition 0x21222324
    ]
    static let ringCredit: [UInt8] = [
        0x0b, 0x00, 0x00, 0x00,  // type 11, flags, 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0xc0, 0x87, 0x86, 0x85, 0x84, 0x83, 0x82, 0x81,  // position 0x81828384858687c0
    ]
}

/// The requests of version 1 against bytes that this code did not make.
@Suite struct RequestFrameTests {
    static let partition = PartitionAddress(topicID: 0x1112_1314, partition: 0x2122_2324)
    static let configs = [TopicConfig(name: "retention.ms", value: "-1"), TopicConfig(name: "x", value: "")]

    private func parse<T>(_ frame: [UInt8], _ body: (UInt32, Request) -> T) throws -> T {
        var frame = frame
        return try unsafe frame.withUnsafeMutableBytes { raw in
            let (id, request) = unsafe try Request.parse(raw)
            return body(id, request)
        }
    }

    /// Both ways; and a frame that is cut anywhere, or has a byte more, is refused.
    /// - Parameter whole: So many bytes of it are a frame, too.
    private func check(
        _ request: Request, _ golden: [UInt8], whole: Int? = nil, _ isSame: (Request) -> Bool
    ) throws {
        #expect(Fragments.message { request.encode(id: 0x0102_0304, into: &$0) } == golden)
        #expect(request.oldestVersion == 1)
        #expect(try parse(golden) { $0 == 0x0102_0304 && isSame($1) }, "type \(golden[0])")
        for count in 0..<golden.count where count != whole {
            #expect(throws: FrameError.self, "\(count) bytes of type \(golden[0])") {
                try parse(Array(golden[..<count])) { _, _ in }
            }
        }
        #expect(throws: FrameError.self) { try parse(golden + [0]) { _, _ in } }
    }

    @Test func requestsAboutTopics() throws {
        let plain = GoldenRequests.createTopic
        try check(.createTopic(name: "aé", partitions: 258), plain) {
            if case .createTopic("aé", 258, []) = $0 { true } else { false }
        }
        // No configs may be written as a count of 0, too.
        #expect(try parse(plain + [0, 0]) { if case .createTopic("aé", 258, []) = $1 { true } else { false } })
        try check(
            .createTopic(name: "aé", partitions: 258, configs: Self.configs), plain + GoldenRequests.configs,
            whole: plain.count
        ) {
            if case .createTopic("aé", 258, Self.configs) = $0 { true } else { false }
        }
        try check(.deleteTopic(name: "aé"), GoldenRequests.deleteTopic) {
            if case .deleteTopic("aé") = $0 { true } else { false }
        }
        try check(.listTopics(after: "t"), GoldenRequests.listTopics) {
            if case .listTopics("t") = $0 { true } else { false }
        }
        try check(.listTopics(after: ""), GoldenRequests.listAllTopics) {
            if case .listTopics("") = $0 { true } else { false }
        }
        try check(.describeTopic(name: "t", firstPartition: 258), GoldenRequests.describeTopic) {
            if case .describeTopic("t", 258) = $0 { true } else { false }
        }
    }

    @Test func requestsOfProducers() throws {
        try check(.allocateProducerID, GoldenRequests.allocateID) {
            if case .allocateProducerID = $0 { true } else { false }
        }
        let produce = Request.produce(
            Self.partition, byteCount: 0x3132_3334, key: 0x4142_4344, address: 0x5152_5354_5556_5758)
        try check(produce, GoldenRequests.produce) {
            if case .produce(Self.partition, 0x3132_3334, 0x4142_4344, 0x5152_5354_5556_5758) = $0 {
                true
            } else {
                false
            }
        }
        var batch: [UInt8] = [9, 8, 7, 6, 5]
        try unsafe batch.withUnsafeMutableBytes { batch in
            try check(unsafe .produceEager(Self.partition, batch: batch), GoldenRequests.produceEager) {
                guard case .produceEager(Self.partition, let parsed) = $0 else { return false }
                return unsafe parsed.elementsEqual(batch)
            }
        }
        // Its length is what is left of the frame, no more and no less.
        for length in [0, 4, 6, 255] as [UInt8] {
            var frame = GoldenRequests.produceEager
            frame[16] = length
            #expect(throws: FrameError.self) { try parse(frame) { _, _ in } }
        }
    }

    @Test func requestsOfConsumers() throws {
        let ring = Request.openRing(
            key: 0x4142_4344, address: 0x5152_5354_5556_5758, byteCount: 0x6162_6364_6566_6768)
        try check(ring, GoldenRequests.openRing) {
            if case .openRing(0x4142_4344, 0x5152_5354_5556_5758, 0x6162_6364_6566_6768) = $0 { true } else { false }
        }
        try check(.subscribe(Self.partition, offset: 0x7172_7374_7576_7778), GoldenRequests.subscribe) {
            if case .subscribe(Self.partition, 0x7172_7374_7576_7778, .readUncommitted) = $0 { true } else { false }
        }
        try check(.unsubscribe(Self.partition), GoldenRequests.unsubscribe) {
            if case .unsubscribe(Self.partition) = $0 { true } else { false }
        }
        try check(.ringCredit(position: 0x8182_8384_8586_87c0), GoldenRequests.ringCredit) {
            if case .ringCredit(0x8182_8384_8586_87c0) = $0 { true } else { false }
        }
    }

    @Test func reservedBytesAreZero() {
        for place in 1...3 {
            var frame = GoldenRequests.allocateID
            frame[place] = 1
            #expect(throws: FrameError.self, "byte \(place) of the header") { try parse(frame) { _, _ in } }
        }
        for place in 12...15 {
            var frame = GoldenRequests.openRing
            frame[place] = 1
            #expect(throws: FrameError.self, "byte \(place) of OPEN_RING") { try parse(frame) { _, _ in } }
        }
    }

    @Test func longNamesAndManyConfigsAreRefused() throws {
        func deletion(_ count: UInt8) -> [UInt8] {
            GoldenRequests.deleteTopic[..<8] + [count, 0] + [UInt8](repeating: 0x61, count: Int(count))
        }
        #expect(try parse(deletion(249)) { if case .deleteTopic(let name) = $1 { name.count } else { 0 } } == 249)
        #expect(throws: FrameError.self) { try parse(deletion(250)) { _, _ in } }
        func creation(configs: UInt8, valueBytes: UInt8) -> [UInt8] {
            let value = [UInt8](repeating: 0x61, count: Int(valueBytes))
            let config = [0x01, 0x00, 0x78, valueBytes, 0x00] + value
            return GoldenRequests.createTopic + [configs, 0] + (0..<configs).flatMap { _ in config }
        }
        #expect(
            try parse(creation(configs: 16, valueBytes: 200)) {
                if case .createTopic(_, _, let configs) = $1 { configs.count } else { 0 }
            } == 16)
        #expect(throws: FrameError.self) { try parse(creation(configs: 17, valueBytes: 1)) { _, _ in } }
        #expect(throws: FrameError.self) { try parse(creation(configs: 1, valueBytes: 201)) { _, _ in } }
    }
}
