import BrokerTestSupport
import CLinux
import Foundation
import RDMATransport
import RdmadClient
import Testing
import TransportTestSupport

/// Clients of the shared-memory door that lie, by hand on its socket and in its rings.
@Suite struct HostileSharedMemoryTests {
    @Test func framesBatchesAndMemory() async throws {
        let broker = try TestBroker()
        let path = broker.socketPath
        let seed = UInt64.random(in: 0 ... .max)
        try await Hostile(
            try broker.address, fabric: { try SharedMemoryFabric(configuration: .client) },
            connect: { try $0.connect(path: path, privateData: $1) }
        ).run(seed: seed)
        #expect(broker.stop() == 0)
    }

    func isServed(_ broker: TestBroker) throws -> Bool { try broker.rdmad(["topic", "list"]).status == 0 }

    @Test func randomPacketsOnTheSocket() throws {
        let broker = try TestBroker()
        var random = SplitMix(state: 42)
        for _ in 0..<200 {
            let socket = try HandSocket(broker.socketPath)
            for _ in 0..<3 {
                socket.send((0..<Int(random.next() % 200)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
            }
        }
        #expect(try isServed(broker))
        #expect(broker.stop() == 0)
    }

    /// More sockets than the broker takes, none of which ever says hello.
    @Test func silentConnections() throws {
        #expect(clinux_raise_descriptor_limit() == 0)
        let broker = try TestBroker()
        var sockets: [HandSocket] = []
        for _ in 0..<1100 { sockets.append(try HandSocket(broker.socketPath)) }
        #expect(try isServed(broker))
        #expect(sockets.count == 1100)
        sockets = []
        #expect(try isServed(broker))
        #expect(broker.stop() == 0)
    }

    /// What the shared ring may say that is not true.
    @Test(arguments: ["sequence", "length", "too long", "kind"])
    func liesInTheRing(lie: String) throws {
        let broker = try TestBroker()
        let socket = try HandSocket(broker.socketPath)
        let ring = unsafe try socket.handshake(Array("rdmd".utf8) + [1, 0, 1, 0])
        // One byte more than a message may have would still fit into the slot.
        let length: UInt32 = lie == "length" ? 0xffff_ffff : lie == "too long" ? 8185 : 8
        unsafe ring.storeBytes(of: length, toByteOffset: 384 + 4, as: UInt32.self)
        unsafe ring.storeBytes(of: UInt32(lie == "kind" ? 77 : 1), toByteOffset: 384 + 8, as: UInt32.self)
        unsafe ring.storeBytes(of: UInt32(lie == "sequence" ? 0x8000_0000 : 1), toByteOffset: 384, as: UInt32.self)
        socket.send([5])
        #expect(socket.receive(seconds: 10)?.prefix(2) == [6, 2], "cut off for a protocol violation")
        #expect(try isServed(broker))
        #expect(broker.stop() == 0)
    }

    /// Descriptors that must not be mapped: `end` with reason 1, and why is in the broker's log.
    @Test(arguments: ["unsealed", "size", "file", "many"])
    func memoryThatMustNotBeMapped(kind: String) throws {
        let broker = try TestBroker()
        let socket = try HandSocket(broker.socketPath)
        _ = unsafe try socket.handshake(Array("rdmd".utf8) + [1, 0, 1, 0])
        for number in 1...(kind == "many" ? 20 : 1) as ClosedRange<UInt8> {
            let path = "/dev/shm/rdmad-hostile-\(getpid())-\(UInt32.random(in: 0 ... .max))"
            let descriptor =
                unsafe kind == "file" ? clinux_open(path, O_RDWR | O_CREAT, 0o600) : clinux_memfd_create("hostile")
            defer { close(descriptor) }
            if kind == "file" { unsafe unlink(path) }
            ftruncate(descriptor, 8192)
            if kind != "unsealed", kind != "file" {
                _ = clinux_add_seals(descriptor, Int32(clinux_seal_shrink | clinux_seal_grow))
            }
            let size: UInt8 = kind == "size" ? 0x30 : 0x20
            socket.send([4, 1, 0, 0, number, 0, 0, 0, 0, size, 0, 0, 0, 0, 0, 0], descriptor: descriptor)
        }
        #expect(socket.receive(seconds: 10)?.prefix(2) == [6, 1])
        try broker.waitForLog("memoryRefused")
        #expect(try isServed(broker))
        #expect(broker.stop() == 0)
    }

    /// A client that always claims to sleep and never reads its socket: wake-ups pile up, and nobody waits for them.
    @Test func unreadWakeUpsBlockNobody() throws {
        let broker = try TestBroker()
        let socket = try HandSocket(broker.socketPath)
        let ring = unsafe try socket.handshake(Array("rdmd".utf8) + [1, 0, 1, 0])
        let half = 384 + 64 * 8320
        // LIST_TOPICS, again and again; each answer is a wake-up.
        for number in 0..<3000 as Range<UInt32> {
            let slot = 384 + Int(number % 64) * 8320
            unsafe ring.storeBytes(of: UInt32(1), toByteOffset: half + 128, as: UInt32.self)
            unsafe ring.storeBytes(of: UInt32(10), toByteOffset: slot + 4, as: UInt32.self)
            unsafe ring.storeBytes(of: UInt32(1), toByteOffset: slot + 8, as: UInt32.self)
            for (offset, byte) in ([3, 0, 0, 0, 1, 0, 0, 0, 0, 0] as [UInt8]).enumerated() {
                unsafe ring.storeBytes(of: byte, toByteOffset: slot + 16 + offset, as: UInt8.self)
            }
            unsafe ring.storeBytes(of: number + 1, toByteOffset: slot, as: UInt32.self)
            socket.send([5])
            let deadline = Date() + 10
            while unsafe ring.load(fromByteOffset: half + slot, as: UInt32.self) != number + 1 {
                try #require(Date() < deadline, "the broker stopped at answer \(number)")
            }
            unsafe ring.storeBytes(of: number + 1, toByteOffset: half, as: UInt32.self)
        }
        #expect(try isServed(broker))
        #expect(broker.stop() == 0)
    }
}
