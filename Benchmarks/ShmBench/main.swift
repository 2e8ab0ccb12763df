// What the figures shm.latency and shm.bandwidth measure of the shared-memory fabric, between two processes.
// Usage: shm-bench serve PATH              one client's other side; ends with it
//        shm-bench latency PATH [BYTES]    nanoseconds one way: median, 5th and 95th percentile of 2,000 batches
//        shm-bench bandwidth PATH          MB/s (10⁶ bytes) of 1 MiB WRITEs and of a memcpy loop: medians of 101 rounds
//        in
//                                  which neither process lost its processor, and how many rounds that took
// Pin both processes (taskset -c): one spins on each processor.
import Glibc
import RDMATransport

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// One transfer of the bandwidth figure, and how many of them the working set has on each side.
let pieceBytes = 1 << 20
let pieceCount = 8
/// Transfers on the way before the first must be confirmed.
let window = 4

/// How often this process lost its processor to another.
func preemptions() -> UInt32 {
    var usage = rusage()
    unsafe getrusage(RUSAGE_SELF.rawValue, &usage)
    return UInt32(truncatingIfNeeded: usage.ru_nivcsw)
}

/// Connects, and waits until the other side has agreed.
func connect(_ fabric: SharedMemoryFabric, _ path: String) throws -> ConnectionID {
    let id = try fabric.connect(path: path, privateData: [])
    let events = try poll(fabric, for: "the connection")
    guard case .established = events.first else { throw Failure("not connected: \(events)") }
    return id
}

/// Polls until something happens.
func poll(_ fabric: SharedMemoryFabric, for what: String) throws -> [FabricEvent] {
    var events: [FabricEvent] = []
    let deadline = monotonicNanoseconds() + 10_000_000_000
    while fabric.poll(into: &events) == 0 {
        guard monotonicNanoseconds() < deadline else { throw Failure("\(what) did not come within 10 s") }
    }
    return events
}

/// Answers each message with its own bytes, and each immediate with its value, having looked at what was written.
func serve(_ path: String) throws {
    let fabric = try SharedMemoryFabric(configuration: .client)
    try fabric.listen(path: path)
    defer { fabric.shutdown() }
    let memory = try MemoryBlock(byteCount: pieceBytes * pieceCount, name: "shm-bench")
    let region = try fabric.register(memory, access: .write)
    var events: [FabricEvent] = []
    while true {
        events.removeAll(keepingCapacity: true)
        if fabric.poll(into: &events) == 0 { continue }
        for event in events {
            switch event {
            case .requested(let id): try fabric.accept(id, privateData: [])
            case .received(let message):
                let bytes = unsafe UnsafeRawBufferPointer(fabric.bytes(of: message))
                if message.byteCount == 0 {
                    // An empty message asks for memory to write to.
                    let shared = try fabric.share(region, on: message.connection)
                    fabric.release(message)
                    _ = unsafe fabric.send(on: message.connection) { buffer in
                        unsafe buffer.storeBytes(of: shared.key, as: UInt32.self)
                        return 4
                    }
                } else {
                    _ = unsafe fabric.send(on: message.connection) { buffer in
                        unsafe buffer.baseAddress!.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
                        return bytes.count
                    }
                    fabric.release(message)
                }
            case .immediate(let id, let number):
                let piece = unsafe memory.bytes.baseAddress! + Int(number) % pieceCount * pieceBytes
                let first = unsafe piece.load(as: UInt32.self)
                let last = unsafe piece.load(fromByteOffset: pieceBytes - 4, as: UInt32.self)
                guard first == number, last == number else { throw Failure("piece \(number) has \(first), \(last)") }
                _ = unsafe fabric.send(on: id) { buffer in
                    unsafe buffer.storeBytes(of: preemptions(), as: UInt32.self)
                    return 4
                }
            case .disconnected: return
            default: break
            }
        }
        fabric.flush()
    }
}

func percentile(_ sorted: [Double], _ share: Double) -> Double { sorted[Int(Double(sorted.count - 1) * share)] }

/// A message there and the same back: half of that, over batches of a hundred.
func measureLatency(_ path: String, byteCount: Int) throws {
    let fabric = try SharedMemoryFabric(configuration: .client)
    let id = try connect(fabric, path)
    var events: [FabricEvent] = []
    var number: UInt32 = 0
    func roundTrip() throws {
        number &+= 1
        _ = unsafe fabric.send(on: id) { buffer in
            unsafe buffer.storeBytes(of: number, as: UInt32.self)
            return byteCount
        }
        fabric.flush()
        events.removeAll(keepingCapacity: true)
        while fabric.poll(into: &events) == 0 {}
        guard case .received(let message) = events[0] else { throw Failure("no answer but \(events)") }
        let answer = unsafe fabric.bytes(of: message).load(as: UInt32.self)
        guard answer == number, message.byteCount == byteCount else { throw Failure("answer \(answer) to \(number)") }
        fabric.release(message)
    }
    for _ in 0..<20_000 { try roundTrip() }
    var times: [Double] = []
    for _ in 0..<2000 {
        let begin = monotonicNanoseconds()
        for _ in 0..<100 { try roundTrip() }
        times.append(Double(monotonicNanoseconds() - begin) / 200)
    }
    fabric.shutdown()
    times.sort()
    print(percentile(times, 0.5), percentile(times, 0.05), percentile(times, 0.95))
}

/// WRITEs pieces into the peer's memory, stamped with their numbers at both ends; the peer confirms each.
struct PieceWriter {
    let fabric: SharedMemoryFabric
    let id: ConnectionID
    let source: MemoryBlock
    let local: RegionID
    let key: UInt32
    var number: UInt32 = 0
    var confirmed: UInt32 = 0
    /// The peer's, by its last confirmation.
    var peerPreemptions: UInt32 = 0
    private var events: [FabricEvent] = []

    init(_ path: String) throws {
        fabric = try SharedMemoryFabric(configuration: .client)
        id = try connect(fabric, path)
        source = try MemoryBlock(byteCount: pieceBytes * pieceCount, name: "shm-bench")
        unsafe source.bytes.initializeMemory(as: UInt8.self, repeating: 7)
        local = try fabric.register(source, access: .none)
        _ = unsafe fabric.send(on: id) { _ in 0 }
        fabric.flush()
        guard case .received(let message) = try poll(fabric, for: "the memory")[0] else { throw Failure("no memory") }
        key = unsafe fabric.bytes(of: message).load(as: UInt32.self)
        fabric.release(message)
    }

    mutating func write(_ count: Int) throws {
        for _ in 0..<count {
            let offset = Int(number) % pieceCount * pieceBytes
            unsafe source.bytes.storeBytes(of: number, toByteOffset: offset, as: UInt32.self)
            unsafe source.bytes.storeBytes(of: number, toByteOffset: offset + pieceBytes - 4, as: UInt32.self)
            let result = fabric.write(
                on: id, LocalSlice(region: local, offset: offset, count: pieceBytes), nil,
                to: RemoteSlice(key: key, address: UInt64(offset)), immediate: number, token: UInt64(number))
            guard result == .posted else { throw Failure("write answered \(result)") }
            number += 1
            fabric.flush()
            if number > window { try confirm(atLeast: number - UInt32(window)) }
        }
        try confirm(atLeast: number)
    }

    private mutating func confirm(atLeast wanted: UInt32) throws {
        while confirmed < wanted {
            events.removeAll(keepingCapacity: true)
            _ = fabric.poll(into: &events)
            for event in events {
                switch event {
                case .received(let message):
                    confirmed += 1
                    peerPreemptions = unsafe fabric.bytes(of: message).load(as: UInt32.self)
                    fabric.release(message)
                case .completed(_, _, let status) where status != .success: throw Failure("a WRITE ended as \(status)")
                case .disconnected(_, let reason): throw Failure("disconnected: \(reason)")
                default: break
                }
            }
        }
    }
}

/// Pieces from one working set to another: by WRITE into the peer's memory, and by memcpy into memory of our own that
/// is as large. Rounds in turns.
func measureBandwidth(_ path: String) throws {
    var writer = try PieceWriter(path)
    let source = unsafe writer.source.bytes.baseAddress!
    let sink = UnsafeMutableRawPointer.allocate(byteCount: pieceBytes * pieceCount, alignment: 4096)
    defer { unsafe sink.deallocate() }
    let piecesPerRound = 16
    let roundsWanted = 101
    func rate(_ body: () throws -> Void) rethrows -> Double {
        let begin = monotonicNanoseconds()
        try body()
        return Double(piecesPerRound * pieceBytes) * 1000 / Double(monotonicNanoseconds() - begin)
    }
    var writes: [Double] = []
    var copies: [Double] = []
    var rounds = 0
    while writes.count < roundsWanted {
        rounds += 1
        guard rounds < 20_000 else {
            throw Failure("the machine is busy: \(writes.count) of \(rounds) rounds were quiet")
        }
        let before = (preemptions(), writer.peerPreemptions)
        let write = try rate { try writer.write(piecesPerRound) }
        let copy = rate {
            for piece in 0..<piecesPerRound {
                let offset = piece % pieceCount * pieceBytes
                unsafe source.storeBytes(of: UInt32(piece), toByteOffset: offset, as: UInt32.self)
                unsafe memcpy(sink + offset, source + offset, pieceBytes)
            }
        }
        // The first two touch their memory for the first time.
        if rounds > 2, before == (preemptions(), writer.peerPreemptions) {
            writes.append(write)
            copies.append(copy)
        }
    }
    writer.fabric.shutdown()
    writes.sort()
    copies.sort()
    print(percentile(writes, 0.5), percentile(copies, 0.5), rounds)
}

let words = CommandLine.arguments
do {
    switch (words.count, words.dropFirst().first) {
    case (3, "serve"): try serve(words[2])
    case (3, "latency"): try measureLatency(words[2], byteCount: 64)
    case (4, "latency"): try measureLatency(words[2], byteCount: max(4, Int(words[3]) ?? 64))
    case (3, "bandwidth"): try measureBandwidth(words[2])
    default:
        print("usage: shm-bench serve PATH | latency PATH [BYTES] | bandwidth PATH")
        exit(64)
    }
} catch {
    print("shm-bench: \(error)")
    exit(1)
}
