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
}
