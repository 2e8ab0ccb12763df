package import RDMATransport
internal import TransportTestSupport

/// A client of version 1 from its hello to the end of its subscription, over a real door. It packs and reads every byte
/// by itself, as docs/protocol.md draws them: a change of our codec on both sides does not go unnoticed here.
package struct OldClientScenario<F: Fabric> {
    let makeFabric: () throws -> F
    let connect: (F, [UInt8]) throws -> ConnectionID
    static var recordsPerBatch: Int { 10 }
    /// The topic's name, as a string of the protocol.
    static var name: [UInt8] { [3, 0, 0x6f, 0x6c, 0x64] }

    package init(fabric: @escaping () throws -> F, connect: @escaping (F, [UInt8]) throws -> ConnectionID) {
        makeFabric = fabric
        self.connect = connect
    }

    /// - Precondition: the broker has no topics.
    package func run() throws {
        let hello: [UInt8] = [0x72, 0x64, 0x6d, 0x64, 1, 0, 1, 0]
        let client = OldClient(try RawClient(makeFabric(), connect: connect, hello: hello))
        let welcome = client.raw.fabric.privateData(of: client.raw.connection)
        let expected: [UInt8] = [0x72, 0x64, 0x6d, 0x64, 1, 0, 0, 0, 0x0c, 0, 0x10, 0, 64, 0, 0, 0]
        // Verbs pad it.
        try expect(
            welcome.starts(with: expected) && welcome[16...].allSatisfy { $0 == 0 }, "the welcome is \(welcome)")
        // Two with their headers fit into a ring of 4096 bytes, three do not; and what two leave is too short for one.
        let batches = (0..<20).map {
            batch(records: Self.recordsPerBatch, valueBytes: 120, seed: $0 * Self.recordsPerBatch)
        }
        let partition = try topics(client)
        try produce(client, batches, to: partition)
        let ring = try openRing(client, partition)
        try read(client, ring, batches)
        try end(client, partition, records: batches.count * Self.recordsPerBatch)
        client.raw.fabric.shutdown()
    }

    /// - Returns: topic id and partition, as in every frame that names a partition.
    private func topics(_ client: OldClient<F>) throws -> [UInt8] {
        try expect(client.ask(1, little(1 as UInt32) + Self.name).isEmpty, "CREATE_TOPIC has a body")
        let description = try client.ask(4, little(0 as UInt32) + Self.name)
        let id = Array(description.prefix(4))
        // One partition, from 0, one described: three offsets of 0, writable; no configs.
        let offsets = [UInt8](repeating: 0, count: 24)
        try expect(
            description == id + [1, 0, 0, 0, 0, 0, 0, 0, 1, 0] + offsets + [1, 0, 0],
            "DESCRIBE_TOPIC answers \(description)")
        let list = try client.ask(3, [0, 0])
        try expect(list == [0, 1, 0] + id + [1, 0, 0, 0] + Self.name, "LIST_TOPICS answers \(list)")
        let producer = try client.ask(5, [])
        try expect(producer.count == 10 && producer.suffix(2) == [0, 0], "ALLOCATE_ID answers \(producer)")
        try expect(client.ask(5, []) != producer, "two producers have one id")
        return id + [0, 0, 0, 0]
    }

    /// Batch by batch, then four at a time; by PRODUCE and by PRODUCE_EAGER in turns.
    private func produce(_ client: OldClient<F>, _ batches: [[UInt8]], to partition: [UInt8]) throws {
        let memory = try client.raw.share(batches.flatMap(\.self), byteCount: 65_536)
        func announce(_ number: Int, to partition: [UInt8]) throws -> UInt32 {
            let batch = batches[number]
            let head = partition + little(UInt32(batch.count))
            if number % 2 == 0 { return try client.send(7, head + batch) }
            let address = memory.address + UInt64(batches[..<number].reduce(0) { $0 + $1.count })
            return try client.send(6, head + little(memory.key) + little(address))
        }
        for number in 0..<2 {
            let id = try announce(number, to: partition)
            let ack = try client.raw.frame()
            let base = little(Int64(number * Self.recordsPerBatch))
            try expect(
                ack == [129, 0, 1, 0, 0, 0, 0, 0] + little(id) + [0, 0, 0, 0] + base, "batch \(number) got \(ack)")
            // To a topic that is not there: UNKNOWN_TOPIC_OR_PARTITION, base offset −1.
            let wrong = try announce(number, to: little(77 as UInt32) + [0, 0, 0, 0])
            let refusal = try client.raw.frame()
            let minusOne = [UInt8](repeating: 0xff, count: 8)
            try expect(
                refusal == [129, 0, 1, 0, 0, 0, 0, 0] + little(wrong) + [3, 0, 0, 0] + minusOne,
                "topic 77 got \(refusal)")
        }
        for first in stride(from: 2, to: batches.count, by: 4) {
            var expected: Set<[UInt8]> = []
            for number in first..<min(first + 4, batches.count) {
                let base = little(Int64(number * Self.recordsPerBatch))
                expected.insert(try little(announce(number, to: partition)) + [0, 0, 0, 0] + base)
            }
            // In any order, and in one frame or several.
            while !expected.isEmpty {
                let frame = try client.raw.frame()
                let count = (frame.count - 8) / 16
                try expect(
                    count > 0 && frame.starts(with: [129, 0, UInt8(count), 0, 0, 0, 0, 0])
                        && frame.count == 8 + count * 16, "no acknowledgements: \(frame)")
                for start in stride(from: 8, to: frame.count, by: 16) {
                    let ack = Array(frame[start..<start + 16])
                    try expect(expected.remove(ack) != nil, "another acknowledgement: \(ack)")
                }
            }
        }
    }

    private func openRing(_ client: OldClient<F>, _ partition: [UInt8]) throws -> OldRing {
        let memory = try MemoryBlock(byteCount: OldRing.byteCount, name: "old-ring")
        let fabric = client.raw.fabric
        let region = try fabric.share(try fabric.register(memory, access: .write), on: client.raw.connection)
        let length = little(UInt64(OldRing.byteCount))
        let opened = try client.ask(8, little(region.key) + [0, 0, 0, 0] + little(region.address) + length)
        try expect(opened.isEmpty, "OPEN_RING has a body")
        // The isolation level came with version 2: UNSUPPORTED_VERSION.
        try client.send(9, partition + little(-2 as Int64) + [1])
        try client.takeRefusal(35)
        // From the log's start, which is at 0.
        let start = try client.ask(9, partition + little(-2 as Int64))
        try expect(start == [UInt8](repeating: 0, count: 8), "SUBSCRIBE answers \(start)")
        return OldRing(memory, partition: partition)
    }

    /// Everything comes through the ring, lap after lap, as it was sent, and no further than the credit goes.
    private func read(_ client: OldClient<F>, _ ring: OldRing, _ batches: [[UInt8]]) throws {
        func takeMore() throws {
            let immediate = try client.raw.driver.wait(for: "an entry") {
                if case .immediate(_, let value) = $0 { value } else { nil }
            }
            try ring.advance(immediate)
        }
        while ring.batches.count < 2 { try takeMore() }
        // Without credit nothing more comes, though there is more: the ring may still be begun again.
        _ = try client.ask(3, [0, 0])
        for case .immediate(_, let value) in client.raw.driver.seen[0] { try ring.advance(value) }
        client.raw.driver.seen[0].removeAll { if case .immediate = $0 { true } else { false } }
        try expect(ring.batches.count == 2, "\(ring.batches.count) batches in a ring for two")
        while ring.batches.count < batches.count {
            // Whatever has been read may be written over.
            try client.send(11, little(ring.giveBack()))
            try takeMore()
        }
        try expect(ring.batches.count == batches.count, "\(ring.batches.count) of \(batches.count) batches")
        for (number, (read, sent)) in zip(ring.batches, batches).enumerated() {
            // The broker writes the base offset (big-endian) and the leader epoch; all else is the producer's.
            let base = Array(little(Int64(number * Self.recordsPerBatch)).reversed())
            try expect(read.starts(with: base), "batch \(number) begins \(read.prefix(8)), not \(base)")
            try expect(
                read.count == sent.count && read[8..<12] == sent[8..<12] && read[16...] == sent[16...],
                "batch \(number) is not what was sent")
            for record in 0..<Self.recordsPerBatch {
                // Behind 61 bytes of header; a value ends a byte before its record.
                let end = read.count - (Self.recordsPerBatch - 1 - record) * (read.count - 61) / Self.recordsPerBatch
                let value = filler(120, number * Self.recordsPerBatch + record)
                try expect(Array(read[(end - 121)..<(end - 1)]) == value, "record \(record) of batch \(number)")
            }
        }
        try expect(ring.skips >= batches.count / 2 - 1, "the ring was begun again \(ring.skips) times")
    }

    /// UNSUBSCRIBE, SUBSCRIBE at the end, and the topic's end, which is told.
    private func end(_ client: OldClient<F>, _ partition: [UInt8], records: Int) throws {
        try expect(client.ask(10, partition).isEmpty, "UNSUBSCRIBE has a body")
        let start = try client.ask(9, partition + little(-1 as Int64))
        try expect(start == little(Int64(records)), "SUBSCRIBE at the end answers \(start)")
        let id = try client.send(2, Self.name)
        var frames: Set<[UInt8]> = [
            [128, 0, 0, 0] + little(id) + [0, 0], [130, 0, 3, 0, 0, 0, 0, 0] + partition + little(Int64(records)),
        ]
        while !frames.isEmpty {
            let frame = try client.raw.frame()
            try expect(frames.remove(frame) != nil, "instead of \(frames) came \(frame)")
        }
        // Now it is told so itself.
        try client.send(9, partition + little(-1 as Int64))
        try client.takeRefusal(3)
    }
}

/// Frames of version 1 by hand.
private final class OldClient<F: Fabric> {
    let raw: RawClient<F>
    /// Ids whose four bytes differ.
    private var lastID: UInt32 = 0x0403_0200

    init(_ raw: RawClient<F>) { self.raw = raw }

    /// Sends a request; its id.
    @discardableResult func send(_ type: UInt8, _ body: [UInt8]) throws -> UInt32 {
        lastID += 1
        try raw.send([type, 0, 0, 0] + little(lastID) + body)
        return lastID
    }

    /// Sends a request; the body of its answer.
    func ask(_ type: UInt8, _ body: [UInt8]) throws -> [UInt8] {
        let id = try send(type, body)
        let frame = try raw.frame()
        // No error, and no text.
        try expect(frame.starts(with: [128, 0, 0, 0] + little(id) + [0, 0]), "request \(type) got \(frame)")
        return Array(frame[10...])
    }

    /// The last request is answered with an error, a text, and nothing else.
    func takeRefusal(_ error: UInt8) throws {
        let frame = try raw.frame()
        try expect(
            frame.starts(with: [128, 0, error, 0] + little(lastID)) && frame.count > 10
                && frame.count == 10 + Int(number(frame[8..<10])), "instead of error \(error) came \(frame)")
    }
}

/// A ring of the least length, read entry by entry.
private final class OldRing {
    static let byteCount = 4096
    private let memory: MemoryBlock
    private let partition: [UInt8]
    /// Everything before it has been written; and may be written over.
    private var written: UInt64 = 0
    private var released: UInt64 = 0
    private var nextOffset: UInt64 = 0
    /// What was read.
    private(set) var batches: [[UInt8]] = []
    private(set) var skips = 0

    init(_ memory: MemoryBlock, partition: [UInt8]) {
        self.memory = memory
        self.partition = partition
    }

    /// The position for a RING_CREDIT.
    func giveBack() -> UInt64 {
        released = written
        return released
    }

    private func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        unsafe Array(memory.bytes[offset..<offset + count])
    }

    /// Reads up to where an immediate value says: the position divided by 64, modulo 2³².
    func advance(_ immediate: UInt32) throws {
        let end = written + UInt64(immediate &- UInt32(truncatingIfNeeded: written / 64)) * 64
        try expect(
            end > written && end - released <= Self.byteCount, "written to \(end), read and given back to \(released)")
        while written < end {
            let offset = Int(written) % Self.byteCount
            switch bytes(offset, 4) {
            case [0x70, 0x69, 0x6b, 0x73]:
                skips += 1
                written += UInt64(Self.byteCount - offset)
            case [0x63, 0x74, 0x61, 0x62]:
                let header = bytes(offset, 64)
                let length = Int(number(header[12..<16]))
                try expect(offset + 64 + length <= Self.byteCount, "an entry of \(length) bytes crosses the ring's end")
                try take(header, bytes(offset + 64, length))
                written += UInt64((64 + length + 63) / 64 * 64)
            case let kind: throw ScenarioFailure("an entry of kind \(kind)")
            }
        }
        try expect(written == end, "the last entry ends at \(written), the immediate value says \(end)")
    }

    private func take(_ header: [UInt8], _ run: [UInt8]) throws {
        let before = batches.count
        var rest = run[...]
        while rest.count > 12 {
            // Record batches are big-endian; 12 bytes are before the length's end.
            let count = 12 + Int(number(rest[(rest.startIndex + 8)..<(rest.startIndex + 12)].reversed()))
            try expect(count <= rest.count, "a batch of \(count) bytes in \(rest.count)")
            batches.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        let records = UInt64((batches.count - before) * 10)
        try expect(rest.isEmpty && records > 0, "batches of \(run.count) bytes leave \(rest.count)")
        try expect(Array(header[4..<12]) == partition, "another partition: \(header[4..<12])")
        try expect(number(header[16..<24]) == nextOffset, "first offset \(header[16..<24]), not \(nextOffset)")
        nextOffset += records
        try expect(number(header[24..<32]) == nextOffset, "next offset \(header[24..<32]), not \(nextOffset)")
        // All was acknowledged before the ring was opened.
        try expect(number(header[32..<40]) == 200, "high watermark \(header[32..<40])")
        try expect(header[40...].allSatisfy { $0 == 0 }, "reserved bytes of an entry are \(header[40...])")
    }
}

/// The bytes of an integer, the lowest first.
private func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// The integer that bytes stand for, the lowest first.
private func number(_ bytes: some Collection<UInt8>) -> UInt64 {
    bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64($1.offset * 8) }
}
