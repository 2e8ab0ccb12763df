import KafkaProtocol
import Testing

/// Each way in which a field can be wrong.
@Suite struct FieldReaderTests {
    /// Reads a body of Heartbeat 4 (flexible) or 0.
    private func heartbeat(_ version: Int16, _ body: [UInt8]) throws -> HeartbeatRequest {
        let header: [UInt8] = [0, 0, 0, 0, 0, 12, 0, UInt8(version), 0, 0, 0, 1, 0xff, 0xff]
        let bytes = header + (version == 4 ? [0] : []) + body
        return unsafe try withFrame(bytes) { frame throws(WireError) in
            unsafe try RequestFrame(frame).body(HeartbeatRequest.self)
        }
    }

    private func problem(_ version: Int16, _ body: [UInt8]) -> WireError.Problem? {
        #expect(throws: WireError.self) { try heartbeat(version, body) }?.problem
    }

    /// Group "g", generation 1, member "m", no instance, in version 4 without tags.
    private let good: [UInt8] = [2, 0x67, 0, 0, 0, 1, 2, 0x6d, 0]

    @Test func whatIsRight() throws {
        let request = try heartbeat(4, good + [0])
        #expect(request.groupId == "g" && request.generationId == 1 && request.memberId == "m")
        #expect(request.groupInstanceId == nil)
    }

    @Test func nullWhereItIsNotAllowed() {
        #expect(problem(4, [0]) == .null)
        #expect(problem(0, [0xff, 0xff]) == .null)
    }

    @Test func badLengths() {
        #expect(problem(0, [0xff, 0xfe]) == .negativeLength(-2))
        #expect(problem(0, [0, 3, 1, 1]) == .endsEarly(missing: 1))
        #expect(problem(4, [0xff, 0xff, 0xff, 0xff, 0x0f]) == .tooLong(Int(UInt32.max) - 1, max: 32_767))
        #expect(problem(4, [0xff, 0xff, 0xff, 0xff, 0x1f]) == .varintTooLong)
        #expect(problem(4, [0x80, 0x80, 0x80, 0x80, 0x80, 0]) == .varintTooLong)
        #expect(problem(4, [0x80]) == .endsEarly(missing: 1))
    }

    @Test func whatIsNotUTF8() {
        #expect(problem(0, [0, 2, 0xc3, 0x28]) == .notUTF8)
        #expect(problem(0, [0, 3, 0xed, 0xa0, 0x80]) == .notUTF8)
    }

    @Test func unknownTagsAreSkipped() throws {
        // Tags 5 (three bytes) and 100000 (none).
        let request = try heartbeat(4, good + [2, 5, 3, 1, 2, 3, 0xa0, 0x8d, 0x06, 0])
        #expect(request.memberId == "m")
    }

    @Test func tagsEndWithTheFrame() {
        #expect(problem(4, good + [1, 5, 3, 1, 2]) == .endsEarly(missing: 1))
        #expect(problem(4, good + [0xff, 0xff, 0xff, 0xff, 0x0f, 5, 0]) == .endsEarly(missing: 1))
        #expect(problem(4, good + [1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]) == .endsEarly(missing: Int(UInt32.max)))
    }

    /// Fetch 12: the cluster id is tag 0.
    @Test func aKnownTagHasItsSize() throws {
        func fetch(_ tags: [UInt8]) throws -> FetchRequest {
            let header: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0]
            let body = [UInt8](repeating: 0, count: 16) + [0] + [UInt8](repeating: 0, count: 8) + [1, 1, 1]
            return unsafe try withFrame(header + body + tags) { frame throws(WireError) in
                unsafe try RequestFrame(frame).body(FetchRequest.self)
            }
        }
        #expect(try fetch([1, 0, 3, 3, 0x61, 0x62]).clusterId == "ab")
        #expect(try fetch([1, 0, 1, 0]).clusterId == nil)
        let longer = #expect(throws: WireError.self) { try fetch([1, 0, 4, 3, 0x61, 0x62, 0]) }
        #expect(longer?.problem == .tagOfOtherSize(tag: 0) && longer?.field == "clusterId")
        let shorter = #expect(throws: WireError.self) { try fetch([1, 0, 2, 3, 0x61, 0x62]) }
        #expect(shorter?.problem == .endsEarly(missing: 1))
    }

    /// A value that a version cannot say is an error, not a silent zero.
    @Test func nullThatAVersionCannotSay() throws {
        let response = MetadataResponse.with { $0.topics = [.with { $0.name = nil }] }
        _ = try EncodedFrame(response, version: 12, correlationId: 1)
        let error = #expect(throws: WireError.self) { try EncodedFrame(response, version: 11, correlationId: 1) }
        #expect(error == WireError(api: .metadata, version: 11, field: "name", problem: .null))
        let long = HeartbeatRequest.with { $0.groupId = String(repeating: "x", count: 32_768) }
        #expect(throws: WireError.self) { try encode(long, version: 0, correlationId: 1, clientId: nil) }
    }
}
