internal import Glibc
package import RDMATransport

/// How to make the two sides of one kind of fabric.
package struct FabricFactory<F: Fabric> {
    package var server: (FabricConfiguration) throws -> F
    package var client: (FabricConfiguration) throws -> F
    /// Asks `server` for a connection, from `client`.
    package var connect: (_ client: F, _ server: F, [UInt8]) throws -> ConnectionID
    package init(
        server: @escaping (FabricConfiguration) throws -> F, client: @escaping (FabricConfiguration) throws -> F,
        connect: @escaping (F, F, [UInt8]) throws -> ConnectionID
    ) {
        self.server = server
        self.client = client
        self.connect = connect
    }
}

/// What every fabric must do, as scenarios with both sides in one process and one thread.
package struct Conformance<F: Fabric> {
    let factory: FabricFactory<F>
    package init(_ factory: FabricFactory<F>) { self.factory = factory }

    /// Server is 0, client is 1.
    struct Pair {
        let driver: Driver<F>
        let server: F
        let client: F
        let atServer: ConnectionID
        let atClient: ConnectionID
        func close() {
            client.shutdown()
            server.shutdown()
        }
    }

    func pair(_ configuration: FabricConfiguration = .client) throws -> Pair {
        let server = try factory.server(configuration)
        let client = try factory.client(configuration)
        let driver = Driver(server, client)
        let atClient = try factory.connect(client, server, [1, 2, 3])
        let atServer = try driver.waitRequest(0)
        try expect(
            server.privateData(of: atServer) == [1, 2, 3], "the hello arrived as \(server.privateData(of: atServer))")
        try server.accept(atServer, privateData: [4, 5])
        _ = try driver.waitEstablished(1)
        _ = try driver.waitEstablished(0)
        try expect(
            client.privateData(of: atClient) == [4, 5], "the welcome arrived as \(client.privateData(of: atClient))")
        return Pair(driver: driver, server: server, client: client, atServer: atServer, atClient: atClient)
    }

    package func connectAndDisconnect() throws {
        let pair = try pair()
        pair.client.disconnect(pair.atClient)
        try expect(try pair.driver.waitDisconnect(0) == .closed, "the server saw another reason")
        _ = try pair.driver.waitDisconnect(1)
        try expect(send([1], on: pair.atServer, of: pair.server) == .closed, "a message went into a closed connection")
        pair.close()
    }

    package func reject() throws {
        let server = try factory.server(.client)
        let client = try factory.client(.client)
        let driver = Driver(server, client)
        let id = try factory.connect(client, server, [])
        server.reject(try driver.waitRequest(0), privateData: [9, 8, 7])
        let failure = try driver.wait(1, for: "rejection") { if case .rejected(id, let why) = $0 { why } else { nil } }
        try expect(failure == .rejectedByPeer, "failure was \(failure)")
        try expect(client.privateData(of: id) == [9, 8, 7], "private data was \(client.privateData(of: id))")
        client.shutdown()
        server.shutdown()
    }

    /// Messages of every length class, in order, both ways, many more than there are credits.
    package func messagesInOrder() throws {
        var configuration = FabricConfiguration.client
        configuration.messagesInFlight = 8
        let pair = try pair(configuration)
        let longest = pair.server.limits.messageBytesMax
        var sent = 0
        var received = 0
        let deadline = monotonicNanoseconds() + 20_000_000_000
        let lengths = [1, 7, 8, 64, 500, 4096, longest]
        while received < 500 {
            while sent < 500 {
                let bytes = pattern(lengths[sent % lengths.count], seed: UInt8(sent & 0xff))
                guard send(bytes, on: pair.atClient, of: pair.client) == .posted else { break }
                sent += 1
            }
            pair.driver.turn()
            try expect(monotonicNanoseconds() < deadline, "only \(received) of \(sent) messages arrived")
            guard pair.driver.seen[0].contains(where: { if case .received = $0 { true } else { false } }) else {
                continue
            }
            let (message, bytes) = try pair.driver.waitMessage(0)
            try expect(
                bytes == pattern(lengths[received % lengths.count], seed: UInt8(received & 0xff)),
                "message \(received) differs")
            pair.server.release(message)
            // Answers travel against the stream, so that credits ride on them.
            if received % 3 == 0 {
                try pair.driver.post(0) { send([UInt8(received & 0xff)], on: pair.atServer, of: $0) }
            }
            received += 1
            while let position = pair.driver.seen[1].firstIndex(where: {
                if case .received = $0 { true } else { false }
            }) {
                if case .received(let answer) = pair.driver.seen[1].remove(at: position) { pair.client.release(answer) }
            }
        }
        pair.close()
    }

    /// A receiver that does not release stops the sender, and nothing is lost when it goes on.
    package func backPressure() throws {
        var configuration = FabricConfiguration.client
        configuration.messagesInFlight = 8
        let pair = try pair(configuration)
        var sent = 0
        var idleTurns = 0
        while idleTurns < 2000 {
            if send([UInt8(sent)], on: pair.atClient, of: pair.client) == .posted {
                sent += 1
                idleTurns = 0
            } else {
                idleTurns += 1
            }
            pair.driver.turn()
            try expect(sent < 64, "64 messages went to a receiver with 8 buffers")
        }
        try expect(sent >= 7, "only \(sent) messages went")
        for number in 0..<sent {
            let (message, bytes) = try pair.driver.waitMessage(0)
            try expect(bytes == [UInt8(number)], "message \(number) was \(bytes)")
            pair.server.release(message)
        }
        _ = try pair.driver.wait(1, for: "writable") { if case .writable = $0 { true } else { nil } }
        try expect(send([99], on: pair.atClient, of: pair.client) == .posted, "still full")
        try expect(try pair.driver.waitMessage(0).bytes == [99], "the last message differs")
        pair.close()
    }

    package func read() throws {
        let pair = try pair()
        let content = pattern(300_000, seed: 5)
        let theirs = try MemoryBlock(byteCount: content.count, name: "theirs")
        unsafe theirs.bytes.copyBytes(from: content)
        let shared = try pair.client.share(try pair.client.register(theirs, access: .read), on: pair.atClient)
        let mine = try MemoryBlock(byteCount: 1 << 20, name: "mine")
        let region = try pair.server.register(mine, access: .none)
        // A chain of three reads, the last one signalled by the flush.
        for part in 0..<3 {
            let offset = part * 100_000
            let result = pair.server.read(
                on: pair.atServer, from: RemoteSlice(key: shared.key, address: shared.address + UInt64(offset)),
                into: LocalSlice(region: region, offset: 4096 + offset, count: 100_000), token: UInt64(part))
            try expect(result == .posted, "read answered \(result)")
        }
        for part in 0..<3 {
            try expect(try pair.driver.waitCompletion(0, token: UInt64(part)) == .success, "read \(part) failed")
        }
        try expect(unsafe Array(mine.bytes[4096..<4096 + 300_000]) == content, "the bytes differ")
        try expect(unsafe mine.bytes[..<4096].allSatisfy { $0 == 0 }, "bytes before the sink changed")
        pair.close()
    }

    package func writeWithImmediate() throws {
        let pair = try pair()
        let theirs = try MemoryBlock(byteCount: 65536, name: "theirs")
        let shared = try pair.client.share(try pair.client.register(theirs, access: .write), on: pair.atClient)
        let mine = try MemoryBlock(byteCount: 65536, name: "mine")
        unsafe mine.bytes.copyBytes(from: pattern(65536, seed: 9))
        let region = try pair.server.register(mine, access: .none)
        // Gathered from two places, into one run; first without, then with an immediate.
        for (token, immediate) in [(1, nil), (2, UInt32(0xdead_beef))] as [(UInt64, UInt32?)] {
            let result = pair.server.write(
                on: pair.atServer, LocalSlice(region: region, offset: 0, count: 64),
                LocalSlice(region: region, offset: 4096, count: 10_000),
                to: RemoteSlice(key: shared.key, address: shared.address + 128 * token), immediate: immediate,
                token: token)
            try expect(result == .posted, "write answered \(result)")
        }
        let value = try pair.driver.wait(1, for: "immediate") {
            if case .immediate(_, let value) = $0 { value } else { nil }
        }
        try expect(value == 0xdead_beef, "the immediate was \(value)")
        let expected = unsafe Array(mine.bytes[..<64]) + Array(mine.bytes[4096..<14096])
        try expect(unsafe Array(theirs.bytes[256..<256 + 10_064]) == expected, "the bytes differ")
        try expect(try pair.driver.waitCompletion(0, token: 2) == .success, "the write failed")
        try expect(unsafe theirs.bytes[..<128].allSatisfy { $0 == 0 }, "bytes before the target changed")
        pair.close()
    }

    /// From a range of a file that has been closed and removed; what came into it by buffered writes is seen.
    package func writeFromAFile() throws {
        let pair = try pair()
        let theirs = try MemoryBlock(byteCount: 65536, name: "theirs")
        let shared = try pair.client.share(try pair.client.register(theirs, access: .write), on: pair.atClient)
        let path = "/dev/shm/rdmad-pinned-\(UInt64.random(in: 0 ... .max))"
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        var content = pattern(20_000, seed: 3)
        unsafe try expect(pwrite(descriptor, content, content.count, 0) == content.count, "cannot write \(path)")
        var file: PinnedFile? = try PinnedFile(
            descriptor: descriptor, position: 4096, byteCount: 12_000, domain: pair.server.pinningDomain)
        content[5000] ^= 1
        unsafe try expect(pwrite(descriptor, content, content.count, 0) == content.count, "cannot write \(path)")
        close(descriptor)
        unsafe unlink(path)
        let region = try pair.server.register(file!)
        let result = pair.server.write(
            on: pair.atServer, LocalSlice(region: region, offset: 0, count: 1000),
            LocalSlice(region: region, offset: 1000, count: 11_000),
            to: RemoteSlice(key: shared.key, address: shared.address), immediate: 7, token: 1)
        try expect(result == .posted, "write answered \(result)")
        _ = try pair.driver.wait(1, for: "immediate") { if case .immediate(_, let value) = $0 { value } else { nil } }
        try expect(try pair.driver.waitCompletion(0, token: 1) == .success, "the write failed")
        try expect(unsafe Array(theirs.bytes[..<12_000]) == Array(content[4096..<16_096]), "the bytes differ")
        pair.server.unregister(region)
        file = nil
        pair.close()
    }

    /// A wrong key, or a range past the end, fails that transfer and harms nobody else.
    package func wrongKey() throws {
        let pair = try pair()
        let theirs = try MemoryBlock(byteCount: 4096, name: "theirs")
        let shared = try pair.client.share(try pair.client.register(theirs, access: .read), on: pair.atClient)
        let mine = try pair.server.register(try MemoryBlock(byteCount: 8192, name: "mine"), access: .none)
        let result = pair.server.read(
            on: pair.atServer, from: RemoteSlice(key: shared.key, address: shared.address + 8),
            into: LocalSlice(region: mine, offset: 0, count: 4096), token: 7)
        try expect(result == .posted || result == .refused, "read answered \(result)")
        let status = try pair.driver.waitCompletion(0, token: 7)
        try expect(status == .remoteAccessError, "the read past the end ended as \(status)")
        pair.close()
        let second = try self.pair()
        let sink = try second.server.register(try MemoryBlock(byteCount: 8192, name: "mine"), access: .none)
        _ = second.server.read(
            on: second.atServer, from: RemoteSlice(key: 0x00bad_bad, address: 0),
            into: LocalSlice(region: sink, offset: 0, count: 64), token: 8)
        let other = try second.driver.waitCompletion(0, token: 8)
        try expect(other == .remoteAccessError, "the read with a wrong key ended as \(other)")
        second.close()
    }

    /// Many small messages are posted before one flush, and all of them arrive.
    package func chains() throws {
        let pair = try pair()
        for number in 0..<40 {
            try expect(
                send([UInt8(number)], on: pair.atClient, of: pair.client) == .posted, "post \(number) was refused")
        }
        for number in 0..<40 {
            let (message, bytes) = try pair.driver.waitMessage(0)
            try expect(bytes == [UInt8(number)], "message \(number) was \(bytes)")
            pair.server.release(message)
        }
        pair.close()
    }

    /// An end with work posted: every token completes once, then `.disconnected`, and all can be made again.
    package func teardownWithWorkPosted() throws {
        for round in 0..<5 {
            let pair = try pair()
            let theirs = try MemoryBlock(byteCount: 1 << 20, name: "theirs")
            let shared = try pair.client.share(try pair.client.register(theirs, access: .read), on: pair.atClient)
            let mine = try pair.server.register(try MemoryBlock(byteCount: 1 << 20, name: "mine"), access: .none)
            var posted = Set<UInt64>()
            for token in 0..<32 as Range<UInt64> {
                let result = pair.server.read(
                    on: pair.atServer, from: RemoteSlice(key: shared.key, address: shared.address),
                    into: LocalSlice(region: mine, offset: 0, count: 1 << 20), token: token)
                if result == .posted { posted.insert(token) }
            }
            pair.server.flush()
            if round % 2 == 0 { pair.server.disconnect(pair.atServer) } else { pair.client.disconnect(pair.atClient) }
            while !posted.isEmpty {
                let token = try pair.driver.wait(0, for: "completion") { event -> UInt64? in
                    if case .completed(_, let token, _) = event { token } else { nil }
                }
                try expect(posted.remove(token) != nil, "token \(token) completed twice")
            }
            _ = try pair.driver.waitDisconnect(0)
            pair.close()
        }
    }

    /// Sleeping on the descriptor: a message wakes, and an idle fabric says that it may sleep.
    package func sleepAndWake(_ sleep: (Int32) -> Bool) throws {
        let pair = try pair()
        for round in 0..<200 {
            var spins = 0
            while !pair.server.prepareToSleep() {
                _ = pair.server.poll(into: &pair.driver.seen[0])
                spins += 1
                try expect(spins < 100_000, "an idle fabric never sleeps")
            }
            try expect(send([UInt8(round)], on: pair.atClient, of: pair.client) == .posted, "post was refused")
            pair.client.flush()
            try expect(sleep(pair.server.pollDescriptor), "round \(round): the message did not wake the sleeper")
            let (message, bytes) = try pair.driver.waitMessage(0)
            try expect(bytes == [UInt8(round)], "the message differs")
            pair.server.release(message)
        }
        pair.close()
    }
}
