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
    @Test(arguments: ["index", "length", "kind"])
    func liesInTheRing(lie: String) throws {
        let broker = try TestBroker()
        let socket = try HandSocket(broker.socketPath)
        let ring = unsafe try socket.handshake()
        unsafe ring.storeBytes(of: UInt32(lie == "length" ? 0xffff_ffff : 8), toByteOffset: 256, as: UInt32.self)
        unsafe ring.storeBytes(of: UInt32(lie == "kind" ? 77 : 1), toByteOffset: 260, as: UInt32.self)
        unsafe ring.storeBytes(of: UInt32(lie == "index" ? 0x8000_0000 : 1), toByteOffset: 0, as: UInt32.self)
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
        _ = unsafe try socket.handshake()
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
        let ring = unsafe try socket.handshake()
        let half = 256 + 64 * 8256
        // LIST_TOPICS, again and again; each answer is a wake-up.
        for number in 0..<3000 as Range<UInt32> {
            let slot = 256 + Int(number % 64) * 8256
            unsafe ring.storeBytes(of: UInt32(1), toByteOffset: half + 128, as: UInt32.self)
            unsafe ring.storeBytes(of: UInt32(10), toByteOffset: slot, as: UInt32.self)
            unsafe ring.storeBytes(of: UInt32(1), toByteOffset: slot + 4, as: UInt32.self)
            for (offset, byte) in ([3, 0, 0, 0, 1, 0, 0, 0, 0, 0] as [UInt8]).enumerated() {
                unsafe ring.storeBytes(of: byte, toByteOffset: slot + 16 + offset, as: UInt8.self)
            }
            unsafe ring.storeBytes(of: number + 1, toByteOffset: 0, as: UInt32.self)
            socket.send([5])
            let deadline = Date() + 10
            while unsafe ring.load(fromByteOffset: half, as: UInt32.self) != number + 1 {
                try #require(Date() < deadline, "the broker stopped at answer \(number)")
            }
            unsafe ring.storeBytes(of: number + 1, toByteOffset: half + 64, as: UInt32.self)
        }
        #expect(try isServed(broker))
        #expect(broker.stop() == 0)
    }
}

/// The door's socket, spoken by hand.
@safe final class HandSocket {
    private let descriptor: Int32
    private var mapping: UnsafeMutableRawPointer?
    private var mapped = 0

    init(_ path: String) throws {
        descriptor = clinux_packet_socket()
        var address = sockaddr_un()
        let length = unsafe clinux_unix_address(&address, path)
        var result: Int32
        // EAGAIN: the listener's queue is full for a moment.
        repeat {
            result = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(descriptor, $0, length) }
            }
        } while result != 0 && errno == EAGAIN
        try expect(result == 0, "cannot connect to \(path): \(errno)")
    }

    deinit {
        if let mapping = unsafe mapping { unsafe munmap(mapping, mapped) }
        close(descriptor)
    }

    func send(_ bytes: [UInt8], descriptor passed: Int32 = -1) {
        _ = unsafe bytes.withUnsafeBytes {
            unsafe clinux_send_packet(descriptor, $0.baseAddress, $0.count, passed, clinux_dontwait)
        }
    }

    private var passed: Int32 = -1

    /// The next packet that is not a wake-up; nil when none comes.
    func receive(seconds: Int) -> [UInt8]? {
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&entry, 1, Int32(seconds * 1000)) == 1 else { return nil }
            var bytes = [UInt8](repeating: 0, count: 128)
            var truncated: Int32 = 0
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe clinux_receive_packet(descriptor, $0.baseAddress, $0.count, &passed, &truncated, clinux_dontwait)
            }
            guard count > 0 else { return nil }
            if bytes[0] != 5 { return Array(bytes[..<count]) }
        }
    }

    /// Says hello as a client does, and maps the rings.
    func handshake() throws -> UnsafeMutableRawPointer {
        send([1, 1, 0, 0] + Array("rdms".utf8) + Array("rdmd".utf8) + [1, 0, 1, 0])
        let packet = receive(seconds: 10)
        try expect(packet?.first == 2 && passed >= 0, "not accepted: \(packet ?? [])")
        var status = stat()
        unsafe fstat(passed, &status)
        mapped = Int(status.st_size)
        unsafe mapping = unsafe clinux_map(passed, mapped, 1)
        close(passed)
        return unsafe mapping!
    }
}
