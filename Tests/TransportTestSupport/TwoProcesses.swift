package import RDMATransport

/// Scenarios with this process as the server and `fabric-peer` as the client.
package struct TwoProcesses<F: Fabric> {
    let makeServer: () throws -> F
    let startPeer: (F) throws -> PeerProcess

    package init(server: @escaping () throws -> F, peer: @escaping (F) throws -> PeerProcess) {
        makeServer = server
        startPeer = peer
    }

    package struct Link {
        package let driver: Driver<F>
        package let server: F
        package let id: ConnectionID
        package let peer: PeerProcess

        /// Sends a command and returns the answer.
        package func ask(_ command: PeerCommand, _ rest: [UInt8] = []) throws -> [UInt8] {
            try tell(command, rest)
            let (message, bytes) = try driver.waitMessage(0)
            server.release(message)
            return bytes
        }

        package func tell(_ command: PeerCommand, _ rest: [UInt8] = []) throws {
            try driver.post { send([command.rawValue] + rest, on: id, of: $0) }
            server.flush()
        }

        package func close() {
            server.shutdown()
            peer.kill()
        }
    }

    package func link(to server: F? = nil) throws -> Link {
        let server = try server ?? makeServer()
        let peer = try startPeer(server)
        let driver = Driver(server)
        let id = try driver.waitRequest(0)
        try expect(server.privateData(of: id) == Array("peer".utf8), "private data was \(server.privateData(of: id))")
        try server.accept(id, privateData: [1])
        _ = try driver.waitEstablished(0)
        return Link(driver: driver, server: server, id: id, peer: peer)
    }

    package func echo() throws {
        let link = try link()
        for count in [0, 1, 100, 4000, link.server.limits.messageBytesMax - 1] {
            let bytes = pattern(count, seed: 3)
            try expect(try link.ask(.echo, bytes) == bytes, "the echo of \(count) bytes differs")
        }
        link.close()
    }

    package func readFromPeer() throws {
        let link = try link()
        let region = decodeRegion(try link.ask(.exposeForReading, littleEndian(UInt32(500_000)) + [77]))
        let mine = try MemoryBlock(byteCount: 500_000, name: "mine")
        let id = try link.server.register(mine, access: .none)
        try link.driver.post {
            $0.read(
                on: link.id, from: RemoteSlice(key: region.key, address: region.address),
                into: LocalSlice(region: id, offset: 0, count: 500_000), token: 1)
        }
        try expect(try link.driver.waitCompletion(token: 1) == .success, "the read failed")
        try expect(unsafe Array(mine.bytes[..<500_000]) == pattern(500_000, seed: 77), "the bytes differ")
        link.close()
    }

    package func writeToPeer() throws {
        let link = try link()
        let region = decodeRegion(try link.ask(.exposeForWriting, littleEndian(UInt32(1 << 20))))
        let mine = try MemoryBlock(byteCount: 1 << 20, name: "mine")
        unsafe mine.bytes.copyBytes(from: pattern(1 << 20, seed: 31))
        let id = try link.server.register(mine, access: .none)
        try link.driver.post {
            $0.write(
                on: link.id, LocalSlice(region: id, offset: 0, count: 1 << 19),
                LocalSlice(region: id, offset: 1 << 19, count: 1 << 19),
                to: RemoteSlice(key: region.key, address: region.address), immediate: 424_242, token: 1)
        }
        let (message, bytes) = try link.driver.waitMessage()
        try expect(integer(bytes, at: 0, as: UInt32.self) == 424_242, "the peer saw \(bytes)")
        link.server.release(message)
        let sum = integer(try link.ask(.checksum), at: 0, as: UInt64.self)
        let expected = unsafe checksum(mine.bytes)
        try expect(sum == expected, "the peer has other bytes")
        link.close()
    }

    /// Ten thousand messages through 64 credits, in order.
    package func flood() throws {
        let link = try link()
        try link.tell(.flood, littleEndian(UInt32(10_000)))
        for number in 0..<10_000 as Range<UInt32> {
            let (message, bytes) = try link.driver.waitMessage()
            try expect(integer(bytes, at: 0, as: UInt32.self) == number, "message \(number) is missing")
            link.server.release(message)
        }
        link.close()
    }

    /// SIGKILL while reads of its memory are under way: all of them complete, the server goes on with another peer.
    package func peerDeath() throws {
        let server = try makeServer()
        for _ in 0..<3 {
            let link = try link(to: server)
            let region = decodeRegion(try link.ask(.exposeForReading, littleEndian(UInt32(2 << 20)) + [1]))
            let mine = try server.register(try MemoryBlock(byteCount: 2 << 20, name: "mine"), access: .none)
            var outstanding = Set<UInt64>()
            for token in 1...16 as ClosedRange<UInt64> {
                let result = server.read(
                    on: link.id, from: RemoteSlice(key: region.key, address: region.address),
                    into: LocalSlice(region: mine, offset: 0, count: 2 << 20), token: token)
                if result == .posted { outstanding.insert(token) }
            }
            server.flush()
            link.peer.kill()
            while !outstanding.isEmpty {
                let token = try link.driver.wait(for: "completion", seconds: 30) { event -> UInt64? in
                    if case .completed(_, let token, _) = event { token } else { nil }
                }
                try expect(outstanding.remove(token) != nil, "token \(token) completed twice")
            }
            _ = try link.driver.waitDisconnect()
            server.unregister(mine)
        }
        let last = try link(to: server)
        try expect(try last.ask(.echo, [9]) == [9], "the server does not serve any more")
        last.close()
    }

    /// A peer that takes messages and gives nothing back stops only itself.
    package func hoarder() throws {
        let server = try makeServer()
        let hoarding = try link(to: server)
        try hoarding.tell(.hoard)
        var sent = 0
        for _ in 0..<5000 {
            if send([PeerCommand.echo.rawValue], on: hoarding.id, of: server) == .posted { sent += 1 }
            hoarding.driver.turn()
        }
        try expect(sent < 256, "\(sent) messages went to a peer that releases none")
        let other = try link(to: server)
        try expect(try other.ask(.echo, [5, 6]) == [5, 6], "the other peer is not served")
        hoarding.peer.kill()
        other.close()
    }
}
