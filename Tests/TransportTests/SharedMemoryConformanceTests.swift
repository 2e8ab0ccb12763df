import Glibc
import RDMATransport
import Testing
import TransportTestSupport

/// Waits up to ten seconds for a descriptor to become readable.
func becomesReadable(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 10_000) == 1
}

@Suite struct SharedMemoryConformanceTests {
    static func conformance() -> Conformance<SharedMemoryFabric> {
        let path = "/tmp/rdmad-conformance-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        return Conformance(
            FabricFactory(
                server: { configuration in
                    let fabric = try SharedMemoryFabric(configuration: configuration)
                    try fabric.listen(path: path)
                    return fabric
                },
                client: { try SharedMemoryFabric(configuration: $0) },
                connect: { client, _, data in try client.connect(path: path, privateData: data) }))
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
