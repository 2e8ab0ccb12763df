import Testing

@testable import TopicProtocol

/// Which version is spoken.
@Suite struct HandshakeTests {
    private func answer(_ oldest: UInt16, _ newest: UInt16) -> UInt16? {
        try? Handshake.answer(hello: Handshake.hello(oldest: oldest, newest: newest)).get()
    }

    @Test func theNewestCommonVersionIsSpoken() {
        #expect(Handshake.hello() == [0x72, 0x64, 0x6d, 0x64, 1, 0, 2, 0])
        #expect(answer(1, 1) == 1)
        #expect(answer(1, 2) == 2)
        #expect(answer(2, 9) == 2)
        #expect(answer(0, 1) == 1)
        for (oldest, newest) in [(0, 0), (3, 9), (2, 1), (.max, .max)] as [(UInt16, UInt16)] {
            #expect(answer(oldest, newest) == nil)
        }
    }

    @Test func aRefusalSaysWhichAreSpoken() {
        guard case .failure(let refusal) = Handshake.answer(hello: Handshake.hello(oldest: 7, newest: 9)) else {
            Issue.record("taken")
            return
        }
        #expect(refusal.error == .unsupportedVersion)
        let parsed = Handshake.parseRefusal(Handshake.refusal(refusal) + [0, 0])
        #expect(parsed?.text == "broker speaks versions 1 to 2")
    }

    @Test func theClientIDTravelsInTheHello() {
        let hello = Handshake.hello(clientID: "backup")
        #expect(hello == Array("rdmd".utf8) + [1, 0, 2, 0] + Array("backup".utf8))
        #expect(Handshake.clientID(hello: hello) == "backup" && Handshake.clientID(hello: hello + [0, 0]) == "backup")
        #expect(Handshake.clientID(hello: Handshake.hello()).isEmpty && Handshake.clientID(hello: [1]).isEmpty)
        // As much as there is room for, in one that is made by hand; what is no UTF-8 harms nobody.
        let long = Handshake.hello() + [UInt8](repeating: 65, count: 60)
        #expect(Handshake.clientID(hello: long).utf8.count == Handshake.clientIDBytesMax)
        #expect(!Handshake.clientID(hello: Handshake.hello() + [0xff, 0xfe]).isEmpty)
        guard case .success(2) = Handshake.answer(hello: hello) else {
            Issue.record("not taken")
            return
        }
    }

    /// Packed by hand from docs/protocol.md.
    private static let welcome: [UInt8] = [
        0x72, 0x64, 0x6d, 0x64,  // "rdmd"
        0x02, 0x00,  // version 2
        0x00, 0x00,  // 0
        0x0c, 0x00, 0x10, 0x00,  // batch bytes max 1,048,588
        0x02, 0x01, 0x00, 0x00,  // produces in flight max 258
    ]

    @Test func aWelcomeHasItsBytes() throws {
        let welcome = Handshake.Welcome(version: 2, batchBytesMax: 1_048_588, producesInFlightMax: 258)
        #expect(Handshake.welcome(welcome) == Self.welcome)
        var strange = Self.welcome
        (strange[6], strange[7]) = (0xff, 0xff)
        // Padded by a transport, and with reserved bytes of a later version.
        for bytes in [Self.welcome, Self.welcome + [UInt8](repeating: 0, count: 24), strange] {
            let parsed = try #require(Handshake.parseWelcome(bytes))
            #expect(parsed.version == 2 && parsed.batchBytesMax == 1_048_588 && parsed.producesInFlightMax == 258)
        }
        for count in 0..<16 { #expect(Handshake.parseWelcome(Array(Self.welcome[..<count])) == nil) }
        #expect(Handshake.parseWelcome([0x73] + Self.welcome[1...]) == nil)
    }

    private static let refusals: [(ErrorCode, String, [UInt8])] = [
        (
            .invalidRequest, "not an rdmad client",
            [
                0x72, 0x64, 0x6d, 0x64,  // "rdmd"
                0x2a, 0x00,  // error 42
                0x6e, 0x6f, 0x74, 0x20, 0x61, 0x6e, 0x20,  // "not an "
                0x72, 0x64, 0x6d, 0x61, 0x64, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74,  // "rdmad client"
            ]
        ),
        (
            .unsupportedVersion, "broker speaks versions 1 to 2",
            [
                0x72, 0x64, 0x6d, 0x64,  // "rdmd"
                0x23, 0x00,  // error 35
                0x62, 0x72, 0x6f, 0x6b, 0x65, 0x72, 0x20, 0x73, 0x70, 0x65, 0x61, 0x6b, 0x73, 0x20,  // "broker speaks "
                0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x73, 0x20,  // "versions "
                0x31, 0x20, 0x74, 0x6f, 0x20, 0x32,  // "1 to 2"
            ]
        ),
        (
            .unknown, "0123456789012345678901234567890123",
            [
                0x72, 0x64, 0x6d, 0x64,  // "rdmd"
                0xff, 0xff,  // error −1
                0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,  // as long as may be: 34 bytes
                0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
                0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
                0x30, 0x31, 0x32, 0x33,
            ]
        ),
    ]

    @Test func aRefusalHasItsBytes() throws {
        for (error, text, golden) in Self.refusals {
            #expect(Handshake.refusal(.init(error: error, text: text)) == golden)
            for bytes in [golden, golden + [0], golden + [0, 0x78]] {
                let parsed = try #require(Handshake.parseRefusal(bytes))
                #expect(parsed.error == error && parsed.text == text)
            }
            for count in 0..<6 { #expect(Handshake.parseRefusal(Array(golden[..<count])) == nil) }
            #expect(Handshake.parseRefusal([0x73] + golden[1...]) == nil)
        }
        // More text than there is room for is cut.
        let (error, text, longest) = Self.refusals[2]
        #expect(Handshake.refusal(.init(error: error, text: text + "x")) == longest)
        // What is sent to whom says nothing, or another protocol's greeting; and to who speaks other versions.
        for hello in [[], [0x72, 0x64, 0x6d], Array("GET / HTTP/1.1".utf8)] as [[UInt8]] {
            #expect(refusal(of: hello) == Self.refusals[0].2)
        }
        #expect(refusal(of: [0x72, 0x64, 0x6d, 0x64, 0x03, 0x00, 0x09, 0x00]) == Self.refusals[1].2)
    }

    private func refusal(of hello: [UInt8]) -> [UInt8]? {
        guard case .failure(let refusal) = Handshake.answer(hello: hello) else { return nil }
        return Handshake.refusal(refusal)
    }
}
