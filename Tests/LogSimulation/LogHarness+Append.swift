internal import Glibc
internal import RecordFormat
internal import TopicLog

extension LogHarness {
    /// Appends some batches in one call, and compares the answers with what the model expects.
    package func append(_ topic: String, _ index: Int, count: Int) throws {
        guard let log = log.partition(topic: topic, index: index) else { return }
        var batches: [LogModel.Batch] = []
        var expected: [AppendResult] = []
        var partition = model.topics[topic]!.partitions[index]
        let before = partition
        for _ in 0..<count {
            let (batch, answer) = nextBatch(partition)
            batches.append(batch)
            expected.append(answer)
            if case .appended = answer { partition.batches.append(batch) }
        }
        let results = Self.append(batches, to: log)
        if process.isDead {
            // Any part of it may have been written.
            model.topics[topic]!.partitions[index] = partition
            return
        }
        guard results != expected else {
            model.topics[topic]!.partitions[index] = partition
            return try observe(topic, index)
        }
        try takeRefusals(topic, index, before, batches, expected, results)
        try observe(topic, index)
    }

    /// Batches that were refused by the disk; those before them must be as expected.
    private func takeRefusals(
        _ topic: String, _ index: Int, _ before: LogModel.Partition, _ batches: [LogModel.Batch],
        _ expected: [AppendResult], _ results: [AppendResult]
    ) throws {
        var partition = before
        for (batch, (wanted, result)) in zip(batches, zip(expected, results)) {
            if case .rejected(.storage(let error)) = result {
                try tolerate(error, "append to \(topic)-\(index)")
                if case .appended = wanted { partition.refused.append(batch) }
            } else if result != wanted {
                throw Violation("append to \(topic)-\(index): \(result), expected \(wanted)")
            } else if case .appended = result {
                partition.batches.append(batch)
            }
        }
        model.topics[topic]!.partitions[index] = partition
    }

    /// Some batch that a producer might send next, and the answer it must get.
    private func nextBatch(_ partition: LogModel.Partition) -> (LogModel.Batch, AppendResult) {
        let base = partition.end
        func appended(_ batch: LogModel.Batch) -> AppendResult {
            .appended(base: batch.header.baseOffset, last: batch.header.lastOffset)
        }
        let keys = options.cleanupPolicy.contains(.compact) ? 5 : 0
        guard !model.producerIDs.isEmpty, generator.oneIn(2) else {
            let batch = model.makeBatch(&generator, base: base, keys: keys)
            return (batch, appended(batch))
        }
        // Few, or there is always a transaction that compaction waits for.
        let producers = model.producerIDs.suffix(3)
        let producer = producers[producers.startIndex + generator.below(producers.count)]
        let last = partition.last(of: producer)
        if let last, generator.oneIn(8) {
            return (last, .duplicate(base: last.header.baseOffset, last: last.header.lastOffset))
        }
        let isOngoing = partition.isOngoing(producer)
        // Now and then the end of a transaction that there is not.
        if generator.oneIn(isOngoing ? 3 : 16) {
            let marker = model.makeMarker(base: base, producer: producer, isCommit: generator.oneIn(2))
            return (marker, appended(marker))
        }
        let next = last.map { $0.header.lastSequence + 1 } ?? 0
        let hasGap = generator.oneIn(16)
        // What is not the transaction's is refused while there is one.
        let isTransactional = isOngoing ? !generator.oneIn(16) : generator.oneIn(2)
        let batch = model.makeBatch(
            &generator, base: base, producer: producer, sequence: hasGap ? next + 1 : next,
            isTransactional: isTransactional, keys: keys)
        if isOngoing && !isTransactional { return (batch, .rejected(.invalidTransactionState)) }
        return (batch, hasGap ? .rejected(.outOfOrderSequence) : appended(batch))
    }

    /// Hands over copies: the log writes into its batches.
    static func append(_ batches: [LogModel.Batch], to log: PartitionLog) -> [AppendResult] {
        let memory = unsafe batches.map { batch in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: batch.bytes.count, alignment: 16)
            unsafe copy.copyBytes(from: batch.bytes)
            return unsafe copy
        }
        // The formatter would join the next line's two words.
        // swift-format-ignore
        defer { for unsafe copy in unsafe memory { unsafe copy.deallocate() } }
        return unsafe log.append(memory)
    }

    // MARK: - Flushing

    /// Takes a ticket for what is not yet durable.
    package func takeTicket(_ topic: String, _ index: Int) {
        guard let ticket = log.partition(topic: topic, index: index)?.takeFlushTicket() else { return }
        tickets.append((topic, index, ticket))
    }

    /// Serves the first tickets that are out, as a flusher does: each file is synced once, the results are reported in
    /// order; `between` runs after the syncs and before the reports.
    package func flush(_ count: Int, between: () throws -> Void = {}) throws {
        let served = tickets.prefix(count)
        tickets.removeFirst(served.count)
        let errors = synchronize(served.map(\.ticket))
        if process.isDead { return }
        try between()
        for (request, error) in zip(served, errors) where !process.isDead {
            // Its topic may have been deleted in between.
            guard let log = log.partition(topic: request.topic, index: request.index) else { continue }
            log.didFlush(request.ticket, error: error)
            if error != nil { poison() }
            try observe(request.topic, request.index)
        }
    }

    /// As `Flusher` does: one sync a file, or one of the file system for many.
    private func synchronize(_ tickets: [FlushTicket]) -> [LogError?] {
        func error(_ status: Int32, _ file: LogFile) -> LogError? {
            status == 0 ? nil : LogError(.system, operation: "syncing", path: file.path, errno: -status)
        }
        if Set(tickets.flatMap { $0.files.map(ObjectIdentifier.init) }).count > 4 {
            let file = tickets[0].files[0]
            let status = process.synchronizeFileSystem(of: file.descriptor)
            return Array(repeating: error(status, file), count: tickets.count)
        }
        var done: [ObjectIdentifier: Int32] = [:]
        return tickets.map { ticket in
            for file in ticket.files {
                let status = done[ObjectIdentifier(file)] ?? process.synchronize(file.descriptor)
                done[ObjectIdentifier(file)] = status
                if status != 0 { return error(status, file) }
            }
            return nil
        }
    }
}
