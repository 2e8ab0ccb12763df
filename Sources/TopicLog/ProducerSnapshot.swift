internal import Glibc
internal import RecordFormat

/// The file `<offset>.snapshot`: the idempotent producers and their transactions as they were before that offset.
///
/// ```
/// version i16 = 1 | crc u32 | count i32 | count × entry | tail
/// entry  producerId i64 | epoch i16 | lastSequence i32 | lastOffset i64 | offsetDelta i32 | timestamp i64
///        | coordinatorEpoch i32 | currentTxnFirstOffset i64
/// tail   "rdmd" | for each entry: count u8 | count × (lastSequence i32 | lastOffset i64 | offsetDelta i32)
///        | forgottenMax i64, unless that is -1
/// ```
/// Big-endian; CRC-32C of everything behind it. Up to the tail it is Kafka's, whose reader checks the sum over the
/// whole file and ignores what follows the entries. What there is not is -1. Kafka's entry holds a producer's last
/// batch; the tail holds the up to four before it, oldest first (docs/adr/0012-derived-files.md).
struct ProducerSnapshot {
    var states: [Int64: ProducerState] = [:]
    /// See ``ProducerTable/forgottenMax``.
    var forgottenMax: Int64 = -1

    static let suffix = ".snapshot"
    private static let version: Int16 = 1
    private static let entryBytes = 46
    private static let tailMark: UInt32 = 0x7264_6d64  // "rdmd"

    /// The file's bytes.
    var encoded: [UInt8] {
        var body: [UInt8] = []
        var tail: [UInt8] = []
        body.appendBigEndian(Int32(states.count))
        tail.appendBigEndian(Self.tailMark)
        for (producerID, state) in states {
            let batches = state.oldestFirst
            let last = batches.last ?? .none
            body.appendBigEndian(producerID)
            body.appendBigEndian(state.epoch)
            body.append(last)
            body.appendBigEndian(state.lastTimestamp)
            body.appendBigEndian(state.coordinatorEpoch)
            body.appendBigEndian(state.transactionStart?.rawValue ?? -1)
            tail.append(UInt8(batches.dropLast().count))
            for batch in batches.dropLast() { tail.append(batch) }
        }
        if forgottenMax >= 0 { tail.appendBigEndian(forgottenMax) }
        body += tail
        var bytes: [UInt8] = []
        bytes.reserveCapacity(6 + body.count)
        bytes.appendBigEndian(Self.version)
        unsafe body.withUnsafeBytes { unsafe bytes.appendBigEndian(CRC32C.checksum($0)) }
        return bytes + body
    }

    init(states: [Int64: ProducerState], forgottenMax: Int64) {
        self.states = states
        self.forgottenMax = forgottenMax
    }

    /// What a file says, or nil when it is damaged or of another version.
    init?(decoding bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard bytes.count >= 10, reader.next(Int16.self) == Self.version, let sum = reader.next(UInt32.self) else {
            return nil
        }
        let computed = unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum(.init(rebasing: $0[6...])) }
        guard computed == sum, let count = reader.next(Int32.self), count >= 0,
            Int(count) <= (bytes.count - 10) / Self.entryBytes
        else { return nil }
        var entries: [(id: Int64, state: ProducerState, last: ProducerState.Batch, timestamp: Int64)] = []
        entries.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let id = reader.next(Int64.self), let epoch = reader.next(Int16.self), let last = reader.batch(),
                let timestamp = reader.next(Int64.self), let coordinatorEpoch = reader.next(Int32.self),
                let start = reader.next(Int64.self)
            else { return nil }
            var state = ProducerState(epoch: epoch)
            state.coordinatorEpoch = coordinatorEpoch
            state.transactionStart = start < 0 ? nil : Offset(start)
            entries.append((id, state, last, timestamp))
        }
        let hasTail = reader.next(UInt32.self) == Self.tailMark
        states.reserveCapacity(entries.count)
        for entry in entries {
            var state = entry.state
            if hasTail {
                guard let earlier = reader.next(UInt8.self) else { return nil }
                for _ in 0..<earlier {
                    guard let batch = reader.batch() else { return nil }
                    state.add(batch, timestamp: entry.timestamp)
                }
            }
            if entry.last.lastSequence >= 0 { state.add(entry.last, timestamp: entry.timestamp) }
            states[entry.id] = state
        }
        if hasTail { forgottenMax = reader.next(Int64.self) ?? -1 }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func next<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) -> T? {
            let size = MemoryLayout<T>.size
            guard size <= bytes.count - position else { return nil }
            defer { position += size }
            return unsafe bytes.withUnsafeBytes {
                unsafe T(bigEndian: $0.loadUnaligned(fromByteOffset: position, as: T.self))
            }
        }

        mutating func batch() -> ProducerState.Batch? {
            guard let sequence = next(Int32.self), let offset = next(Int64.self), let delta = next(Int32.self) else {
                return nil
            }
            return ProducerState.Batch(
                baseSequence: RecordBatchHeader.sequence(sequence, advancedBy: -delta), lastSequence: sequence,
                baseOffset: Offset(offset &- Int64(delta)), lastOffset: Offset(offset))
        }
    }
}

extension ProducerState.Batch {
    /// What stands for the last one of a producer that has none.
    fileprivate static var none: Self {
        .init(baseSequence: -1, lastSequence: -1, baseOffset: Offset(-1), lastOffset: Offset(-1))
    }
}

extension [UInt8] {
    /// A batch as both parts of a snapshot hold it.
    fileprivate mutating func append(_ batch: ProducerState.Batch) {
        appendBigEndian(batch.lastSequence)
        appendBigEndian(batch.lastOffset.rawValue)
        appendBigEndian(Int32(truncatingIfNeeded: batch.baseOffset.distance(to: batch.lastOffset)))
    }
}
