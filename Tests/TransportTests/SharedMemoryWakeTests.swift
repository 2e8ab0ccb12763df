import Glibc
import RDMATransport
import Testing
import TransportTestSupport

/// What a wake-up costs before the message is there that it was for: nothing of the socket that carried it.
@Suite struct SharedMemoryWakeTests {
    private let path = "/tmp/rdmad-wake-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"

    @Test func theMessageComesBeforeThePacketThatWoke() throws {
        let server = try SharedMemoryFabric(configuration: .client)
        try server.listen(path: path)
        let client = try SharedMemoryFabric(configuration: .client)
        defer {
            client.shutdown()
            server.shutdown()
        }
        let driver = Driver(server, client)
        let atClient = try client.connect(path: path, privateData: [])
        try server.accept(try driver.waitRequest(0), privateData: [])
        _ = try driver.waitEstablished(1)
        _ = try driver.waitEstablished(0)
        for round in 0..<100 as Range<UInt8> {
            var events: [FabricEvent] = []
            while !server.prepareToSleep() { _ = server.poll(into: &events) }
            try #require(events.isEmpty && !isReadable(server.pollDescriptor), "round \(round)")

            #expect(
                unsafe client.send(on: atClient) { bytes in
                    unsafe bytes[0] = round
                    return 1
                } == .posted)
            client.flush()
            #expect(isReadable(server.pollDescriptor), "the sleeper was not woken")
            #expect(server.poll(into: &events) == 1)
            guard case .received(let message)? = events.first else {
                Issue.record("round \(round): \(events) instead of the message")
                return
            }
            #expect(unsafe server.bytes(of: message)[0] == round)
            #expect(isReadable(server.pollDescriptor), "the packet was taken before the message")
            server.release(message)
            // Both ways to go on: to sleep, or to poll again.
            if round % 2 == 0 {
                #expect(server.prepareToSleep(), "round \(round): nothing has come")
            } else {
                #expect(server.poll(into: &events) == 0)
            }
            #expect(!isReadable(server.pollDescriptor), "round \(round): the packet would end the next sleep at once")
        }
    }

    private func isReadable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&entry, 1, 0) == 1
    }
}
