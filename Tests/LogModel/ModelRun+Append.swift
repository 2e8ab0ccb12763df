import RecordFormat
import TopicLog

extension ModelRun {
    func append() throws {
        var expected: [AppendResult] = []
        var memory: [UnsafeMutableRawBufferPointer] = unsafe []
        defer { unsafe memory.forEach { unsafe $0.deallocate() } }
        var at = 0
        var buffers: [UnsafeMutableRawBufferPointer] = unsafe []
        for _ in 0...numbers.below(4) {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
            unsafe memory.append(buffer)
            let (size, result) = unsafe stage(in: buffer)
            unsafe buffers.append(.init(rebasing: buffer[..<size]))
            expected.append(result)
            at += 1
        }
        let results = unsafe log.append(buffers)
        try expect(results == expected, "append gave \(results), not \(expected)")
        try expect(log.logEndOffset.rawValue == model.end, "the end after an append")
    }

    /// Builds one batch, and says what must become of it.
    private func stage(in buffer: UnsafeMutableRawBufferPointer) -> (Int, AppendResult) {
        var builder = unsafe RecordBatchBuilder(buffer: buffer)
        var records: [ModelLog.Record] = []
        // Small batches in the main, some larger than a segment.
        let count = numbers.isOne(in: 20) ? 1 + numbers.below(12) : 1 + numbers.below(3)
        for index in 0..<count {
            now += Int64(numbers.below(4))
            let key = numbers.isOne(in: 10) ? nil : UInt8(numbers.below(12))
            let value: UInt64? = numbers.isOne(in: 5) ? nil : nextValue
            nextValue += 1
            let isAdded = builder.append(
                key: key.map { [$0] }, value: value.map { Self.bytes($0) },
                timestampMilliseconds: now - Int64(numbers.below(50)))
            precondition(isAdded, "the buffer is too small")
            records.append(.init(offset: model.end + Int64(index), key: key, value: value, timestamp: 0))
        }
        let (producer, sequence, verdict) = pickSequence(count)
        let size = builder.seal(producerID: producer, epoch: producer < 0 ? -1 : 0, baseSequence: sequence)
        if let verdict { return (size, verdict) }
        // The timestamps as they were stored.
        var reader = unsafe try? RecordReader(UnsafeRawBufferPointer(buffer))
        for index in records.indices { records[index].timestamp = (try? reader?.next())??.timestampMilliseconds ?? 0 }
        let batch = ModelLog.Batch(
            base: model.end, last: model.end + Int64(count) - 1, sizeInBytes: size, producer: producer,
            sequence: sequence)
        model.append(batch, records)
        return (size, .appended(base: Offset(batch.base), last: Offset(batch.last)))
    }

    /// A producer with the right sequence number, or a wrong one, or one that was there before, or none.
    private func pickSequence(_ count: Int) -> (producer: Int64, sequence: Int32, verdict: AppendResult?) {
        guard numbers.isOne(in: 2) else { return (-1, -1, nil) }
        let known = model.producers.keys.sorted()
        guard known.count >= 3 || (!known.isEmpty && numbers.isOne(in: 2)) else {
            nextProducer += 1
            return (nextProducer, 0, nil)
        }
        let producer = known[numbers.below(known.count)]
        let batches = model.producers[producer]!
        let last = batches[batches.count - 1]
        let next = last.sequence + Int32(last.last - last.base) + 1
        switch numbers.below(8) {
        case 0:
            return (producer, next + 1, .rejected(.outOfOrderSequence))
        case 1:
            // Told by its sequence numbers, so by its count too.
            let again = batches[numbers.below(batches.count)]
            guard Int(again.last - again.base) + 1 == count else { return (producer, next, nil) }
            return (
                producer, again.sequence, .duplicate(base: Offset(again.base), last: Offset(again.last))
            )
        default:
            return (producer, next, nil)
        }
    }

    static func bytes(_ value: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: value), count: 8 + Int(value % 23))
        for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        return bytes
    }

    func flush() throws {
        switch numbers.below(3) {
        case 0:
            if let ticket = log.takeFlushTicket() { tickets.append(ticket) }
        case 1 where !tickets.isEmpty:
            let ticket = tickets.removeFirst()
            log.didFlush(ticket, error: nil)
            model.durable = max(model.durable, ticket.end.rawValue)
        default:
            try log.synchronize()
            model.durable = model.end
        }
        try expect(log.durableOffset.rawValue == model.durable, "durable after a flush")
    }
}
