import Glibc
import RDMATransport
import Testing
import TransportTestSupport

/// Waits up to ten seconds for a descriptor to become readable.
func becomesReadable(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 10_000) == 1
}

/// The address of rxe0 in the guest.
let rxeHost = "10.9.0.1"

@Suite(.serialized) struct VerbsConformanceTests {
    static func conformance() -> Conformance<VerbsFabric> {
        Conformance(
            FabricFactory(
                server: { try VerbsFabric(listening: rxeHost, port: 0, configuration: $0) },
                client: { try VerbsFabric(towards: rxeHost, port: 1, configuration: $0) },
                connect: { client, server, data in
                    try client.connect(host: rxeHost, port: server.localPort, privateData: data)
                }))
    }

    @Test func connectAndDisconnect() throws { try Self.conformance().connectAndDisconnect() }
    @Test func reject() throws { try Self.conformance().reject() }
    @Test func messagesInOrder() throws { try Self.conformance().messagesInOrder() }
    @Test func backPressure() throws { try Self.conformance().backPressure() }
    @Test func read() throws { try Self.conformance().read() }
    @Test func writeWithImmediate() throws { try Self.conformance().writeWithImmediate() }
    @Test func writeFromAFile() throws { try Self.conformance().writeFromAFile() }
    @Test func wrongKey() throws { try Self.conformance().wrongKey() }
    @Test func chains() throws { try Self.conformance().chains() }
    @Test func teardownWithWorkPosted() throws { try Self.conformance().teardownWithWorkPosted() }
    @Test func sleepAndWake() throws { try Self.conformance().sleepAndWake(becomesReadable) }
}
