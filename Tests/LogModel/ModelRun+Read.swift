import RecordFormat
import TopicLog

extension ModelRun {
    /// Reads a little, from a new place or with a cursor that was used before.
    func read() throws {
        let span = model.end - model.start
        if cursors.count < 3 || numbers.isOne(in: 3) {
            let offset = max(0, model.start - 2) + Int64(numbers.below(Int(span) + 5))
            if cursors.count >= 3 { cursors.remove(at: numbers.below(3)) }
            cursors.append(LogCursor(Offset(offset)))
        }
        let index = numbers.below(cursors.count)
        let bound = numbers.isOne(in: 3) ? model.start + Int64(numbers.below(Int(span) + 1)) : model.end
        for _ in 0..<2 {
            let bufferBytes = 61 + numbers.below(numbers.isOne(in: 2) ? 200 : 3000)
            guard try readOnce(&cursors[index], below: bound, bufferBytes: bufferBytes) else { return }
        }
    }

    /// Reads everything there is.
    func readAll() throws {
        var cursor = LogCursor(Offset(model.start))
        while try readOnce(&cursor, below: model.end, bufferBytes: 4096) {}
        try expect(cursor.offset.rawValue == model.end, "a reader comes to the end, not to \(cursor.offset)")
    }

    /// One read, compared. Returns whether to go on.
    private func readOnce(_ cursor: inout LogCursor, below bound: Int64, bufferBytes: Int) throws -> Bool {
        let wanted = cursor.offset.rawValue
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[..<bufferBytes])
        let outcome = unsafe try log.read(&cursor, below: Offset(bound), into: buffer)
        let isInside = wanted >= model.start && wanted <= model.end
        switch outcome {
        case .outOfRange:
            try expect(!isInside, "offset \(wanted) is out of range")
            return false
        case .corrupt(let at):
            throw ModelFailure("offset \(wanted) is corrupt at \(at)")
        case .end:
            try expect(isInside, "offset \(wanted) is at the end")
            // The batch of the next record, if there is one, reaches the bound.
            if let next = model.records(from: wanted, to: bound).first {
                let batch = model.batches[ModelLog.index(of: next.offset, in: model.batches)!]
                try expect(batch.last >= bound, "nothing at \(wanted) below \(bound)")
            }
            return false
        case .needs(let bytes):
            try expect(isInside && bytes > bufferBytes && bytes <= 1 << 16, "\(bytes) bytes at \(wanted)")
            return try readOnce(&cursor, below: bound, bufferBytes: bytes)
        case .batches(let byteCount, let firstBase, let nextOffset):
            try expect(isInside && byteCount <= bufferBytes && nextOffset.rawValue > wanted, "a read at \(wanted)")
            try expect(nextOffset == cursor.offset && nextOffset.rawValue <= bound, "the cursor at \(wanted)")
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<byteCount])
            unsafe try compare(bytes, from: wanted, to: nextOffset.rawValue, firstBase: firstBase.rawValue)
            return true
        }
    }

    private func compare(_ bytes: UnsafeRawBufferPointer, from wanted: Int64, to next: Int64, firstBase: Int64) throws {
        var found: [ModelLog.Record] = []
        var at = 0
        while at < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[at...])
            let size = unsafe RecordBatchHeader(parsing: rest).sizeInBytes
            try expect(size <= rest.count, "a batch is cut")
            let batch = unsafe UnsafeRawBufferPointer(rebasing: rest[..<size])
            let header = unsafe try RecordBatch.validate(batch, bytesMax: size, isStored: true)
            try expect(at > 0 || header.baseOffset.rawValue == firstBase, "the first base at \(wanted)")
            let original = ModelLog.index(of: header.baseOffset.rawValue, in: model.batches).map { model.batches[$0] }
            try expect(
                original?.base == header.baseOffset.rawValue && original?.last == header.lastOffset.rawValue
                    && original?.producer == header.producerID && original?.sequence == header.baseSequence,
                "the batch at \(header.baseOffset)")
            var reader = unsafe try RecordReader(batch)
            while let record = try reader.next() {
                let value = unsafe record.value.map { unsafe $0.loadUnaligned(as: UInt64.self) }
                if let bytes = unsafe record.value, let value, unsafe !bytes.elementsEqual(Self.bytes(value)) {
                    throw ModelFailure("the value at \(record.offset)")
                }
                guard record.offset.rawValue >= wanted else { continue }
                found.append(
                    .init(
                        offset: record.offset.rawValue, key: unsafe record.key.map { unsafe $0[0] }, value: value,
                        timestamp: record.timestampMilliseconds))
            }
            at += size
        }
        let expected = Array(model.records(from: wanted, to: next))
        try expect(found == expected, "read from \(wanted) gave \(found), not \(expected)")
    }
}
