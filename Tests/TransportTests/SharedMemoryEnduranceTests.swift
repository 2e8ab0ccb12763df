import Foundation
import Testing
import TransportTestSupport

/// A server over shared memory, in a process of its own, that outlives what its peers do and keeps nothing of them.
/// With RDMAD_TEST_LONG=1 as often as the goals say, else a part of that.
@Suite struct SharedMemoryEnduranceTests {
    static let isLong = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] == "1"

    private func endure(_ what: String, _ count: Int) throws {
        let seed = UInt64.random(in: 0 ... .max)
        let outcome = try PeerProcess("fabric-peer", ["endure", what, "\(count)", "\(seed)"]).finish()
        #expect(outcome.status == 0, "\(what) \(count) with seed \(seed): \(outcome.text)")
    }

    @Test func peersKilledAtRandomPoints() throws { try endure("deaths", Self.isLong ? 1000 : 200) }
    @Test func liesAtRandomPoints() throws { try endure("lies", Self.isLong ? 100_000 : 5000) }
    @Test func connectsAndDisconnects() throws { try endure("connects", Self.isLong ? 10_000 : 1000) }
}
