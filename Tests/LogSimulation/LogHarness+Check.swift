internal import RecordFormat
internal import TopicLog

extension LogHarness {
    /// Compares a log that was just opened with the model, and makes the model what was found: all of it is durable.
    package func check() throws {
        guard log.recoveryReport.fences.isEmpty else {
            throw Violation("fenced, though the disk only lost what was not synced: \(log.recoveryReport)")
        }
        for name in log.topics where model.topics[name] == nil {
            throw Violation("topic \(name) came back after it was deleted")
        }
        for name in model.topics.keys.sorted() {
            guard let count = log.partitionCount(topic: name) else {
                guard model.topics[name]!.isUncertain else { throw Violation("topic \(name) is gone") }
                model.topics[name] = nil
                continue
            }
            model.topics[name]!.isUncertain = false
            let id = log.id(topic: name)!
            guard model.topics[name]!.id ?? id == id else { throw Violation("topic \(name) has another id") }
            model.topics[name]!.id = id
            let known = model.topics[name]!
            guard count == known.partitions.count || known.partitions.count < count && count <= known.partitionsMax
            else { throw Violation("topic \(name) has \(count) partitions") }
            while model.topics[name]!.partitions.count < count { model.topics[name]!.partitions.append(.init()) }
            model.topics[name]!.partitionsMax = 0
            for index in 0..<count { try check(name, index) }
        }
    }

    /// The log works: it takes appends and syncs, closes, opens without a repair, and has everything.
    package func prove() throws {
        for topic in topics {
            for index in model.topics[topic]!.partitions.indices {
                try append(topic, index, count: 3)
                try synchronize(topic, index)
            }
        }
        try close()
        restart(losingPower: true)
        guard try open() else { throw Violation("does not open") }
        let report = log.recoveryReport
        // The removal of a deleted directory is certain at once only where the catalog is.
        guard report.tornBytes == 0, report.removedDirectories.isEmpty || paths.count > 1 else {
            throw Violation("repaired after a clean close: \(report)")
        }
        try check()
    }

    private func check(_ topic: String, _ index: Int) throws {
        let log = log.partition(topic: topic, index: index)!
        var known = model.topics[topic]!.partitions[index]
        let place = "\(topic)-\(index)"
        let found = try batches(of: log, from: log.logStartOffset.rawValue, place)
        let compacted = found.prefix { $0.header.baseOffset.rawValue < known.compactedEnd }
        try checkCompacted(Array(compacted), known, place)
        let below = known.batches.prefix { $0.header.baseOffset.rawValue < known.compactedEnd }
        for (number, batch) in found.dropFirst(compacted.count).enumerated() {
            let index = below.count + number
            let isKnown = known.batches.indices.contains(index) && known.batches[index] == batch
            let isAcknowledged = batch.header.baseOffset.rawValue < known.acknowledged
            if !isKnown && (isAcknowledged || !known.refused.contains(batch)) {
                throw Violation(
                    "\(place): at \(batch.header.baseOffset) there is a batch of \(batch.bytes.count) bytes that "
                        + "nobody appended there")
            }
        }
        let end = found.last.map { $0.header.lastOffset.rawValue + 1 } ?? log.logStartOffset.rawValue
        guard end >= known.acknowledged else {
            throw Violation("\(place): acknowledged up to \(known.acknowledged), found up to \(end)")
        }
        guard log.logEndOffset.rawValue == end, log.durableOffset.rawValue == end else {
            throw Violation("\(place): ends at \(log.logEndOffset), durable up to \(log.durableOffset), read to \(end)")
        }
        if end > 0 {
            let offset = Int64(generator.below(Int(end)))
            guard let first = try batches(of: log, from: offset, place).first,
                first.header.baseOffset.rawValue <= offset || offset < known.compactedEnd,
                offset <= first.header.lastOffset.rawValue
            else { throw Violation("\(place): a read at \(offset) begins elsewhere") }
        }
        known = .init(
            batches: Array(below) + found[compacted.count...], acknowledged: end, compactedEnd: known.compactedEnd)
        model.topics[topic]!.partitions[index] = known
        try checkCommitted(found, known, log, place)
        for producer in Set(known.batches.map(\.header.producerID)).sorted() where producer >= 0 {
            guard let last = known.last(of: producer) else { continue }
            let answer = Self.append([last], to: log)[0]
            guard answer == .duplicate(base: last.header.baseOffset, last: last.header.lastOffset) else {
                throw Violation("\(place): the retry of \(last.header.baseOffset) was answered with \(answer)")
            }
        }
    }

    /// Reads to the end.
    private func batches(of log: PartitionLog, from offset: Int64, _ place: String) throws -> [LogModel.Batch] {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16384, alignment: 16)
        defer { unsafe memory.deallocate() }
        var cursor = LogCursor(Offset(offset))
        var found: [LogModel.Batch] = []
        while true {
            switch unsafe try log.read(&cursor, below: log.logEndOffset, into: memory) {
            case .end:
                return found
            case .batches(let count, _, _):
                var at = 0
                while at < count {
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: memory[at..<count])
                    let header = unsafe RecordBatchHeader(parsing: rest)
                    let bytes = unsafe UnsafeRawBufferPointer(rebasing: rest[..<header.sizeInBytes])
                    found.append(unsafe LogModel.Batch(header: header, bytes: [UInt8](bytes)))
                    at += header.sizeInBytes
                }
            case let other:
                throw Violation("\(place): a read at \(cursor.offset) found \(other)")
            }
        }
    }
}
