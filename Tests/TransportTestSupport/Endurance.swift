internal import Foundation
internal import RDMATransport

/// What a server over shared memory must outlive, in a process that does nothing else, so that what it holds can be
/// counted. `fabric-peer endure` runs these.
package struct Endurance {
    let fabric: SharedMemoryFabric
    let path: String
    var random: SplitMix
    private var events: [FabricEvent] = []
    private let memory: MemoryBlock
    private let region: RegionID
    private var token: UInt64 = 0
    private var accepted = 0

    package init(seed: UInt64) throws {
        path = "/tmp/rdmad-endure-\(getpid()).sock"
        fabric = try SharedMemoryFabric(configuration: .client)
        try fabric.listen(path: path)
        random = SplitMix(state: seed)
        memory = try MemoryBlock(byteCount: 1 << 18, name: "endure")
        region = try fabric.register(memory, access: .none)
        alarm(1800)
    }

    // MARK: Deaths

    /// SIGKILLs `count` peers at random points: while they start, connect, or move messages and memory.
    package mutating func deaths(_ count: Int) throws {
        try death()
        let before = Resources.now()
        for _ in 0..<count { try death() }
        try expect(Resources.now() == before, "held \(before), after \(count) deaths \(Resources.now())")
    }

    private mutating func death() throws {
        let program = ChildProcess.programs.appendingPathComponent("fabric-peer").path
        let child = try ChildProcess([program, "agitate", path, "\(random.next())"])
        // Most of them when they are connected: starting takes the longest and tests the least.
        if random.next() % 4 == 0 {
            try turn(until: monotonicNanoseconds() + random.next() % 30_000_000)
        } else {
            let limit = monotonicNanoseconds() + 20_000_000_000
            while fabric.connectionCount == 0 {
                try turn(until: 0)
                try expect(monotonicNanoseconds() < limit, "the peer does not connect")
            }
            try turn(until: monotonicNanoseconds() + random.next() % 3_000_000)
        }
        child.kill()
        try drainAll()
    }

    /// Until all connections are gone.
    private mutating func drainAll() throws {
        let limit = monotonicNanoseconds() + 20_000_000_000
        while fabric.connectionCount > 0 {
            try turn(until: 0)
            try expect(monotonicNanoseconds() < limit, "a connection outlives its peer")
        }
        // One that was still in the listener's queue.
        try turn(until: monotonicNanoseconds() + 100_000)
        if fabric.connectionCount > 0 { try drainAll() }
    }

    /// Serves: accepts, echoes, and moves memory with whoever told where theirs is. At least one turn.
    private mutating func turn(until deadline: UInt64) throws {
        repeat {
            events.removeAll(keepingCapacity: true)
            _ = fabric.poll(into: &events)
            for event in events {
                switch event {
                case .requested(let id):
                    try? fabric.accept(id, privateData: [])
                    accepted += 1
                case .received(let message): answer(message)
                default: break
                }
            }
            fabric.flush()
        } while monotonicNanoseconds() < deadline
    }

    private mutating func answer(_ message: ReceivedMessage) {
        let bytes = unsafe Array(fabric.bytes(of: message))
        fabric.release(message)
        let id = message.connection
        if bytes.count == 8 {
            let remote = RemoteSlice(key: integer(bytes, at: 0), address: random.next() % 65536)
            let slice = LocalSlice(region: region, offset: Int(random.next() % 65536), count: 65536)
            token += 1
            if bytes[4] == 1 {
                _ = fabric.read(on: id, from: remote, into: slice, token: token)
            } else {
                _ = fabric.write(on: id, slice, nil, to: remote, immediate: 7, token: token)
            }
        }
        _ = send(Array(bytes.prefix(64)), on: id, of: fabric)
    }

    /// The other side: shares memory, then sends and receives until it is killed.
    package static func agitate(path: String, seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let fabric = try SharedMemoryFabric(configuration: .client)
        let id = try fabric.connect(path: path, privateData: [])
        let driver = Driver(fabric)
        _ = try driver.waitEstablished()
        let readable = try MemoryBlock(byteCount: 1 << 17, name: "agitate")
        let writable = try MemoryBlock(byteCount: 1 << 17, name: "agitate")
        let shared = [
            try fabric.share(try fabric.register(readable, access: .read), on: id),
            try fabric.share(try fabric.register(writable, access: .write), on: id),
        ]
        while true {
            let which = Int(random.next() % 3)
            let length = Int(random.next() % UInt64(fabric.limits.messageBytesMax + 1))
            let bytes =
                which < 2 ? littleEndian(shared[which].key) + [UInt8(which + 1), 0, 0, 0] : pattern(length, seed: 1)
            _ = send(bytes, on: id, of: fabric)
            driver.turn()
            for case .received(let message) in driver.seen[0] { fabric.release(message) }
            if driver.seen[0].contains(where: { if case .disconnected = $0 { true } else { false } }) { return }
            driver.seen[0].removeAll(keepingCapacity: true)
        }
    }

    // MARK: Connects

    /// Connects and disconnects, a message each way between.
    package mutating func connects(_ count: Int) throws {
        func round(_ self: inout Endurance) throws {
            let client = try SharedMemoryFabric(configuration: .client)
            let id = try client.connect(path: self.path, privateData: [])
            var seen: [FabricEvent] = []
            while client.poll(into: &seen) == 0 { try self.turn(until: 0) }
            guard case .established = seen[0] else { throw ScenarioFailure("not connected: \(seen)") }
            seen = []
            try expect(send([1, 2, 3], on: id, of: client) == .posted, "not posted")
            while client.poll(into: &seen) == 0 { try self.turn(until: 0) }
            guard case .received(let message) = seen[0] else { throw ScenarioFailure("no answer: \(seen)") }
            client.release(message)
            client.shutdown()
            try self.drainAll()
        }
        for _ in 0..<count / 10 { try round(&self) }
        let before = Resources.now()
        let resident = Resources.residentBytes
        for _ in 0..<count { try round(&self) }
        try expect(Resources.now() == before, "held \(before), after \(count) connects \(Resources.now())")
        let growth = Resources.residentBytes - resident
        try expect(growth < 8 << 20, "\(growth) bytes more are resident after \(count) connects")
    }

    // MARK: Lies

    /// A client that writes anything anywhere into the rings and the socket: it may lose its connection, and no more.
    package mutating func lies(_ count: Int) throws {
        let before = Resources.now()
        var told = 0
        var connections = 0
        while told < count {
            let hand = try HandSocket(path)
            hand.hello([])
            let acceptedBefore = accepted
            while accepted == acceptedBefore { try turn(until: 0) }
            let rings = unsafe try hand.rings()
            connections += 1
            while fabric.connectionCount > 0, told < count {
                unsafe lie(rings, hand)
                told += 1
                try turn(until: 0)
                if random.next() % 16 == 0 { _ = fabric.prepareToSleep() }
            }
            withExtendedLifetime(hand) {}
        }
        try drainAll()
        try expect(connections > count / 1000, "only \(connections) connections were ended by \(count) lies")
        try expect(Resources.now() == before, "held \(before), after \(count) lies \(Resources.now())")
    }

    private mutating func lie(_ rings: UnsafeMutableRawBufferPointer, _ hand: HandSocket) {
        let slotBytes = 8320
        let half = 384 + 64 * slotBytes
        let ring = Int(random.next() % 2) * half
        let slot = ring + 384 + Int(random.next() % 64) * slotBytes
        let values: [UInt32] = [
            0, 1, 2, 63, 64, 65, 8183, 8184, 8185, 8304, 8305, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
            UInt32(truncatingIfNeeded: random.next()),
        ]
        let value = values[Int(random.next() % UInt64(values.count))]
        switch random.next() % 16 {
        case 0:
            let word = ring + 128 * Int(random.next() % 3)
            unsafe rings.storeBytes(of: value, toByteOffset: word, as: UInt32.self)
        case 1...3: unsafe rings.storeBytes(of: value, toByteOffset: slot + 4, as: UInt32.self)
        case 4: unsafe rings.storeBytes(of: value, toByteOffset: slot + 8, as: UInt32.self)
        case 5: unsafe rings.storeBytes(of: value, toByteOffset: slot, as: UInt32.self)
        case 6:
            let anywhere = Int(random.next() % UInt64(rings.count / 4)) * 4
            unsafe rings.storeBytes(of: value, toByteOffset: anywhere, as: UInt32.self)
        case 7:
            hand.send((0..<Int(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        case 8: hand.send([5])
        default:
            // A message as it should be, perhaps of a wrong length, where the server may look next.
            for number in 0..<64 {
                let start = 384 + number * slotBytes
                let sequence = unsafe rings.load(fromByteOffset: start, as: UInt32.self)
                let next = sequence == 0 ? UInt32(number + 1) : sequence &+ 64
                unsafe rings.storeBytes(of: value % 8190, toByteOffset: start + 4, as: UInt32.self)
                unsafe rings.storeBytes(of: UInt32(1 + random.next() % 2), toByteOffset: start + 8, as: UInt32.self)
                if random.next() % 8 != 0 { unsafe rings.storeBytes(of: next, toByteOffset: start, as: UInt32.self) }
            }
        }
    }
}
