import KafkaProtocol
import Testing

/// Headers, lengths, gaps, and what a broken frame says.
@Suite struct FrameTests {
    @Test func theResponseOfApiVersionsHasNoTagsInItsHeader() throws {
        let frame = try EncodedFrame(ApiVersionsResponse(), version: 3, correlationId: 7)
        // Length, correlation id, error code, no keys, throttle time, no tags.
        #expect(frame.bytes == [0, 0, 0, 12, 0, 0, 0, 7] + [0, 0] + [1] + [0, 0, 0, 0] + [0])
        let other = try EncodedFrame(HeartbeatResponse(), version: 4, correlationId: 7)
        #expect(other.bytes == [0, 0, 0, 12, 0, 0, 0, 7] + [0] + [0, 0, 0, 0] + [0, 0] + [0])
    }

    /// What Apache Kafka answers to ApiVersions of version 127.
    @Test func anUnknownVersionOfApiVersionsIsAnswered() throws {
        let bytes: [UInt8] = [0, 0, 0, 14, 0, 18, 0, 127, 0, 0, 0, 7, 0, 3] + Array("abc".utf8) + [0]
        let header = unsafe try withFrame(bytes) { frame throws(WireError) in unsafe try RequestFrame(frame).header }
        #expect(header.api == .apiVersions && !header.isKnown && header.clientId == "abc")
        let answer = ApiVersionsResponse.with { response in
            response.errorCode = .unsupportedVersion
            response.apiKeys = [.with { ($0.apiKey, $0.minVersion, $0.maxVersion) = (18, 0, 4) }]
        }
        let frame = try EncodedFrame(answer, version: 0, correlationId: header.correlationId)
        #expect(frame.bytes == [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4])
    }

    @Test func anUnknownAPIHasAHeader() throws {
        let bytes: [UInt8] = [0, 0, 0, 10, 3, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff]
        let header = unsafe try withFrame(bytes) { frame throws(WireError) in unsafe try RequestFrame(frame).header }
        #expect(header.apiKey == 999 && header.api == nil && !header.isKnown && header.clientId == nil)
    }

    static let badLengths: [(Int32, WireError.Problem)] = [
        (-1, .negativeLength(-1)), (9, .endsEarly(missing: 1)), (0, .endsEarly(missing: 10)),
        (2001, .tooLong(2001, max: 2000)), (.max, .tooLong(Int(Int32.max), max: 2000)),
    ]

    @Test(arguments: badLengths)
    func aLengthIsCheckedFirst(_ prefix: Int32, _ problem: WireError.Problem) throws {
        let error = #expect(throws: WireError.self) { try FrameLength.check(prefix, bytesMax: 2000) }
        #expect(error?.problem == problem)
        #expect(try FrameLength.check(2000, bytesMax: 2000) == 2000)
    }

    /// Records stay in the frame that was received.
    @Test func aProduceRequestSaysWhereItsRecordsLie() throws {
        let request = ProduceRequest.with { request in
            request.topicData = [
                .with { topic in
                    topic.name = "t"
                    topic.partitionData = [.with { $0.records = Records(count: 5) }, .with { $0.index = 1 }]
                }
            ]
        }
        for version in ApiKey.produce.versions {
            let frame = try encode(request, version: version, correlationId: 0, clientId: nil)
            #expect(frame.gaps.map(\.count) == [5])
            let whole = frame.filledWithZeros
            let read = unsafe try withFrame(whole) { frame throws(WireError) in
                unsafe try RequestFrame(frame).body(ProduceRequest.self)
            }
            let partitions = try #require(read.topicData.first).partitionData
            #expect(partitions[0].records == Records(offset: frame.gaps[0].position - 4, count: 5))
            #expect(partitions[1].records == nil)
        }
    }

    /// Between the bytes of a fetch response the records of files go.
    @Test func aFetchResponseHasGaps() throws {
        let response = FetchResponse.with { response in
            response.responses = [
                .with { topic in
                    topic.topic = "t"
                    topic.partitions = [1000, 0, 2_000_000].map { count in
                        .with { $0.records = Records(count: count) }
                    }
                }
            ]
        }
        for version in ApiKey.fetch.versions {
            let frame = try EncodedFrame(response, version: version, correlationId: 1)
            #expect(frame.gaps.map(\.count) == [1000, 2_000_000])
            #expect(frame.bytes.count < 300)
            let length = frame.bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            #expect(length == frame.bytes.count - 4 + 2_001_000)
        }
    }

    @Test func moreThanAFrameHoldsIsRefused() {
        let response = FetchResponse.with { response in
            response.responses = [
                .with { $0.partitions = [.with { $0.records = Records(count: Int(Int32.max) - 20) }] }
            ]
        }
        let error = #expect(throws: WireError.self) { try EncodedFrame(response, version: 4, correlationId: 1) }
        #expect(error?.field == "frame length")
    }

    /// An array as long as it says would need gigabytes.
    @Test(arguments: [Int32(3), 1000, .max])
    func aCountIsCheckedBeforeItIsBelieved(_ count: Int32) throws {
        let prefix = unsafe withUnsafeBytes(of: count.bigEndian) { unsafe Array($0) }
        let bytes: [UInt8] = [0, 0, 0, 0, 0, 20, 0, 1, 0, 0, 0, 1, 0xff, 0xff] + prefix + [0, 0]
        let error = #expect(throws: WireError.self) {
            unsafe try withFrame(bytes) { frame throws(WireError) in
                unsafe try RequestFrame(frame).body(DeleteTopicsRequest.self)
            }
        }
        #expect(
            error
                == WireError(
                    api: .deleteTopics, version: 1, field: "topicNames", problem: .endsEarly(missing: Int(count) - 2)))
        #expect(error.map { "\($0)" } == "DeleteTopics v1, topicNames: the frame ends \(count - 2) bytes early")
    }

    @Test func elementsAreLimitedOverAll() throws {
        // Two lists of empty names, each within the limit.
        let half = WireLimits.elementsMax / 2 + 1
        let request = ListGroupsRequest.with { request in
            request.statesFilter = Array(repeating: "", count: half)
            request.typesFilter = Array(repeating: "", count: half)
        }
        let frame = try encode(request, version: 5, correlationId: 0, clientId: nil)
        let error = #expect(throws: WireError.self) {
            unsafe try withFrame(frame.bytes) { frame throws(WireError) in
                unsafe try RequestFrame(frame).body(ListGroupsRequest.self)
            }
        }
        #expect(error?.field == "typesFilter")
        #expect(error?.problem == .tooManyElements(half, max: WireLimits.elementsMax - half))
    }
}
