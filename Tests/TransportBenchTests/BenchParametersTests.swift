import Testing

@testable import TransportBench

/// What the two sides tell each other, and what they refuse.
@Suite struct BenchParametersTests {
    static func some() -> BenchParameters {
        var options = BenchOptions()
        (options.iterations, options.durationSeconds, options.usesEvents) = (70_000, 7, true)
        (options.sendDepth, options.receiveDepth, options.postList) = (256, 600, 16)
        (options.moderation, options.inlineBytes) = (96, 64)
        var parameters = BenchParameters(options, .writeBandwidth, size: 1 << 20, isLast: false)
        (parameters.key, parameters.address) = (0xfeed_f00d, 0x0123_4567_89ab_cdef)
        return parameters
    }

    @Test func whatIsSaidIsHeard() throws {
        let parameters = Self.some()
        #expect(parameters.encoded.count == BenchParameters.byteCount)
        // A connect request carries no more; the peer may see zeros behind it.
        #expect(BenchParameters.byteCount <= 56)
        #expect(try BenchParameters(parsing: parameters.encoded) == parameters)
        let padded = parameters.encoded + [UInt8](repeating: 0, count: 12)
        #expect(try BenchParameters(parsing: padded) == parameters)
    }

    @Test(arguments: BenchTest.allCases) func everyTest(test: BenchTest) throws {
        let options = BenchOptions()
        for size in options.sizes(of: test) {
            let parameters = BenchParameters(options, test, size: size, isLast: true)
            #expect(try BenchParameters(parsing: parameters.encoded) == parameters)
        }
    }

    @Test func tooShort() {
        let whole = Self.some().encoded
        for count in 0..<whole.count {
            #expect(throws: BenchError.self) { try BenchParameters(parsing: Array(whole[..<count])) }
        }
    }

    /// Any byte may be anything: it is refused, or within the limits.
    @Test func anyByte() {
        let whole = Self.some().encoded
        for index in whole.indices {
            for value in UInt8.min ... .max {
                var bytes = whole
                bytes[index] = value
                guard let parsed = try? BenchParameters(parsing: bytes) else { continue }
                #expect((1...1 << 30).contains(parsed.size) && (5...100_000_000).contains(parsed.iterations))
                #expect((1...16384).contains(parsed.sendDepth) && (2...16384).contains(parsed.receiveDepth))
                #expect((1...parsed.sendDepth).contains(parsed.postList) && parsed.moderation > 0)
                #expect(parsed.inlineBytes <= 4096 && parsed.durationSeconds <= 3600)
            }
        }
    }

    @Test func whyItIsRefused() {
        func message(_ change: (inout [UInt8]) -> Void) -> String {
            var bytes = Self.some().encoded
            change(&bytes)
            do { _ = try BenchParameters(parsing: bytes) } catch { return "\(error)" }
            return ""
        }
        #expect(message { $0[0] = 0 }.contains("no transport bench"))
        #expect(message { $0[4] = 99 }.contains("version 99"))
        #expect(message { $0[5] = 8 }.contains("unknown test"))
        #expect(message { $0[5] = 3 }.contains("atomics of"))
        #expect(message { $0.replaceSubrange(8..<12, with: [0, 0, 0, 0]) }.contains("a size of 0 bytes"))
    }

    @Test func wholeLists() {
        var parameters = Self.some()
        (parameters.iterations, parameters.postList) = (1000, 16)
        #expect(parameters.messageCount == 1008)
        parameters.postList = 1
        #expect(parameters.messageCount == 1000)
    }

    @Test func inlineWhereItFits() {
        var parameters = Self.some()
        (parameters.size, parameters.inlineBytes) = (64, 64)
        #expect(parameters.travelsInline)
        parameters.size = 65
        #expect(!parameters.travelsInline)
        (parameters.size, parameters.test) = (64, .readLatency)
        #expect(!parameters.travelsInline)
    }
}
