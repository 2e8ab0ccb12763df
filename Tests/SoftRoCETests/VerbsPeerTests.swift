import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// Verbs over Soft-RoCE between two processes.
@Suite(.serialized) struct VerbsPeerTests {
    static func scenarios() -> TwoProcesses<VerbsFabric> {
        TwoProcesses(
            server: { try VerbsFabric(listening: rxeHost, port: 0, configuration: .client) },
            peer: { try PeerProcess("fabric-peer", ["rdma", rxeHost, String($0.localPort)]) })
    }

    /// A counter of rxe0's port.
    static func counter(_ name: String) throws -> Int {
        let path = "/sys/class/infiniband/rxe0/ports/1/hw_counters/\(name)"
        return try #require(
            Int(try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    @Test func echo() throws { try Self.scenarios().echo() }
    @Test func readFromPeer() throws { try Self.scenarios().readFromPeer() }
    @Test func writeToPeer() throws { try Self.scenarios().writeToPeer() }
    @Test func peerDeath() throws { try Self.scenarios().peerDeath() }
    @Test func hoarder() throws { try Self.scenarios().hoarder() }

    /// Credits keep the peer from ever meeting a missing receive.
    @Test func floodNeverMeetsAMissingReceive() throws {
        let before = try Self.counter("rcvd_rnr_err")
        try Self.scenarios().flood()
        #expect(try Self.counter("rcvd_rnr_err") == before)
    }

    /// A client that knows the real keys of the broker's memory gets a remote access error for each kind of access.
    @Test(arguments: [PeerCommand.attackRead, .attackWrite, .attackAtomic])
    func noMemoryOfTheServerIsReachable(command: PeerCommand) throws {
        let link = try Self.scenarios().link()
        let memory = try MemoryBlock(byteCount: 65536, name: "arena")
        let region = try link.server.register(memory, access: .none)
        let target = try link.server.share(region, on: link.id)
        try link.tell(command, littleEndian(target.key) + littleEndian(target.address))
        _ = try link.driver.waitDisconnect()
        let (text, _) = link.peer.finish()
        #expect(text.contains("attack remoteAccessError"), "\(text)")
        #expect(unsafe memory.bytes.allSatisfy { $0 == 0 })
        link.server.shutdown()
    }

    @Test func connectingToNobodyFails() throws {
        let (text, status) = try PeerProcess("fabric-peer", ["rdma", rxeHost, "9"]).finish()
        #expect(status == 1)
        #expect(text.contains("nobodyListens"), "\(text)")
    }

    /// Without CAP_IPC_LOCK and with a small limit, registering fails and the message says what to set.
    @Test func memlockTooSmall() throws {
        let server = try VerbsFabric(listening: rxeHost, port: 0, configuration: .client)
        let peer = try PeerProcess(
            "fabric-peer", ["rdma", rxeHost, String(server.localPort)],
            through: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "prlimit", "--memlock=8192"])
        let (text, status) = peer.finish()
        #expect(status == 1)
        #expect(text.contains("LimitMEMLOCK=infinity") && text.contains("limit is 8192 bytes"), "\(text)")
        server.shutdown()
    }
}
