import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// Shared memory between two processes.
@Suite struct SharedMemoryPeerTests {
    static func scenarios() -> TwoProcesses<SharedMemoryFabric> {
        let path = "/tmp/rdmad-peer-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        return TwoProcesses(
            server: {
                let fabric = try SharedMemoryFabric(configuration: .client)
                try fabric.listen(path: path)
                return fabric
            }, peer: { _ in try PeerProcess("fabric-peer", ["shm", path]) })
    }

    @Test func echo() throws { try Self.scenarios().echo() }
    @Test func readFromPeer() throws { try Self.scenarios().readFromPeer() }
    @Test func writeToPeer() throws { try Self.scenarios().writeToPeer() }
    @Test func flood() throws { try Self.scenarios().flood() }
    @Test func peerDeath() throws { try Self.scenarios().peerDeath() }
    @Test func hoarder() throws { try Self.scenarios().hoarder() }
}
