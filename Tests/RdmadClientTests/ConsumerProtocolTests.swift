import Testing
import TransportTestSupport

@testable import RdmadClient

/// Against bytes of kafka-python 3.0.12: topics flights and weather; user data 00 07; owned flights-0, flights-5 and
/// weather-1; generation 42; rack r1.
@Suite struct ConsumerProtocolTests {
    static let owned = [TopicPartition("flights", 0), TopicPartition("flights", 5), TopicPartition("weather", 1)]
    static let subscriptions = [
        "0000000000020007666c6967687473000777656174686572000000020007",
        "0001000000020007666c6967687473000777656174686572000000020007000000020007666c69676874730000000200"
            + "000000000000050007776561746865720000000100000001",
        "0002000000020007666c6967687473000777656174686572000000020007000000020007666c69676874730000000200"
            + "0000000000000500077765617468657200000001000000010000002a",
        "0003000000020007666c6967687473000777656174686572000000020007000000020007666c69676874730000000200"
            + "0000000000000500077765617468657200000001000000010000002a00027231",
    ]

    static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
    }

    @Test(arguments: 0..<4) func readsWhatKafkaPythonWrites(version: Int) throws {
        let subscription = try ConsumerProtocol.Subscription(parsing: Self.bytes(Self.subscriptions[version]))
        #expect(subscription.topics == ["flights", "weather"])
        #expect(subscription.owned == (version >= 1 ? Self.owned : []))
        #expect(subscription.generation == (version >= 2 ? 42 : -1))
    }

    @Test func writesWhatItReads() throws {
        let subscription = ConsumerProtocol.Subscription(
            topics: ["flights", "weather"], owned: Self.owned, generation: 42)
        let bytes = subscription.encoded()
        #expect(try ConsumerProtocol.Subscription(parsing: bytes) == subscription)
        // The same but for the user data, which is null here.
        let python = Self.bytes(Self.subscriptions[2])
        let userData = 2 + 4 + 2 * (2 + 7)
        #expect(bytes == python[..<userData] + [0xff, 0xff, 0xff, 0xff] + python[(userData + 6)...])
    }

    @Test(arguments: [
        "0000000000020007666c69676874730000000200000000000000050007776561746865720000000100000001ffffffff",
        "0001000000020007666c69676874730000000200000000000000050007776561746865720000000100000001ffffffff",
    ])
    func assignments(hex: String) throws {
        let bytes = Self.bytes(hex)
        #expect(try ConsumerProtocol.parse(assignment: bytes) == Self.owned)
        #expect(ConsumerProtocol.encode(assignment: Self.owned)[2...] == bytes[2...])
        #expect(try ConsumerProtocol.parse(assignment: []) == [])
    }

    /// Whatever a member sends: an error or a value, and never more memory than the bytes justify.
    @Test func takesAnyBytes() {
        var random = SplitMix(state: 4711)
        for version in 0..<4 {
            let whole = Self.bytes(Self.subscriptions[version])
            for end in 0..<whole.count {
                let isWhole = end >= whole.count - (version == 3 ? 4 : 0)
                if !isWhole {
                    #expect(throws: ConsumerProtocolError.self) {
                        _ = try ConsumerProtocol.Subscription(parsing: Array(whole[..<end]))
                    }
                }
            }
            for _ in 0..<20_000 {
                var bytes = whole
                for _ in 0...random.next() % 3 {
                    bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
                }
                _ = try? ConsumerProtocol.Subscription(parsing: bytes)
                _ = try? ConsumerProtocol.parse(assignment: bytes)
            }
        }
        let many: [UInt8] = [0, 0, 0x7f, 0xff, 0xff, 0xff]
        #expect(throws: ConsumerProtocolError.self) { _ = try ConsumerProtocol.Subscription(parsing: many) }
        #expect(throws: ConsumerProtocolError.self) { _ = try ConsumerProtocol.parse(assignment: many) }
    }
}
