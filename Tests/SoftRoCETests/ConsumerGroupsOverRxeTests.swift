import BrokerTestSupport
import Foundation
import RdmadClient
import Testing

/// Consumer groups over verbs.
@Suite(.serialized) struct ConsumerGroupsOverRxeTests {
    static let options = ["--group-min-session-timeout-ms", "500", "--group-initial-rebalance-delay-ms", "100"]
    static let isLong = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] == "1"

    @Test func membersComeAndGo() async throws {
        let broker = try BrokerOverRxeTests.broker(Self.options)
        try await groupLife(try broker.address, assignor: .cooperativeSticky)
        #expect(broker.stop() == 0)
    }

    @Test func membersThatAreKilledAndStopped() async throws {
        let broker = try BrokerOverRxeTests.broker(Self.options)
        try await killedAndStoppedMembers(broker, topic: "dying")
        #expect(broker.stop() == 0)
    }

    @Test func chaosOfClients() throws {
        let broker = try BrokerOverRxeTests.broker(Self.options + ["--flush", "group"])
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        try chaos(broker, seconds: Self.isLong ? 240 : 25, seed: seed)
        #expect(broker.stop() == 0)
    }
}
