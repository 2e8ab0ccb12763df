import KafkaProtocol
import Testing

/// What is written is read again, for every message of every version.
@Suite struct RoundTripTests {
    static let seeds: Range<UInt64> = 0..<(TestLength.isLong ? 1000 : 12)

    @Test(arguments: ApiKey.allCases)
    func requestsAndResponses(_ api: ApiKey) throws {
        for version in api.versions {
            for seed in Self.seeds { try roundTrip(Messages.request(api), version: version, seed: seed) }
        }
    }

    private func roundTrip<M: KafkaRequest>(_: M.Type, version: Int16, seed: UInt64) throws {
        let place = "\(M.apiKey.name) v\(version), seed \(seed)"
        let request: M = try random(version, seed)
        let sent = try encode(request, version: version, correlationId: 17, clientId: seed % 2 == 0 ? nil : "client")
        let (header, received) = unsafe try withFrame(sent.filledWithZeros) { frame throws(WireError) in
            let received = unsafe try RequestFrame(frame)
            let header = received.header
            return (header, try received.body(M.self))
        }
        #expect(header.api == M.apiKey && header.apiVersion == version && header.correlationId == 17, "\(place)")
        #expect(header.clientId == (seed % 2 == 0 ? nil : "client"))
        #expect(
            try DumpCoder.dump(received, version: version) == DumpCoder.dump(request, version: version), "\(place)")

        let response: M.Response = try random(version, seed)
        let answer = try EncodedFrame(response, version: version, correlationId: 18)
        let (id, read) = unsafe try withFrame(answer.filledWithZeros) { frame throws(WireError) in
            unsafe try decode(M.Response.self, version: version, frame)
        }
        #expect(id == 18)
        #expect(try DumpCoder.dump(read, version: version) == DumpCoder.dump(response, version: version), "\(place)")
    }

    private func random<M: KafkaMessage>(_ version: Int16, _ seed: UInt64) throws -> M {
        var coder = RandomCoder(version: version, seed: seed)
        var message = M()
        try message.code(&coder)
        return message
    }
}

extension EncodedFrame {
    var filledWithZeros: [UInt8] {
        var frame: [UInt8] = []
        var position = 0
        for gap in gaps {
            frame += bytes[position..<gap.position] + [UInt8](repeating: 0, count: gap.count)
            position = gap.position
        }
        return frame + bytes[position...]
    }
}
