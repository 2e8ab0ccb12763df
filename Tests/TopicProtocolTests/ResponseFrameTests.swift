import Testing

@testable import TopicProtocol

/// The frames 128 to 130 as bytes, packed by hand from docs/protocol.md. Answers have the request id 0x01020304.
private enum GoldenResponses {
    static let success: [UInt8] = [
        0x80, 0x00,  // type 128, flags
        0x00, 0x00,  // error 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x00, 0x00,  // text ""
    ]
    static let failure: [UInt8] = [
        0x80, 0x00,  // type 128, flags
        0x59, 0x00,  // error 89
        0x04, 0x03, 0x02, 0x01,  // request id
        0x06, 0x00, 0x66, 0x75, 0x6c, 0x6c, 0xc3, 0xa9,  // text "fullé"
    ]
    static let unknown: [UInt8] = [
        0x80, 0x00,  // type 128, flags
        0xff, 0xff,  // error −1
        0x04, 0x03, 0x02, 0x01,  // request id
        0x00, 0x00,  // text ""
    ]
    static let produceAcks: [UInt8] = [
        0x81, 0x00,  // type 129, 0
        0x02, 0x00,  // count
        0x00, 0x00, 0x00, 0x00,  // 0
        0x04, 0x03, 0x02, 0x01,  // request id
        0x00, 0x00, 0x00, 0x00,  // error 0, 0
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,  // base offset 0x1112131415161718
        0x24, 0x23, 0x22, 0x21,  // request id 0x21222324
        0x02, 0x00, 0x00, 0x00,  // error 2, 0
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  // base offset −1
    ]
    static let subscriptionEnded: [UInt8] = [
        0x82, 0x00,  // type 130, 0
        0x03, 0x00,  // error 3
        0x00, 0x00, 0x00, 0x00,  // 0
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x24, 0x23, 0x22, 0x21,  // partition 0x21222324
        0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71,  // offset 0x7172737475767778
    ]
}

/// Bodies of answers.
private enum GoldenTopicBodies {
    static let list: [UInt8] = [
        0x01,  // more
        0x02, 0x00,  // count
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x02, 0x01, 0x00, 0x00,  // partitions 258
        0x03, 0x00, 0x61, 0xc3, 0xa9,  // name "aé"
        0x01, 0x00, 0x00, 0x00,  // topic id 1
        0x03, 0x00, 0x00, 0x00,  // partitions 3
        0x01, 0x00, 0x74,  // name "t"
    ]
    static let emptyList: [UInt8] = [
        0x00,  // nothing more
        0x00, 0x00,  // count
    ]
    static let description: [UInt8] = [
        0x14, 0x13, 0x12, 0x11,  // topic id 0x11121314
        0x02, 0x01, 0x00, 0x00,  // partitions 258
        0x00, 0x01, 0x00, 0x00,  // first 256
        0x02, 0x00,  // count
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,  // log start 0x1112131415161718
        0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,  // high watermark 0x2122232425262728
        0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,  // log end 0x3132333435363738
        0x01,  // writable
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // log start 0
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // high watermark 1
        0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // log end 2
        0x00,  // not writable
        0x01, 0x00,  // configs: count
        0x01, 0x00, 0x78,  // name "x"
        0x02, 0x00, 0x2d, 0x31,  // value "-1"
    ]
    static let producerID: [UInt8] = [
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,  // producer id 0x1112131415161718
        0x00, 0x00,  // producer epoch 0
    ]
    static let subscription: [UInt8] = [
        0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71,  // offset 0x7172737475767778
    ]
}

/// What brokers say, against bytes that this code did not make.
@Suite struct ResponseFrameTests {
    static let partition = PartitionAddress(topicID: 0x1112_1314, partition: 0x2122_2324)

    private struct Answer: Equatable {
        var id: UInt32
        var error: ErrorCode
        var text: String
        var body: [UInt8] = []
    }

    private func parse<T>(_ frame: [UInt8], _ body: (Response) -> T) throws -> T {
        try unsafe frame.withUnsafeBytes { unsafe body(try Response.parse($0)) }
    }

    private func answer(_ frame: [UInt8]) throws -> Answer? {
        try parse(frame) {
            guard case .answer(let id, let error, let text, let body) = $0 else { return nil }
            return unsafe Answer(id: id, error: error, text: text, body: Array(body))
        }
    }

    private func acks(_ frame: [UInt8]) throws -> [[Int64]]? {
        try parse(frame) {
            guard case .produceAcks(let acks) = $0 else { return nil }
            return acks.map { [Int64($0.requestID), Int64($0.error.rawValue), $0.baseOffset] }
        }
    }

    private func encode(byteCount: Int = 1024, _ body: (UnsafeMutableRawBufferPointer) -> Int) -> [UInt8] {
        // What was there before must not shine through.
        var frame = [UInt8](repeating: 0xee, count: byteCount)
        let count = unsafe frame.withUnsafeMutableBytes { unsafe body($0) }
        return Array(frame[..<count])
    }

    private func refusesCuts(_ golden: [UInt8]) {
        for count in 0..<golden.count {
            #expect(throws: FrameError.self, "\(count) bytes of type \(golden[0])") {
                try parse(Array(golden[..<count])) { _ in }
            }
        }
    }

    @Test func answers() throws {
        for (error, text, golden) in [
            (.none, "", GoldenResponses.success), (.limitReached, "fullé", GoldenResponses.failure),
            (.unknown, "", GoldenResponses.unknown),
        ] as [(ErrorCode, String, [UInt8])] {
            let frame = unsafe encode {
                unsafe Response.encodeAnswer(id: 0x0102_0304, error: error, text: text, into: $0)
            }
            #expect(frame == golden)
            #expect(try answer(golden) == Answer(id: 0x0102_0304, error: error, text: text))
            refusesCuts(golden)
        }
    }

    /// These two have no type of their own: the broker writes the fields, clients read them.
    @Test func bodiesOfIntegers() throws {
        let id = GoldenResponses.success + GoldenTopicBodies.producerID
        let idFrame = unsafe encode {
            unsafe Response.encodeAnswer(id: 0x0102_0304, error: .none, text: "", into: $0) {
                $0.integer(Int64(0x1112_1314_1516_1718))
                $0.integer(Int16(0))
            }
        }
        #expect(idFrame == id)
        #expect(try answer(id)?.body == GoldenTopicBodies.producerID)
        let subscription = GoldenResponses.success + GoldenTopicBodies.subscription
        let subscriptionFrame = unsafe encode {
            unsafe Response.encodeAnswer(id: 0x0102_0304, error: .none, text: "", into: $0) {
                $0.integer(Int64(0x7172_7374_7576_7778))
            }
        }
        #expect(subscriptionFrame == subscription)
        #expect(try answer(subscription)?.body == GoldenTopicBodies.subscription)
        let offset = try read(GoldenTopicBodies.subscription) { reader throws(FrameError) in
            try reader.integer(Int64.self)
        }
        #expect(offset == 0x7172_7374_7576_7778)
    }

    @Test func acknowledgements() throws {
        let golden = GoldenResponses.produceAcks
        let values: [[Int64]] = [[0x0102_0304, 0, 0x1112_1314_1516_1718], [0x2122_2324, 2, -1]]
        let list = [
            ProduceAck(requestID: 0x0102_0304, error: .none, baseOffset: 0x1112_1314_1516_1718),
            ProduceAck(requestID: 0x2122_2324, error: .corruptMessage, baseOffset: -1),
        ]
        let frame = unsafe encode { unsafe Response.encodeAcks(list[...], into: $0).byteCount }
        #expect(frame == golden)
        #expect(try acks(golden) == values)
        refusesCuts(golden)
        #expect(throws: FrameError.self) { try acks(golden + [0]) }
        // As many as fit, and the frame says how many.
        var first = Array(golden[..<24])
        first[2] = 1
        let short = unsafe encode(byteCount: 39) { unsafe Response.encodeAcks(list[...], into: $0).byteCount }
        #expect(short == first)
        #expect(try acks(first) == [values[0]])
    }

    @Test func endsOfSubscriptions() throws {
        let golden = GoldenResponses.subscriptionEnded
        let frame = unsafe encode {
            unsafe Response.encodeSubscriptionEnded(
                Self.partition, error: .unknownTopicOrPartition, offset: 0x7172_7374_7576_7778, into: $0)
        }
        #expect(frame == golden)
        #expect(
            try parse(golden) {
                if case .subscriptionEnded(Self.partition, .unknownTopicOrPartition, 0x7172_7374_7576_7778) = $0 {
                    true
                } else {
                    false
                }
            })
        refusesCuts(golden)
    }

    /// Clients ignore them, so that a later version may use them.
    @Test func reservedBytesAreIgnored() throws {
        var frame = GoldenResponses.produceAcks
        for place in [1, 4, 5, 6, 7, 14, 15, 30, 31] { frame[place] = 0xff }
        #expect(try acks(frame) == acks(GoldenResponses.produceAcks))
        var ended = GoldenResponses.subscriptionEnded
        for place in [1, 4, 5, 6, 7] { ended[place] = 0xff }
        #expect(
            try parse(ended) {
                if case .subscriptionEnded(Self.partition, _, 0x7172_7374_7576_7778) = $0 { true } else { false }
            })
    }

    /// What follows the fields that a client knows is ignored, too.
    private func read<T>(_ body: [UInt8], _ read: (inout FrameReader) throws(FrameError) -> T) throws -> T {
        try unsafe (body + [0xff]).withUnsafeBytes { raw in
            var reader = unsafe FrameReader(raw)
            let value = try read(&reader)
            #expect(reader.remaining == 1)
            return value
        }
    }

    @Test func listsOfTopics() throws {
        var list = TopicList()
        list.topics = [
            TopicListing(topicID: 0x1112_1314, partitions: 258, name: "aé"),
            TopicListing(topicID: 1, partitions: 3, name: "t"),
        ]
        list.isCut = true
        #expect(Fragments.message { list.encode(into: &$0) } == GoldenTopicBodies.list)
        let parsed = try read(GoldenTopicBodies.list) { reader throws(FrameError) in try TopicList(from: &reader) }
        #expect(parsed.isCut && parsed.topics.map(\.name) == ["aé", "t"])
        #expect(parsed.topics.map(\.topicID) == [0x1112_1314, 1] && parsed.topics.map(\.partitions) == [258, 3])
        #expect(Fragments.message { TopicList().encode(into: &$0) } == GoldenTopicBodies.emptyList)
        let empty = try read(GoldenTopicBodies.emptyList) { reader throws(FrameError) in try TopicList(from: &reader) }
        #expect(!empty.isCut && empty.topics.isEmpty)
        // Where only the first one fits, more is said to follow.
        list.isCut = false
        let first = [0x01, 0x01, 0x00] + GoldenTopicBodies.list[3..<16]
        let short = unsafe encode(byteCount: 26) { memory in
            var writer = unsafe FrameWriter(memory)
            list.encode(into: &writer)
            return writer.count
        }
        #expect(short == first)
    }

    @Test func descriptionsOfTopics() throws {
        let description = TopicDescription(
            topicID: 0x1112_1314, partitionCount: 258, firstPartition: 256,
            partitions: [
                PartitionDescription(
                    logStartOffset: 0x1112_1314_1516_1718, highWatermark: 0x2122_2324_2526_2728,
                    logEndOffset: 0x3132_3334_3536_3738, isWritable: true),
                PartitionDescription(logStartOffset: 0, highWatermark: 1, logEndOffset: 2, isWritable: false),
            ], configs: [TopicConfig(name: "x", value: "-1")])
        let golden = GoldenTopicBodies.description
        #expect(Fragments.message { description.encode(into: &$0) } == golden)
        let parsed = try read(golden) { reader throws(FrameError) in try TopicDescription(from: &reader) }
        #expect(parsed.topicID == 0x1112_1314 && parsed.partitionCount == 258 && parsed.firstPartition == 256)
        #expect(parsed.partitions.map(\.logStartOffset) == [0x1112_1314_1516_1718, 0])
        #expect(parsed.partitions.map(\.highWatermark) == [0x2122_2324_2526_2728, 1])
        #expect(parsed.partitions.map(\.logEndOffset) == [0x3132_3334_3536_3738, 2])
        #expect(parsed.partitions.map(\.isWritable) == [true, false])
        #expect(parsed.configs == description.configs)
    }
}
